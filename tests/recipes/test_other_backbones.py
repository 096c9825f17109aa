"""Every recipe takes other backbones: a convolutional one with published weights and one of this package, or the error names the field."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mitotype.backbones import backbones, weights
from mitotype.backbones.classifier import Classifier
from mitotype.core.errors import UserError
from mitotype.features import features
from mitotype.fit.ensemble_recipe import EnsembleRecipe
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.model import architecture
from mitotype.fit.validate import resolve_recipe, validate_recipe
from mitotype.losses import Objective
from mitotype.recipes import recipes

NETS = {
    f"{name}, {member.name}" if isinstance(recipe, EnsembleRecipe) else name: member
    for name in recipes
    for recipe in [recipes.get(name)()]
    for member in (recipe.members if isinstance(recipe, EnsembleRecipe) else (recipe,))
    if member.backbone not in features
}


def build(recipe: Recipe) -> Classifier:
    validate_recipe(recipe)
    recipe = resolve_recipe(recipe)
    model = Classifier(architecture(recipe, Objective(recipe.objective)))
    assert model.spec is backbones.get(recipe.backbone).spec
    return model


@pytest.mark.parametrize("name", NETS)
def test_a_recipe_takes_efficientnet_lite(name: str) -> None:
    """Of nets without attention query and value cannot be adapted: the fix is an adaptation of all layers."""
    recipe = replace(NETS[name], backbone="efficientnet-lite0")
    if recipe.adaptation.endswith("targets=qv)"):
        with pytest.raises(UserError, match=r"does not fit efficientnet-lite0: .* needs attention"):
            build(recipe)
        recipe = replace(recipe, adaptation="lora(8, 16)")
    trained = sum(p.numel() for p in build(recipe).trunk.parameters() if p.requires_grad)
    expected = {"probe": 0, "full": 3_371_008, "lora": 169_472}
    assert trained == expected[recipe.adaptation.partition("(")[0]]


@pytest.mark.parametrize("name", NETS)
def test_a_recipe_takes_a_net_of_this_package(name: str) -> None:
    """It has no published weights, and no layers for LoRA: each is an error with the field to set."""
    recipe = replace(NETS[name], backbone="d4resnet-tiny")
    if recipe.adaptation.startswith("lora"):
        with pytest.raises(UserError, match=r"does not fit d4resnet-tiny: LoRA is not offered for this net"):
            build(recipe)
        recipe = replace(recipe, adaptation="full")
    if recipe.init_from == "published":
        with pytest.raises(UserError, match="No weights are published for d4resnet-tiny"):
            weights.find(recipe.backbone, recipe.init_from)
        recipe = replace(recipe, init_from="", adaptation="full")
    build(recipe)
