"""The floor of every table: shape descriptors of the chromatin with a logistic head that says which of them spoke."""

from mitotype.fit.recipe import Recipe
from mitotype.recipes import recipes


@recipes.add("morphology")
def morphology() -> Recipe:
    """Shape descriptors of the chromatin and a logistic head: no net, and answers in words.

    Command: mitotype train morphology --data AMi-Br_Benchmark. Cost: about two minutes on two cores. What it scores, a learned
    model has to pass.
    """
    return Recipe(
        name="morphology",
        backbone="morphology",
        size_px=64,
        adaptation="probe",
        augment="crop(64)",
        views="identity",
        folds="study",
        refit=1,
        flag=0,
    )
