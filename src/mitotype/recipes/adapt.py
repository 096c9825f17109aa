"""Adapt a foundation model: the two recipes to start with, for any backbone."""

from dataclasses import replace

from mitotype.fit.recipe import Recipe
from mitotype.recipes import recipes
from mitotype.recipes.benchmark import shared_recipe

BACKBONE = "h-optimus-0"  # the strongest whose license lets derivatives be shared


@recipes.add("probe")
def probe() -> Recipe:
    """Logistic regression on the embeddings of a frozen foundation model, five folds, one member on every patch.

    Command: mitotype train probe --data AMi-Br_Benchmark --set backbone=uni2-h. Cost: one pass of the net over the patches, then
    seconds. The weights are required: mitotype weights uni2-h.
    """
    shared = shared_recipe(BACKBONE, "probe", "published")
    return replace(shared, name="probe", size_px=0, n_final_models=1, ood_flag=1)


@recipes.add("lora")
def lora() -> Recipe:
    """LoRA of rank 8 on a foundation model, five folds, one member on every patch.

    Command: mitotype train lora --data AMi-Br_Benchmark --set backbone=uni2-h. Cost: a GPU with 24 GB for a model of a billion
    parameters (with --set grad_checkpointing=1). The weights are required: mitotype weights uni2-h.
    """
    shared = shared_recipe(BACKBONE, "lora(8, 16)", "published")
    return replace(shared, name="lora", size_px=0, n_final_models=1, ood_flag=1)
