"""Ablation: what each ingredient of a recipe is worth, by a screening design and by leaving out the strongest."""
