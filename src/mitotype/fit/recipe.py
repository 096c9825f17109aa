"""Recipe: all settings of a run as one frozen record; a recipe is a Python function, and run.json holds every field."""

from __future__ import annotations

import ast
import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mitotype.core import records
from mitotype.core.arguments import Argument, argument, arguments_of
from mitotype.core.errors import ErrorCollector, UserError, unknown_name
from mitotype.core.run_layout import RunRecord, names
from mitotype.core.run_layout.decision import CalibrationKind
from mitotype.core.run_layout.run import RECIPE_FIELDS_1

HELP = "mitotype recipes default"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a run. `mitotype.fit.validate` checks them and how they fit together."""  # with FIELDS below

    # fmt: off
    # what is trained
    name: str = argument(meaning="name of the recipe, and of the folder of its runs")
    backbone: str = argument(meaning="name of a backbone or of a feature")
    size_px: int = argument(0, low=0, unit="px", meaning="side of the net's input; 0: that of the backbone")
    pooling: str = argument("", meaning='variant of pooling; "": that of the backbone')
    normalization: str = argument("", meaning='mean and std of the input; "": those of the backbone; "imagenet" or "half"')
    model_kwargs: tuple[tuple[str, Any], ...] = argument((), meaning="keyword arguments of the backbone's builder")
    init_from: str = argument("", meaning='initial weights of the trunk; "": random; "published"; a file or folder of weights; '
                              "or a run, of which each member takes the one that left out the same fold")
    adaptation: str = argument("full", meaning='what is trained: "full", "full(0.75)", "lora(8, 16)", "prompts(8)", "probe" …')
    head_init: str = argument("small", choices=("small", "linear", "timm"), meaning="initial weights of the main head: "
                              "small (logits near 0), those of nn.Linear, or those of timm's transformers (standard deviation 0.02)")
    head_dropout: float = argument(0.0, low=0, high=1, open_high=True, meaning="dropout of the embedding before the heads")
    # what it is trained on
    frame: str = argument("crop(64)", meaning="deterministic transforms in training and at test time")
    augment: str = argument("d4 | crop(64)", meaning="random transforms, in training only")
    fourier_targets: str = argument("", meaning='folder of natural images, whose amplitudes the step "fourier" of augment takes over; '
                                    '"": the color photographs that scikit-image contains')
    tta: str = argument("d4", meaning="test-time views")
    objective: str = argument("soft_bce", meaning='weighted sum of losses, as in "soft_bce + 0.3 * expert"')
    soft_labels: int = argument(1, low=0, high=1, meaning="1: the target is the share of the experts' votes; 0: the published label")
    vote_smoothing: float = argument(0.0, low=0, meaning="a in the soft target (votes_for + a) / (votes + 2 a)")
    sampler: str = argument("class_balanced", meaning='order of the patches in an epoch: "uniform", "class_balanced(0.5)" …')
    mixup: float = argument(0.0, low=0, meaning="α of Beta(α, α) for MixUp, 0: none")
    cutmix: float = argument(0.0, low=0, meaning="α of Beta(α, α) for CutMix, 0: none; with MixUp each step has one of the two")
    n_views: int = argument(1, low=1, meaning="augmentations of every patch in a step")
    teacher: str = argument("", meaning='run whose scores the loss "distil" learns; "": none')
    # how long and how fast
    epochs: int = argument(30, low=1, meaning="an epoch draws as many patches as there are")
    batch: int = argument(64, low=2, unit="patches", meaning="size of a step's batch")
    drop_last: int = argument(1, low=0, high=1, meaning="0: an epoch's last, smaller batch is trained on too")
    grad_accum_steps: int = argument(1, low=1, meaning="parts in which a batch passes through the net, to save memory")
    grad_checkpointing: int = argument(0, low=0, high=1, meaning="1: recompute activations in the backward pass, to save memory")
    compile: int = argument(0, low=0, high=1, meaning="1: compile the trunk's blocks (minutes first, then faster on a GPU)")
    optimizer: str = argument("adamw", meaning='"adamw", "adam", or "muon" for the matrices of the trunk and AdamW for the rest')
    lr: float = argument(1e-3, low=1e-12, meaning="learning rate of Adam and AdamW")
    beta2: float = argument(0.999, low=0, high=1, open_high=True, meaning="second decay rate of Adam and AdamW")
    muon_lr: float = argument(0.02, low=0, meaning="learning rate of Muon")
    weight_decay: float = argument(0.05, low=0, meaning="weight decay, not applied to norms and biases")
    warmup_epochs: float = argument(2.0, low=0, unit="epochs", meaning="linear rise of the learning rates")
    schedule: str = argument("cosine", meaning='after the warm-up: "cosine" (to 0), "constant" or "plateau(0.5, 3)"')
    patience: int = argument(0, low=0, unit="epochs", meaning="stop after so many epochs without a better balanced accuracy on the "
                             "fold left out, and use the best epoch: out-of-fold metrics are then optimistic; 0: no early stopping")
    grad_clip: float = argument(0.0, low=0, meaning="largest norm of the gradient, 0: no clipping")
    ema_decay: float = argument(0.998, low=0, high=1, open_high=True, meaning="decay of the stored average of the weights (EMA); 0: off")
    precision: str = argument("auto", choices=("auto", "fp32", "bf16", "fp16"), meaning="auto: bf16 where the hardware multiplies "
                              "it, else fp32; fp16: a trunk is trained with loss scaling, on a GPU only")
    # the members of the run
    folds: str = argument("study", meaning='"study" (the stored ones), "domain" (leave one out), a number of folds, or "none"')
    seeds: int = argument(1, low=1, meaning="members per fold")
    n_final_models: int = argument(0, low=0, meaning="members trained on every patch; with 0 the fold members are deployed")
    seed: int = argument(0, meaning="seed of everything random")
    # the decision, fitted on out-of-fold rows
    calibration: str = argument("platt", choices=get_args(CalibrationKind), meaning="calibration of the probabilities")
    threshold: str = argument("balanced_accuracy", meaning="rule of the decision threshold")
    abstention: str = argument("share(0.15)", meaning="rule of abstention")
    ood_flag: int = argument(1, low=0, high=1, meaning="1: fit a detector of images that are out of distribution")
    # fmt: on

    def to_dict(self) -> dict[str, Any]:
        """Return every field.

        Returns
        -------
        dict
            Value by name, as in run.json.
        """
        return {**dataclasses.asdict(self), "model_kwargs": dict(self.model_kwargs)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Recipe:
        """Return the recipe of run.json. Raises a UserError for an unknown field, so that no setting is dropped silently.

        Parameters
        ----------
        value : mapping
            Value by name of field; fields that are absent have their defaults.

        Returns
        -------
        Recipe
            The recipe.
        """
        value = {RECIPE_FIELDS_1.get(key, key): item for key, item in value.items()}
        errors = ErrorCollector()
        for key in value:
            if key not in FIELDS:
                errors.add(_unknown_field(key))
        errors.raise_if_any()
        return cls(**{**value, "model_kwargs": FIELDS["model_kwargs"].convert(value.get("model_kwargs", {}))})

    def overrides(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults.

        Returns
        -------
        dict
            Value by name.
        """
        return {key: value for key, value in self.to_dict().items() if getattr(self, key) != FIELDS[key].default}


