"""Target images of `fourier`: crops that follow from the seed, recorded digests, and runs that are trained towards them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mitotype.core.errors import UserError
from mitotype.core.run_layout import LogLine, read_run
from mitotype.core.schema import Cohort
from mitotype.fit import run, target_images
from mitotype.fit.recipe import Recipe
from mitotype.fit.validate import resolve_recipe, validate_recipe

pytestmark = pytest.mark.usefixtures("one_thread")
AUGMENT = "fisheye(0.3) | d4 | fourier(0.05, p=0.5) | crop(64)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of three images, each of one color with a bright right half."""
    for i, (width, height) in enumerate([(200, 90), (300, 400), (64, 64)]):
        image_HW3 = np.full((height, width, 3), 40 * i, np.uint8)
        image_HW3[:, width // 2 :, 0] = 200
        (tmp_path / "targets" / "inner").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image_HW3).save(tmp_path / "targets" / ("inner" if i else "") / f"{i}.png")
    return tmp_path / "targets"


def recipe_of(**fields: object) -> Recipe:
    return Recipe(
        name="x", backbone="vit-mini8", model_kwargs=(("depth", 1),), size_px=64, augment=AUGMENT, tta="identity",
        cutmix=1.0, epochs=2, batch=8, warmup_epochs=0.5, ema_decay=0.9, folds="none", n_final_models=1, precision="fp32",
        ood_flag=0, **fields,
    )  # fmt: skip


def test_crops_of_a_folder(folder: Path) -> None:
    recipe = recipe_of(fourier_targets=str(folder))
    record = target_images.describe(recipe)
    assert record is not None and record.folder == str(folder) and len(set(record.digests)) == 3
    bank_K3CC = target_images.crops(recipe, record, 128)
    assert bank_K3CC is not None and bank_K3CC.shape == (256, 3, 64, 64) and bank_K3CC.dtype == np.uint8
    color_K = bank_K3CC[:, 1].mean((1, 2))
    assert sorted({round(float(color)) for color in color_K}) == [0, 40, 80]
    assert np.bincount(np.round(color_K / 40).astype(int)).min() >= 85, "each image has as many crops"
    edges = {int((crop_3CC[0] > 150).sum(1)[0]) for crop_3CC in bank_K3CC}
    assert min(edges) == 0 and max(edges) == 64 and len(edges) > 30, "positions are random"
    assert np.array_equal(target_images.crops(recipe, record, 128), bank_K3CC)
    other = dataclasses.replace(recipe, seed=1)
    assert not np.array_equal(target_images.crops(other, target_images.describe(other), 128), bank_K3CC)


def test_more_images_than_crops(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_images, "N_CROPS", 2)
    recipe = recipe_of(fourier_targets=str(folder))
    record = target_images.describe(recipe)
    assert record is not None and len(record.digests) == 2
    bank_K3CC = target_images.crops(recipe, record, 128)
    assert bank_K3CC is not None and len(bank_K3CC) == 2


def test_photographs_of_scikit_image() -> None:
    recipe = recipe_of()
    record = target_images.describe(recipe)
    bank_K3CC = target_images.crops(recipe, record, 128)
    assert record is not None and bank_K3CC is not None and len(record.digests) == len(target_images.PHOTOGRAPHS)
    spread = torch.from_numpy(bank_K3CC).float().std((2, 3)).mean(1)
    assert spread.median() > 20, "crops show scenes"
    assert target_images.describe(dataclasses.replace(recipe, augment="crop(64)")) is None
    assert target_images.crops(recipe, None, 128) is None


def test_invalid_targets(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no step that reads it"):
        validate_recipe(dataclasses.replace(recipe_of(fourier_targets=str(folder)), augment="crop(64)"))
    with pytest.raises(UserError, match="There is no folder"):
        target_images.describe(recipe_of(fourier_targets=str(tmp_path / "absent")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no target images"):
        target_images.describe(recipe_of(fourier_targets=str(tmp_path / "empty")))
    Image.new("L", (80, 80)).save(folder / "grey.png")
    with pytest.raises(UserError, match="is greyscale"):
        target_images.describe(recipe_of(fourier_targets=str(folder)))
    monkeypatch.chdir(folder.parent)
    assert resolve_recipe(recipe_of(fourier_targets="targets")).fourier_targets == str(folder)
    with pytest.raises(UserError, match="less than one frequency"):
        validate_recipe(dataclasses.replace(recipe_of(), augment="fourier(0.01) | crop(64)"))
    for field in ("mixup", "cutmix"):
        contrast = dataclasses.replace(
            recipe_of(objective="contrast(0.2)", n_views=2, sampler="uniform"), mixup=0, cutmix=0
        )
        validate_recipe(contrast)
        with pytest.raises(UserError, match=f"set {field}=0"):
            validate_recipe(dataclasses.replace(contrast, **{field: 0.3}))


class Stopped(Exception):
    pass


def stopped(recipe: Recipe, cohort: Cohort, run_dir: Path, after: int = 2) -> Path:
    """A run that was stopped at its log line `after`."""
    lines: list[LogLine] = []

    def on_log(line: LogLine) -> None:
        lines.append(line)
        if len(lines) == after:
            raise Stopped

    with pytest.raises(Stopped):
        run.start(recipe, cohort, run_dir, on_log=on_log)
    return run_dir


def losses(recipe: Recipe, cohort: Cohort, run_dir: Path) -> torch.Tensor:
    lines: list[LogLine] = []
    run.start(recipe, cohort, run_dir, on_log=lines.append)
    return torch.tensor([line.loss for line in lines])


@pytest.mark.usefixtures("quick_checkpoints")
def test_a_run_resumes_and_accumulates_to_the_same_numbers(toy_cohort: Cohort, tmp_path: Path) -> None:
    few = toy_cohort.take(toy_cohort.rows.index < 24)
    recipe = recipe_of(mixup=0.3)
    never = losses(recipe, few, tmp_path / "never")
    accumulated = losses(dataclasses.replace(recipe, grad_accum_steps=2), few, tmp_path / "parts")
    assert len(never) == 2
    torch.testing.assert_close(accumulated, never, atol=1e-5, rtol=1e-5)
    run.resume(stopped(recipe, few, tmp_path / "stopped"))
    first, second = (
        (tmp_path / name / "members" / "all-seed0" / "model.safetensors").read_bytes() for name in ("never", "stopped")
    )
    assert first == second
    record = read_run(tmp_path / "never")
    assert record.fourier_targets is not None and record.fourier_targets.folder == ""
    assert any("photographs of scikit-image" in note for note in record.notes)


def test_changed_targets_are_refused(toy_cohort: Cohort, folder: Path, tmp_path: Path) -> None:
    few = toy_cohort.take(toy_cohort.rows.index < 24)
    run_dir = stopped(recipe_of(fourier_targets=str(folder)), few, tmp_path / "run", 1)
    record = read_run(run_dir)
    assert record.fourier_targets is not None and len(record.fourier_targets.digests) == 3
    assert not any("scikit-image" in note for note in record.notes)
    Image.fromarray(np.full((64, 64, 3), 7, np.uint8)).save(folder / "0.png")
    with pytest.raises(UserError, match=r"target images of the run have changed.*0\.png"):
        run.resume(run_dir)
