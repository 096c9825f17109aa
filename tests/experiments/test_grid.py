"""The grid of a benchmark: cells, skipped cells with their reasons, and errors."""

from __future__ import annotations

import dataclasses

import pytest

from mitotype.api.benchmarking import ADAPTATIONS
from mitotype.core.errors import UserError
from mitotype.experiments import grid
from mitotype.experiments.grid import Cell
from mitotype.fit.recipe import Recipe
from mitotype.fit.validate import validate_recipe
from mitotype.recipes.benchmark import shared_recipe
from mitotype.recipes.study import study_recipe


def recipe_of(backbone: str, adaptation: str) -> Recipe:
    return shared_recipe(backbone, adaptation, "published")


def test_the_baseline_is_first_and_a_feature_has_one_cell() -> None:
    cells = grid.list_cells(["resnet10", "morphology", "uni"], ["probe", "lora(8,16)", "full"])
    assert cells[0] == Cell("morphology", "probe")
    assert [str(cell) for cell in cells[1:]] == [
        f"{net}, {adaptation}" for net in ("resnet10", "uni") for adaptation in ("probe", "lora(8, 16)", "full")
    ]
    assert Cell("uni", "lora(8, 16)").name == "uni-lora-8-16"
    assert len({cell.name for cell in cells}) == len(cells)


def test_all_errors_are_reported_together() -> None:
    with pytest.raises(UserError) as error:
        grid.list_cells(["resnt10", "uni"], ["lorra(8)", "full"])
    assert "resnet10" in str(error.value)
    assert "lorra" in str(error.value)


def test_unsupported_cells_are_skipped_with_a_reason() -> None:
    built = grid.build_grid(
        ["resnet10", "vit-mini8"], ["probe", "lora(8, 16)", "prompts(8)", "full(last=2)", "full"], recipe_of
    )
    assert [str(cell) for cell, _ in built.cells] == [
        "morphology, probe", "resnet10, full", "vit-mini8, full(last=2)", "vit-mini8, full"
    ]  # fmt: skip
    reasons = {str(skipped): skipped.reason for skipped in built.skipped}
    assert "LoRA is not offered" in reasons["resnet10, lora(8, 16)"]
    assert "tokens" in reasons["resnet10, prompts(8)"]
    assert "blocks" in reasons["resnet10, full(last=2)"]
    assert "no weights to adapt" in reasons["resnet10, probe"]
    assert "no weights to adapt" in reasons["vit-mini8, lora(8, 16)"]


def test_cells_without_available_weights_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    from mitotype.backbones import weights

    names: list[str] = []

    def find(name: str, source: str) -> None:
        names.append(name)
        raise UserError(f"The weights of {name} are gated.")

    monkeypatch.setattr(weights, "find", find)
    built = grid.build_grid(["uni", "resnet10"], ["full", "full(0.9)"], recipe_of)
    assert [str(skipped) for skipped in built.skipped] == ["uni, full", "uni, full(0.9)"]
    assert names == ["uni"]
    assert "gated" in built.skipped[0].reason
    with pytest.raises(UserError, match=r"No cell of this benchmark(.|\n)*gated"):
        grid.build_grid(["uni"], ["full"], recipe_of)


def test_invalid_recipes_are_refused() -> None:
    def with_final_model(backbone: str, adaptation: str) -> Recipe:
        return dataclasses.replace(recipe_of(backbone, adaptation), n_final_models=1)

    with pytest.raises(UserError, match="n_final_models=0"):
        grid.build_grid(["resnet10"], ["full"], with_final_model)

    def untrained(backbone: str, adaptation: str) -> Recipe:
        return dataclasses.replace(recipe_of(backbone, adaptation), epochs=0)

    with pytest.raises(UserError, match="resnet10, full: "):
        grid.build_grid(["resnet10"], ["full"], untrained)


@pytest.mark.parametrize(
    ("backbone", "adaptation", "init_from", "expected"),
    [
        ("resnet10", "full", "published", ("full", "", 1e-3, 64)),
        ("uni", "full", "published", ("full(0.75)", "published", 3e-4, 224)),
        ("uni", "full(0.9)", "published", ("full(0.9)", "published", 3e-4, 224)),
        ("uni", "lora(8, 16)", "published", ("lora(8, 16)", "published", 1e-3, 224)),
        ("uni", "prompts(8)", "published", ("prompts(8)", "published", 1e-2, 224)),
        ("vit-mini8", "full", "runs/pretrain", ("full(0.75)", "runs/pretrain", 3e-4, 64)),
        ("swin-base", "full", "published", ("full", "published", 3e-4, 224)),
        ("morphology", "probe", "published", ("probe", "", 1e-3, 64)),
    ],
)
def test_shared_recipe(backbone: str, adaptation: str, init_from: str, expected: tuple[object, ...]) -> None:
    recipe = shared_recipe(backbone, adaptation, init_from)
    assert (recipe.adaptation, recipe.init_from, recipe.lr, recipe.size_px) == expected
    validate_recipe(recipe)


def test_equal_recipes_are_trained_once() -> None:
    built = grid.build_grid(
        ["vit-mini8"], ["full", "full(0.75)", "full(0.9)"], lambda b, a: shared_recipe(b, a, "runs/pretrain")
    )
    assert [str(cell) for cell, _ in built.cells[1:]] == ["vit-mini8, full", "vit-mini8, full(0.9)"]
    assert built.skipped == (grid.Skipped("vit-mini8", "full(0.75)", "its recipe is that of 'full'"),)


def test_arguments_of_an_adaptation_are_those_that_are_trained() -> None:
    with pytest.raises(UserError, match=r"trains 'lora\(8, 16, 0.3, targets=all\)'") as error:
        grid._check_recipe(Cell("uni", "lora(4, 8)"), study_recipe("uni", "lora(4, 8)"))
    assert error.value.allowed == '--adaptations "lora(8, 16, 0.3, targets=all)"'
    for adaptation in ("lora", *ADAPTATIONS["study"]):
        backbone = "swin-base" if adaptation == "full" else "uni"
        grid._check_recipe(Cell(backbone, adaptation), study_recipe(backbone, adaptation))