FIELDS: dict[str, Argument] = {field.name: field for field in arguments_of(Recipe)}


def _document() -> str:
    """Return the docstring of Recipe with a section on its fields, from their specifications."""
    parts = [f"{Recipe.__doc__}\n\nParameters\n----------"]
    for field in FIELDS.values():
        kind = (
            "dict"
            if isinstance(field.default, tuple)
            else "str"
            if field.is_text
            else "int"
            if field.is_whole
            else "float"
        )
        default = "" if field.default is dataclasses.MISSING else f", default {field.default!r}"
        meaning = field.meaning[0].upper() + field.meaning[1:]
        parts.append(f"{field.name} : {kind}{default}\n    {meaning} ({field.allowed}).")
    parts.append(EXAMPLE)
    return "\n".join(parts)


EXAMPLE = """
See Also
--------
load_recipe : Return a recipe by its name.
train : Train a recipe into a run folder.

Examples
--------
>>> import mitotype
>>> recipe = mitotype.load_recipe("demo")
>>> recipe.backbone
'd4resnet-tiny'
"""
Recipe.__doc__ = _document()


def read_recipe(path: Path) -> Recipe:
    """Return the recipe of a run, given its folder or its run.json."""
    path = path / names.RUN if path.is_dir() else path
    return Recipe.from_dict(records.read(path, RunRecord, what="run").recipe)


def with_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Return `recipe` with fields changed by texts such as "epochs=5" or "augment=d4 | crop(64)".

    Raises a UserError for unknown fields and for values of the wrong type; ranges are checked by `validate_recipe`.
    """
    changes: dict[str, Any] = {}
    errors = ErrorCollector()
    for setting in settings:
        name, equals, text = (part.strip() for part in setting.partition("="))
        with errors.capture():
            if not equals:
                raise UserError(f"'{setting}' changes nothing.", allowed="FIELD=VALUE, as in epochs=5")
            if name in RECIPE_FIELDS_1:
                new = RECIPE_FIELDS_1[name]
                warnings.warn(f"The recipe field '{name}' is now called '{new}'.", FutureWarning, stacklevel=2)
                name = new
            if name not in FIELDS or name == "name":
                raise _unknown_field(name)
            changes[name] = _parse(FIELDS[name], text)
    errors.raise_if_any()
    return dataclasses.replace(recipe, **changes)


def _parse(field: Argument, text: str) -> Any:
    if field.is_text:
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = text[:60]
    return field.convert(value)


def _unknown_field(name: str) -> UserError:
    return unknown_name("recipe field", name, FIELDS, HELP)
