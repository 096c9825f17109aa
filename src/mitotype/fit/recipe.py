"""Recipe: everything that decides a run, frozen. A recipe is written as a Python function and dumped whole into run.json."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from mitotype.core import files
from mitotype.core.mistakes import Collector, Mistake, unknown


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One run.

    backbone, size_px, pooling   shelf key, side of the net's input (0 = the facts' default), variant of pooling ("" likewise)
    colours                      "" = the colour statistics of the facts; "imagenet" or "half" against them, to repeat a study
    options                      of the trunk's builder, such as {"drop_path_rate": 0.1}
    init_from                    where the trunk's weights come from: "" = random ones, "published" = the publisher's, a file or
                                 folder of weights, or a run: its member that left out the same fold, or, if it read no labels,
                                 the one trained on every patch
    adaptation                   what is trained: "full", "full(0.75)", "lora(8, 16)", "prompts(8)", or a probe: "probe", "knn(20)",
                                 "prototype", see `backbones.adapters`
    head_dropout                 share of the embedding dropped before the heads
    frame, augment, views        sentences of the room `views`: framing, training only, test time
    objective                    a sentence of the room `losses`
    votes_prior                  a in the soft target (votes_for + a) / (votes + 2a)
    sampler                      a sentence of `fit.samplers`
    mixup                        α of Beta(α, α) for MixUp, 0 = none
    draws                        augmentations of every patch in a step
    epochs, batch                an epoch is one draw per training patch; a step sees `batch` patches
    accumulate                   parts in which a step's batch goes through the net, to fit into memory
    recompute                    1: activations are made again in the backward pass, which saves memory and costs time
    compile                      1: the trunk's blocks are compiled by torch (minutes at the start, faster steps on a GPU)
    optimiser                    "adamw", "muon" for the trunk's matrices and AdamW for the rest, "adam", see `fit.optimisers`
    lr, beta2, muon_lr           AdamW's learning rate and second decay, Muon's learning rate
    weight_decay                 none on norms and biases
    warmup_epochs, schedule      the rates rise linearly, then follow "cosine" (to 0), "constant" or "plateau(0.5, 3)"
    patience                     epochs without a better held-out balanced accuracy before training stops and the best epoch's
                                 weights are kept; 0 = never, and nobody looks. The rows of the fold that was looked at flatter
    clip                         largest norm of the gradient, 0 = none
    ema_decay                    of the moving average of the weights, which is what is kept; 0 = the last weights
    folds                        "study" (the stored ones), "domain" (leave one out), a number of folds, or "none"
    seeds                        members per fold
    refit                        members trained on every patch; with 0 the fold members are deployed
    precision                    "auto", "fp32" or "bf16"; auto is bf16 where the machine multiplies it in hardware
    teacher                      a run whose scores are learnt by the term `distil` ("" = none)
    calibration, threshold,      rules of the room `scores` for the decision,
    abstention                   fitted on out-of-fold rows
    flag                         1: fit the flag *unlike the training figures*, 0: leave it out
    """

    name: str
    backbone: str
    size_px: int = 0
    pooling: str = ""
    colours: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    init_from: str = ""
    adaptation: str = "full"
    head_dropout: float = 0.0
    frame: str = "crop(64)"
    augment: str = "d4 | crop(64)"
    views: str = "d4"
    objective: str = "soft_bce"
    votes_prior: float = 0.0
    sampler: str = "class_balanced"
    mixup: float = 0.0
    draws: int = 1
    epochs: int = 30
    batch: int = 64
    accumulate: int = 1
    recompute: int = 0
    compile: int = 0
    optimiser: str = "adamw"
    lr: float = 1e-3
    beta2: float = 0.999
    muon_lr: float = 0.02
    weight_decay: float = 0.05
    warmup_epochs: float = 2.0
    schedule: str = "cosine"
    patience: int = 0
    clip: float = 0.0
    ema_decay: float = 0.998
    folds: str = "study"
    seeds: int = 1
    refit: int = 0
    seed: int = 0
    precision: str = "auto"
    teacher: str = ""
    calibration: str = "platt"
    threshold: str = "balanced_accuracy"
    abstention: str = "share(0.15)"
    flag: int = 1

    def check(self) -> None:
        """Build every sentence once; all mistakes are told together."""
        from mitotype.backbones import adapters
        from mitotype.fit import samplers, schedule
        from mitotype.losses import Objective
        from mitotype.views import Augment, Frame, views_at_test

        trouble = Collector()
        for build in (
            self._check_backbone,
            lambda: Frame(self.frame),
            lambda: Augment(self.augment),
            lambda: views_at_test(self.views),
            lambda: Objective(self.objective),
            lambda: samplers.read(self.sampler),
            lambda: schedule.read(self.schedule),
            lambda: adapters.read(self.adaptation),
            self._check_sizes,
            self._check_terms,
            self._check_members,
            self._check_numbers,
        ):
            with trouble.note():
                build()
        trouble.settle()

    def _check_backbone(self) -> None:
        """A backbone with what is adapted of it, or a feature with its logistic head."""
        from mitotype.backbones import adapters, backbones
        from mitotype.backbones.facts import COLOURS
        from mitotype.features import features
        from mitotype.losses import Objective

        probe = adapters.is_probe(self.adaptation)
        if self.backbone in features:
            if self.adaptation != "probe":
                raise Mistake(f"'{self.backbone}' is a feature and has nothing to train.", allowed="adaptation=probe")
            return
        facts = backbones.get(self.backbone).facts
        facts.check_size(self.size_px or facts.size_px, self.backbone)
        if self.pooling and self.pooling not in facts.pooling:
            raise Mistake(f"{self.backbone} has no pooling '{self.pooling}'.", allowed=", ".join(sorted(facts.pooling)))
        if self.colours and self.colours not in COLOURS:
            raise Mistake(f"colours is '{self.colours}'.", allowed=", ".join(sorted(COLOURS)))
        layered = facts.blocks > 0 or facts.keys != "own"  # every net that timm builds knows its layers
        if not layered and (self.recompute or getattr(adapters.read(self.adaptation), "decay", 1) != 1):
            what = f"{self.backbone} has no blocks for recompute=1 or for a rate that falls from block to block."
            raise Mistake(what, fix="set recompute=0 and adaptation=full")
        if probe and Objective(self.objective).heads():
            raise Mistake("A probe solves one head.", allowed="objective=soft_bce")
        if not self.adaptation.startswith("full") and not self.init_from:
            what = (
                f"'{self.adaptation}' adapts weights, and init_from names none: adapting random ones measures nothing."
            )
            raise Mistake(what, allowed="init_from=published, or a file, folder or run")

    def _check_sizes(self) -> None:
        """Training and test see pictures of one size; sentences that are none have been told already."""
        from mitotype.core.words import PATCH_PX
        from mitotype.views import Augment, Frame

        try:
            framed, augmented = Frame(self.frame).output_px(PATCH_PX), Augment(self.augment).output_px(PATCH_PX)
        except Mistake:
            return
        if framed != augmented:
            what = f"frame gives {framed} px and augment {augmented} px."
            raise Mistake(what, fix="let both end with the same crop")

    def _check_terms(self) -> None:
        """What a term needs of the other fields; an objective that is none has been told already."""
        from mitotype.core import sentence
        from mitotype.losses import losses

        try:
            terms = {step.name: losses.get(step.name) for step in sentence.weighted_sum(self.objective)}
        except Mistake:
            return
        trouble = Collector()
        for name, term in terms.items():
            if term.reads_teacher and not self.teacher:
                what = f"The term '{name}' learns the scores of a teacher, and none is named."
                trouble.add(Mistake(what, fix=f"set teacher=RUN, or leave {name} out of the objective"))
            if term.compares_draws and self.draws < 2:
                trouble.add(Mistake(f"The term '{name}' sees every patch once.", fix="set draws=2"))
            if term.compares_draws and self.mixup:
                trouble.add(Mistake(f"The term '{name}' compares patches, and a mixed one is none.", fix="set mixup=0"))
        if self.teacher and not any(term.reads_teacher for term in terms.values()):
            what = f"The teacher '{self.teacher}' is named, and no term learns its scores."
            trouble.add(Mistake(what, fix="add distil to the objective, or leave the teacher out"))
        trouble.settle()

    def _check_members(self) -> None:
        """A probe is solved, not drawn: its members differ only where those of the run do that they stand on."""
        from mitotype.backbones import adapters
        from mitotype.fit import prior

        if not adapters.is_probe(self.adaptation) or prior.named(self.init_from):
            return
        if max(self.seeds, self.refit) > 1:
            what = "The members of a probe are the same for every seed."
            raise Mistake(what, allowed="seeds=1, and refit of 0 or 1, with this adaptation")

    def _check_numbers(self) -> None:
        trouble = Collector()
        low = {
            "epochs": 1,
            "batch": 2,
            "seeds": 1,
            "refit": 0,
            "lr": 1e-12,
            "mixup": 0,
            "warmup_epochs": 0,
            "votes_prior": 0,
            "draws": 1,
            "accumulate": 1,
            "recompute": 0,
            "compile": 0,
            "flag": 0,
            "patience": 0,
        }
        for field, least in low.items():
            if not least <= getattr(self, field) < 1e6:
                trouble.add(Mistake(f"{field} is {getattr(self, field)}.", allowed=f"at least {least}"))
        for field in ("ema_decay", "head_dropout", "beta2"):
            if not 0 <= getattr(self, field) < 1:
                trouble.add(Mistake(f"{field} is {getattr(self, field)}.", allowed="0 up to, not including, 1"))
        if self.batch % self.accumulate:
            what = f"a batch of {self.batch} does not fall into {self.accumulate} equal parts."
            trouble.add(Mistake(what, fix="let accumulate divide batch"))
        if self.optimiser not in ("adamw", "muon", "adam"):
            trouble.add(Mistake(f"optimiser is '{self.optimiser}'.", allowed="adamw, muon, adam"))
        if self.precision not in ("auto", "fp32", "bf16"):
            trouble.add(Mistake(f"precision is '{self.precision}'.", allowed="auto, fp32, bf16"))
        if self.folds not in ("study", "domain", "none") and not (self.folds.isdigit() and 2 <= int(self.folds) <= 100):
            trouble.add(Mistake(f"folds is '{self.folds}'.", allowed="study, domain, none, or a number from 2 to 100"))
        if self.folds == "none" and not self.refit:
            trouble.add(Mistake("Without folds and without refit nothing is trained.", fix="set refit=1"))
        trouble.settle()

    def resolved(self) -> Recipe:
        """The recipe with the sizes that it leaves to the facts of its backbone, and with paths that hold from everywhere."""
        from mitotype.backbones import backbones
        from mitotype.features import features

        size_px = self.size_px
        if not size_px and self.backbone not in features:
            size_px = backbones.get(self.backbone).facts.size_px
        return dataclasses.replace(
            self, size_px=size_px, init_from=_whole(self.init_from), teacher=_whole(self.teacher)
        )

    def plain(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "options": dict(self.options)}

    def chosen(self) -> dict[str, Any]:
        """The fields that differ from the defaults of Recipe."""
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        return {key: value for key, value in self.plain().items() if getattr(self, key) != defaults[key]}


