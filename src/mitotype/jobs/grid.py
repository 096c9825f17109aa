"""Grid: the cells of a benchmark, backbone × adaptation, and those that are left out, each with its reason."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotype.core import sentence
from mitotype.core.mistakes import Collector, Mistake
from mitotype.fit.recipe import Recipe

if TYPE_CHECKING:
    from mitotype.backbones.adapters import Adaptation

FLOOR = "morphology"  # what any net should pass: shape descriptors with a logistic head
PROBE = "probe"
RecipeOf = Callable[[str, str], Recipe]


@dataclass(frozen=True)
class Cell:
    """One backbone (or feature) under one adaptation."""

    backbone: str
    adaptation: str

    @property
    def name(self) -> str:
        """The name of its run's folder."""
        return f"{self.backbone}-{re.sub('[^0-9A-Za-z]+', '-', self.adaptation).strip('-')}"

    def __str__(self) -> str:
        return f"{self.backbone}, {self.adaptation}"


@dataclass(frozen=True)
class LeftOut:
    """A cell that is not trained or that failed, why, and what mends it where that is known."""

    cell: Cell
    reason: str
    fix: str = ""


@dataclass(frozen=True)
class Grid:
    """The cells that are trained, the floor first, each with its recipe, and those that are not."""

    cells: tuple[tuple[Cell, Recipe], ...]
    left_out: tuple[LeftOut, ...]


def cells(backbones: Sequence[str], adaptations: Sequence[str]) -> list[Cell]:
    """Every backbone under every adaptation in the order asked for, after the floor; a feature has one cell, its head.

    Raises a Mistake that tells every name and every sentence that is not understood.
    """
    from mitotype.backbones import adapters
    from mitotype.backbones import backbones as shelf
    from mitotype.features import features

    trouble = Collector()
    words, found = [], [Cell(FLOOR, PROBE)]
    for text in adaptations:
        with trouble.note():
            adapters.read(text)
            words.append(str(sentence.pipeline(text)[0]))
    for name in backbones:
        with trouble.note():
            if name in features:
                found.append(Cell(name, PROBE))
                continue
            shelf.get(name)
            found += [Cell(name, word) for word in words]
    if not backbones:
        trouble.add(
            Mistake("No backbone is named.", fix="name some with --backbones; see them all: mitotype backbones")
        )
    if not adaptations:
        trouble.add(Mistake("No adaptation is named.", allowed=", ".join(adapters.ADAPTATIONS)))
    trouble.settle()
    return list(dict.fromkeys(found))


def plan(backbones: Sequence[str], adaptations: Sequence[str], recipe_of: RecipeOf) -> Grid:
    """The grid with the recipe of each cell. What a backbone does not offer is left out, as are a cell without a recipe, one
    whose weights are not to be had, and one whose recipe another cell has.

    Raises a Mistake where a recipe does not fit together, or where nothing but the floor remains.
    """
    kept, left = [], []
    trouble = Collector()
    first: dict[tuple[Recipe, Adaptation], Cell] = {}
    not_had = functools.cache(_not_had)  # one that cannot be fetched is asked for once
    for cell in cells(backbones, adaptations):
        reason = refusal(cell)
        recipe = None
        if not reason:
            try:
                recipe = recipe_of(cell.backbone, cell.adaptation)
            except Mistake as mistake:
                reason = mistake.what
        reason = reason or (_without_weights(recipe, not_had) if recipe else "")
        if reason or recipe is None:
            left.append(LeftOut(cell, reason))
            continue
        with trouble.note():
            _check(cell, recipe)
            same = first.setdefault(_sense(recipe), cell)
            if same != cell:
                left.append(LeftOut(cell, f"its recipe is that of '{same.adaptation}'"))
                continue
            kept.append((cell, recipe))
    trouble.settle()
    if left and {cell.backbone for cell, _ in kept} <= {FLOOR}:
        told = "\n".join(f"- {one.cell}: {one.reason}" for one in left)
        raise Mistake(f"No cell of this benchmark can be trained:\n{told}", fix="name other backbones or adaptations")
    return Grid(tuple(kept), tuple(left))


def _sense(recipe: Recipe) -> tuple[Recipe, Adaptation]:
    """A recipe with its adaptation as read: "full(1)" is "full"."""
    from mitotype.backbones import adapters

    return dataclasses.replace(recipe, adaptation=""), adapters.read(recipe.adaptation)


def refusal(cell: Cell) -> str:
    """Why a backbone does not offer an adaptation, or nothing."""
    from mitotype.backbones import adapters, backbones
    from mitotype.features import features

    if cell.backbone in features:
        return "" if cell.adaptation == PROBE else "a feature has nothing to train but its head"
    facts, asked = backbones.get(cell.backbone).facts, adapters.read(cell.adaptation)
    if isinstance(asked, adapters.Lora) and facts.lora_targets is None:
        return "LoRA is not offered for this net"
    if isinstance(asked, adapters.Prompt) and not facts.blocks:
        return "prompts need a transformer's tokens, and this net has none"
    if asked.last and not facts.blocks:
        return "last=… needs a transformer's blocks, and this net has none"
    return ""


def _without_weights(recipe: Recipe, not_had: Callable[[str], str]) -> str:
    """Why a recipe's base weights are not to be had, or nothing."""
    from mitotype.backbones import weights
    from mitotype.features import features

    if recipe.backbone in features:
        return ""
    if not recipe.init_from:
        return "" if recipe.adaptation.startswith("full") else "no weights to adapt: none are published or named"
    return not_had(recipe.backbone) if recipe.init_from == weights.PUBLISHED else ""


def _not_had(backbone: str) -> str:
    """Why a backbone's published weights are not to be had, or nothing; they are fetched here."""
    from mitotype.backbones import weights

    try:
        weights.find(backbone, weights.PUBLISHED)
    except Mistake as mistake:
        return mistake.what
    return ""


def _check(cell: Cell, recipe: Recipe) -> None:
    """A recipe that fits together, of the cell's backbone, whose members all leave out a fold."""
    try:
        recipe.check()
    except Mistake as mistake:
        raise Mistake(f"{cell}: {mistake.what}", allowed=mistake.allowed, fix=mistake.fix) from mistake
    if recipe.backbone != cell.backbone:
        raise Mistake(f"{cell}: its recipe is of '{recipe.backbone}'.", fix="change the backbone with --backbones")
    _check_numbers(cell, recipe)
    if recipe.folds == "none" or recipe.refit:
        what = f"{cell}: the mean and spread of a benchmark are those of members that left out a fold."
        raise Mistake(what, allowed="refit=0, and folds that are not none")


def _check_numbers(cell: Cell, recipe: Recipe) -> None:
    """Numbers that are asked for are those that are trained. A word alone leaves them to the recipe."""
    from mitotype.backbones import adapters

    word, numbers, _ = cell.adaptation.partition("(")
    if not numbers or word != recipe.adaptation.partition("(")[0].strip():
        return
    if adapters.read(cell.adaptation) != adapters.read(recipe.adaptation):
        raise Mistake(f"{cell}: its recipe trains '{recipe.adaptation}'.", allowed=f'--adapt "{recipe.adaptation}"')
