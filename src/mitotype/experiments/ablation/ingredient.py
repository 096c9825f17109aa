"""Ingredient: one part of a recipe that can be left out, and the parts that the recipe in hand has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mitotype.core import spec
from mitotype.core.spec import Step
from mitotype.fit.recipe import Recipe


@dataclass(frozen=True)
class Ingredient:
    """A part of a recipe: `without` returns the recipe without it, and the same recipe where it has no such part."""

    name: str
    without: Callable[[Recipe], Recipe]


def without_field(name: str, value: Any) -> Callable[[Recipe], Recipe]:
    """Return the change of one field to the value that it has without an ingredient."""
    return lambda recipe: dataclasses.replace(recipe, **{name: value})


def without_loss(name: str, instead: str = "") -> Callable[[Recipe], Recipe]:
    """Return the removal of a loss from the objective, or its replacement by the loss `instead` with the same weight."""

    def change(recipe: Recipe) -> Recipe:
        return dataclasses.replace(recipe, objective=_edited_sum(recipe.objective, name, instead))

    return change


def without_sampler(name: str, instead: str = "") -> Callable[[Recipe], Recipe]:
    """Return the removal of a sampler from a mixture, or its replacement by `instead` with the same weight.

    A sampler that is alone is replaced by one that balances the classes.
    """

    def change(recipe: Recipe) -> Recipe:
        sampler = _edited_sum(recipe.sampler, name, instead) or "class_balanced"
        return dataclasses.replace(recipe, sampler=sampler)

    return change


def without_transform(name: str, **fields: Any) -> Callable[[Recipe], Recipe]:
    """Return the removal of a transform from the augment, with the fields that only it reads set to `fields`."""

    def change(recipe: Recipe) -> Recipe:
        steps = spec.pipeline(recipe.augment)
        others = [step for step in steps if step.name != name]
        if len(others) == len(steps):
            return recipe
        return dataclasses.replace(recipe, augment=spec.canonical(others), **fields)

    return change


def _edited_sum(text: str, name: str, instead: str) -> str:
    """Return a sum without the term `name`, the same text where it has no such term."""
    terms = spec.weighted_sum(text)
    if all(term.name != name for term in terms):
        return text
    replacement = spec.pipeline(instead) if instead else ()
    steps: list[Step] = []
    for step in terms:
        if step.name != name:
            steps.append(step)
        else:
            steps += [dataclasses.replace(new, weight=step.weight) for new in replacement]
    if len(steps) == 1:
        steps = [dataclasses.replace(steps[0], weight=1.0)]
    return spec.canonical(steps, " + ")


INGREDIENTS: Sequence[Ingredient] = (
    Ingredient("MixUp", without_field("mixup", 0.0)),
    Ingredient("CutMix", without_field("cutmix", 0.0)),
    Ingredient("soft labels", without_field("soft_labels", 0)),
    Ingredient("adaptive focal loss", without_loss("adaptive_focal", "soft_bce")),
    Ingredient("focal loss", without_loss("focal", "soft_bce")),
    Ingredient("asymmetric loss", without_loss("asymmetric", "soft_bce")),
    Ingredient("supervised contrastive loss", without_loss("supcon")),
    Ingredient("domain adversary", without_loss("domain_adversary")),
    Ingredient("heads of domains", without_loss("domain_heads")),
    Ingredient("coral", without_loss("coral")),
    Ingredient("auxiliary task: experts", without_loss("expert")),
    Ingredient("auxiliary task: sub-classes", without_loss("sub_label")),
    Ingredient("auxiliary task: descriptors", without_loss("descriptor")),
    Ingredient("sampling by domain", without_sampler("domain_balanced", "class_balanced")),
    Ingredient("hard-negative mining", without_sampler("hard_negatives")),
    Ingredient("sampling by difficulty", without_sampler("difficult")),
    Ingredient("fisheye", without_transform("fisheye")),
    Ingredient("Fourier domain adaptation", without_transform("fourier", fourier_targets="")),
    Ingredient("stain augmentation", without_transform("stain")),
    Ingredient("elastic deformation", without_transform("elastic")),
    Ingredient("averaged weights (EMA)", without_field("ema_decay", 0.0)),
)