def _whole(where: str) -> str:
    """A path that is there, from the root; anything else as it is."""
    from mitotype.backbones.weights import PUBLISHED

    path = Path(where).expanduser()
    return str(path.absolute()) if where not in ("", PUBLISHED) and path.exists() else where


def from_plain(value: Mapping[str, Any]) -> Recipe:
    """A recipe from run.json; unknown fields are a Mistake, so that no setting is dropped in silence."""
    known = {f.name for f in dataclasses.fields(Recipe)}
    trouble = Collector()
    for key in value:
        if key not in known:
            trouble.add(unknown("recipe field", key, known, "mitotype recipes default"))
    trouble.settle()
    return Recipe(**{**value, "options": tuple(sorted(dict(value.get("options", {})).items()))})


def from_run(path: Path) -> Recipe:
    """The recipe of a run, given its folder or its run.json."""
    told = files.read_json(path / "run.json" if path.is_dir() else path, what="run")
    if not isinstance(told, dict) or not isinstance(told.get("recipe"), dict):
        raise Mistake(f"'{path}' holds no recipe.", fix="give the run.json of a run")
    return from_plain(told["recipe"])


def with_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """`recipe` with fields changed by "epochs=5" or "augment=d4 | crop(64)"; values are read by the field's type."""
    hints = get_type_hints(Recipe)
    changes: dict[str, Any] = {}
    trouble = Collector()
    for setting in settings:
        field, equals, text = setting.partition("=")
        field = field.strip()
        with trouble.note():
            if not equals:
                raise Mistake(f"'{setting}' changes nothing.", allowed="FIELD=VALUE, as in epochs=5")
            if field not in hints or field == "name":
                raise unknown("recipe field", field, hints, "mitotype recipes default")
            changes[field] = _value(field, hints[field], text.strip())
    trouble.settle()
    return dataclasses.replace(recipe, **changes)


def _value(field: str, kind: Any, text: str) -> Any:
    if kind is str:
        return text
    try:
        value = ast.literal_eval(text)
        if field == "options":
            return tuple(sorted(dict(value).items()))
        if isinstance(value, bool) or not isinstance(value, int | float) or (kind is int and value != int(value)):
            raise ValueError(text)
        return kind(value)
    except (ValueError, SyntaxError, TypeError, OverflowError) as error:
        form = "{'drop_path_rate': 0.1}" if field == "options" else "a whole number" if kind is int else "a number"
        raise Mistake(f"{field}={text[:60]} is not understood.", allowed=form) from error
