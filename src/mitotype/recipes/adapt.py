"""Adapting a foundation model: the two recipes to begin with, for any backbone."""

from dataclasses import replace

from mitotype.fit.recipe import Recipe
from mitotype.recipes import recipes
from mitotype.recipes.benchmark import shared

OPEN = "h-optimus-0"  # the strongest whose licence leaves what is made of it free


@recipes.add("probe")
def probe() -> Recipe:
    """Logistic regression on the embeddings of a frozen foundation model, five folds, one member on every patch.

    Command: mitotype train probe --data AMi-Br_Benchmark --set backbone=uni2-h. Cost: one pass of the net over the patches, then
    seconds. It needs the weights: mitotype weights uni2-h.
    """
    return replace(shared(OPEN, "probe", "published"), name="probe", size_px=0, refit=1, flag=1)


@recipes.add("lora")
def lora() -> Recipe:
    """LoRA of rank 8 on a foundation model, five folds, one member on every patch.

    Command: mitotype train lora --data AMi-Br_Benchmark --set backbone=uni2-h. Cost: a GPU with 24 GB for a model of a billion
    parameters (with --set recompute=1). It needs the weights: mitotype weights uni2-h.
    """
    return replace(shared(OPEN, "lora(8, 16)", "published"), name="lora", size_px=0, refit=1, flag=1)
