"""Ablation: what each ingredient of a recipe is worth, by a screening design and by leaving out the strongest."""

from mitotype.experiments.ablation.ingredient import Ingredient, ingredients

__all__ = ["Ingredient", "ingredients"]
