"""A few steps of every fitter: the losses that were logged and the out-of-fold logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.golden.cohorts import training, weights_file
from tests.golden.numbers import Flat, flat
from tests.golden.package import Cohort, Recipe, run, table

SHORT: dict[str, Any] = {
    "augment": "affine(180, 0.1, 0.1, 2) | d4 | stain(0.1, 0.05, 0.2) | crop(64)", "tta": "identity", "epochs": 3, "batch": 16,
    "warmup_epochs": 1.0, "folds": "2", "precision": "fp32", "ema_decay": 0.5, "ood_flag": 0,
}  # fmt: skip
RECIPES = {
    "d4resnet": Recipe(
        name="d4resnet", backbone="d4resnet-tiny", objective="soft_bce + 0.3 * expert + 0.3 * descriptor(219)", mixup=0.3,
        sampler="class_balanced(0.5)", optimizer="muon", lr=5e-3, grad_clip=1.0, n_final_models=1, head_dropout=0.1, **SHORT,
    ),
    "resnet": replace(
        Recipe(name="resnet", backbone="resnet10", objective="bce", lr=1e-3, **SHORT),
        augment="elastic(3, 16) | blur(1, p=0.5) | crop(64)", tta="flip", vote_smoothing=1.0, schedule="constant", warmup_epochs=0.0,
        ema_decay=0.0,
    ),
    "lora": Recipe(name="lora", backbone="tiny-uni2-h", adaptation="lora(4, 8)", lr=0.01, grad_clip=1.0, **SHORT),
    "prompts": Recipe(name="prompts", backbone="tiny-virchow2", adaptation="prompts(2)", lr=0.01, **SHORT),
    "probe": replace(Recipe(name="probe", backbone="tiny-uni2-h", adaptation="probe", **SHORT), tta="flip"),
    "knn": Recipe(name="knn", backbone="tiny-uni2-h", adaptation="knn(5)", **SHORT),
    "prototype": Recipe(name="prototype", backbone="tiny-uni2-h", adaptation="prototype", **SHORT),
    "morphology": replace(
        Recipe(name="morphology", backbone="morphology", adaptation="probe", **SHORT), augment="crop(64)", size_px=64
    ),
}  # fmt: skip


def sized(recipe: Recipe, folder: Path) -> Recipe:
    """A recipe on a sibling takes its weights from a file of the folder."""
    if not recipe.backbone.startswith("tiny-"):
        return recipe
    return replace(recipe, init_from=str(weights_file(recipe.backbone, folder)))


def fit(recipe: Recipe, cohort: Cohort, folder: Path) -> tuple[Path, list[Any]]:
    """The finished run and the lines that it logged."""
    lines: list[Any] = []
    run_dir = run.start(recipe, cohort, folder / f"run-{recipe.name}", device="cpu", on_log=lines.append)
    return run_dir, lines


def numbers(name: str, cohort: Cohort, folder: Path) -> Flat:
    run_dir, lines = fit(sized(RECIPES[name], folder), training(cohort), folder)
    rows = table.read(run_dir).scores
    losses = {f"{line.member}/{line.epoch}": line.loss for line in lines}
    logits = {
        f"{row.member}/{row.view}/{row.patch_id.rsplit('/', 1)[-1]}": row.logit for row in rows.itertuples(index=False)
    }
    return flat({"loss": losses, "logit": logits})
