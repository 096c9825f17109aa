"""Grid: the cells of a benchmark, backbone × adaptation, and those that are skipped, each with the reason."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mitotype.backbones import backbones, weights
from mitotype.backbones.adaptations import Adaptation, adaptations
from mitotype.core import spec
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.features import features
from mitotype.fit.recipe import Recipe
from mitotype.fit.validate import validate_recipe

BASELINE = "morphology"  # shape descriptors with a logistic head: any net should be better
PROBE = "probe"
RecipeOf = Callable[[str, str], Recipe]


@dataclass(frozen=True)
class Cell:
    """One backbone (or feature) under one adaptation."""

    backbone: str
    adaptation: str

    @property
    def name(self) -> str:
        """The folder name of its run."""
        return f"{self.backbone}-{re.sub('[^0-9A-Za-z]+', '-', self.adaptation).strip('-')}"

    def __str__(self) -> str:
        return f"{self.backbone}, {self.adaptation}"


@dataclass(frozen=True)
class Skipped(Cell):
    """A cell that is not trained or that failed, and the reason."""

    reason: str


@dataclass(frozen=True)
class Grid:
    """The cells that are trained, the baseline first, each with its recipe, and those that are not."""

    cells: tuple[tuple[Cell, Recipe], ...]
    skipped: tuple[Skipped, ...]


def list_cells(backbone_names: Sequence[str], adaptation_specs: Sequence[str]) -> list[Cell]:
    """Return every backbone under every adaptation in the given order, after the baseline. A feature has one cell, its head.

    Raises a UserError that lists all unknown names and invalid adaptations.
    """
    errors = ErrorCollector()
    canonical, cells = [], [Cell(BASELINE, PROBE)]
    for text in adaptation_specs:
        with errors.capture():
            adaptations.build(text)
            canonical.append(str(spec.pipeline(text)[0]))
    for name in backbone_names:
        with errors.capture():
            if name in features:
                cells.append(Cell(name, PROBE))
                continue
            backbones.get(name)
            cells += [Cell(name, adaptation) for adaptation in canonical]
    if not backbone_names:
        errors.add(
            UserError("No backbone is given.", fix="name some with --backbones; see them all: mitotype backbones")
        )
    if not adaptation_specs:
        errors.add(UserError("No adaptation is given.", allowed=", ".join(adaptations)))
    errors.raise_if_any()
    return list(dict.fromkeys(cells))


def build_grid(backbone_names: Sequence[str], adaptation_specs: Sequence[str], recipe_of: RecipeOf) -> Grid:
    """Return the grid with the recipe of each cell.

    A cell is skipped if its backbone does not support the adaptation, if it has no recipe, if its weights are not available,
    and if another cell has the same recipe. Raises a UserError for an invalid recipe, and if only the baseline remains.
    """
    cells, skipped = [], []
    errors = ErrorCollector()
    first_with: dict[tuple[Recipe, Adaptation], Cell] = {}
    why_unpublished = functools.cache(_why_unpublished)  # each download is tried once
    for cell in list_cells(backbone_names, adaptation_specs):
        reason, recipe = unsupported_reason(cell), None
        if not reason:
            try:
                recipe = recipe_of(cell.backbone, cell.adaptation)
                reason = _why_no_weights(recipe, why_unpublished)
            except UserError as error:
                reason = error.what
        if reason or recipe is None:
            skipped.append(Skipped(cell.backbone, cell.adaptation, reason))
            continue
        with errors.capture():
            _check_recipe(cell, recipe)
            same = first_with.setdefault(_canonical(recipe), cell)
            if same == cell:
                cells.append((cell, recipe))
            else:
                reason = f"its recipe is that of '{same.adaptation}'"
                skipped.append(Skipped(cell.backbone, cell.adaptation, reason))
    errors.raise_if_any()
    if skipped and {cell.backbone for cell, _ in cells} <= {BASELINE}:
        reasons = "\n".join(f"- {skip}: {skip.reason}" for skip in skipped)
        raise UserError(
            f"No cell of this benchmark can be trained:\n{reasons}", fix="name other backbones or adaptations"
        )
    return Grid(tuple(cells), tuple(skipped))


def unsupported_reason(cell: Cell) -> str:
    """Return why a backbone does not support an adaptation, "" if it does."""
    if cell.backbone in features:
        return "" if cell.adaptation == PROBE else "only the head of a feature can be trained"
    return adaptations.build(cell.adaptation).unsupported_reason(backbones.get(cell.backbone).spec)


def _canonical(recipe: Recipe) -> tuple[Recipe, Adaptation]:
    """Return a recipe with its adaptation as parsed: "full(1)" is "full"."""
    return dataclasses.replace(recipe, adaptation=""), adaptations.build(recipe.adaptation)


def _why_no_weights(recipe: Recipe, why_unpublished: Callable[[str], str]) -> str:
    """Return why a recipe's initial weights are not available, "" if they are."""
    if recipe.backbone in features:
        return ""
    if not recipe.init_from:
        return (
            ""
            if adaptations.build(recipe.adaptation).trains_base
            else "no weights to adapt: none are published or given"
        )
    return why_unpublished(recipe.backbone) if recipe.init_from == weights.PUBLISHED else ""


def _why_unpublished(backbone: str) -> str:
    """Download the published weights of a backbone, and return why that failed, "" if it did not."""
    try:
        weights.find(backbone, weights.PUBLISHED)
    except UserError as error:
        return error.what
    return ""


def _check_recipe(cell: Cell, recipe: Recipe) -> None:
    """Check that a recipe is valid and of the cell's backbone, and that each of its members leaves out a fold."""
    try:
        validate_recipe(recipe)
    except UserError as error:
        raise UserError(f"{cell}: {error.what}", allowed=error.allowed, fix=error.fix) from error
    if recipe.backbone != cell.backbone:
        raise UserError(f"{cell}: its recipe is for '{recipe.backbone}'.", fix="choose the backbone with --backbones")
    _check_adaptation(cell, recipe)
    if recipe.folds == "none" or recipe.n_final_models:
        what = f"{cell}: the mean and the SD of a benchmark need members that all leave out a fold."
        raise UserError(what, allowed="n_final_models=0, and folds other than none")


def _check_adaptation(cell: Cell, recipe: Recipe) -> None:
    """Check that a recipe has the arguments of the cell's adaptation; a bare name such as "lora" leaves them to the recipe."""
    name, arguments, _ = cell.adaptation.partition("(")
    if not arguments or name != recipe.adaptation.partition("(")[0].strip():
        return
    if adaptations.build(cell.adaptation) != adaptations.build(recipe.adaptation):
        what = f"{cell}: its recipe trains '{recipe.adaptation}'."
        raise UserError(what, allowed=f'--adaptations "{recipe.adaptation}"')
