"""The grid: names become cells, what a backbone does not offer is left out with its reason, what is mistaken is told."""

from __future__ import annotations

import pytest

from mitotype.core.mistakes import Mistake
from mitotype.fit.recipe import Recipe
from mitotype.jobs import grid
from mitotype.jobs.grid import Cell
from mitotype.recipes.benchmark import shared


def recipe_of(backbone: str, adaptation: str) -> Recipe:
    return shared(backbone, adaptation, "published")


def test_the_floor_is_first_and_a_feature_has_one_cell() -> None:
    found = grid.cells(["resnet10", "morphology", "uni"], ["probe", "lora(8,16)", "full"])
    assert found[0] == Cell("morphology", "probe")
    assert [str(cell) for cell in found[1:]] == [
        f"{net}, {word}" for net in ("resnet10", "uni") for word in ("probe", "lora(8, 16)", "full")
    ]
    assert Cell("uni", "lora(8, 16)").name == "uni-lora-8-16"
    assert len({cell.name for cell in found}) == len(found)


def test_every_mistaken_word_is_told_at_once() -> None:
    with pytest.raises(Mistake) as told:
        grid.cells(["resnt10", "uni"], ["lorra(8)", "full"])
    assert "resnet10" in str(told.value)
    assert "lorra" in str(told.value)


def test_what_is_not_offered_is_left_out_with_its_reason() -> None:
    planned = grid.plan(
        ["resnet10", "vit-mini8"], ["probe", "lora(8, 16)", "prompts(8)", "full(last=2)", "full"], recipe_of
    )
    assert [str(cell) for cell, _ in planned.cells] == [
        "morphology, probe", "resnet10, full", "vit-mini8, full(last=2)", "vit-mini8, full"
    ]  # fmt: skip
    why = {str(one.cell): one.reason for one in planned.left_out}
    assert "LoRA is not offered" in why["resnet10, lora(8, 16)"]
    assert "tokens" in why["resnet10, prompts(8)"]
    assert "blocks" in why["resnet10, full(last=2)"]
    assert "no weights to adapt" in why["resnet10, probe"]
    assert "no weights to adapt" in why["vit-mini8, lora(8, 16)"]


def test_weights_that_are_not_to_be_had_leave_a_cell_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from mitotype.backbones import weights

    asked: list[str] = []

    def gone(name: str, where: str) -> None:
        asked.append(name)
        raise Mistake(f"The weights of {name} are gated.")

    monkeypatch.setattr(weights, "find", gone)
    planned = grid.plan(["uni", "resnet10"], ["full", "full(0.9)"], recipe_of)
    assert [str(one.cell) for one in planned.left_out] == ["uni, full", "uni, full(0.9)"]
    assert asked == ["uni"]
    assert "gated" in planned.left_out[0].reason
    with pytest.raises(Mistake, match=r"No cell of this benchmark(.|\n)*gated"):
        grid.plan(["uni"], ["full"], recipe_of)


def test_recipes_that_do_not_fit_are_mistakes() -> None:
    import dataclasses

    def refitted(backbone: str, adaptation: str) -> Recipe:
        return dataclasses.replace(recipe_of(backbone, adaptation), refit=1)

    with pytest.raises(Mistake, match="refit=0"):
        grid.plan(["resnet10"], ["full"], refitted)

    def hot(backbone: str, adaptation: str) -> Recipe:
        return dataclasses.replace(recipe_of(backbone, adaptation), epochs=0)

    with pytest.raises(Mistake, match="resnet10, full: "):
        grid.plan(["resnet10"], ["full"], hot)


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
def test_the_shared_recipe(backbone: str, adaptation: str, init_from: str, expected: tuple[object, ...]) -> None:
    recipe = shared(backbone, adaptation, init_from)
    assert (recipe.adaptation, recipe.init_from, recipe.lr, recipe.size_px) == expected
    recipe.check()


def test_equal_recipes_are_trained_once() -> None:
    planned = grid.plan(["vit-mini8"], ["full", "full(0.75)", "full(0.9)"], lambda b, a: shared(b, a, "runs/pretrain"))
    assert [str(cell) for cell, _ in planned.cells[1:]] == ["vit-mini8, full", "vit-mini8, full(0.9)"]
    assert planned.left_out == (grid.LeftOut(Cell("vit-mini8", "full(0.75)"), "its recipe is that of 'full'"),)


def test_numbers_that_are_asked_for_are_trained() -> None:
    from mitotype.cli.bench import ADAPTATIONS
    from mitotype.recipes.study import study

    with pytest.raises(Mistake, match=r"trains 'lora\(8, 16, 0.3\)'") as told:
        grid._check(Cell("uni", "lora(4, 8)"), study("uni", "lora(4, 8)"))
    assert told.value.allowed == '--adapt "lora(8, 16, 0.3)"'
    for word in ("lora", *ADAPTATIONS["study"]):
        backbone = "swin-base" if word == "full" else "uni"
        grid._check(Cell(backbone, word), study(backbone, word))
