"""The baseline of every benchmark: shape descriptors of the chromatin with a logistic head."""

from mitotype.fit.recipe import Recipe
from mitotype.recipes import recipes


@recipes.add("morphology")
def morphology() -> Recipe:
    """Shape descriptors of the chromatin and a logistic head: no net, and decisions with an explanation.

    Command: mitotype train morphology --data AMi-Br_Benchmark. Cost: about two minutes on two cores. A net
    should score higher.
    """
    return Recipe(
        name="morphology",
        backbone="morphology",
        size_px=64,
        adaptation="probe",
        augment="crop(64)",
        tta="identity",
        folds="study",
        n_final_models=1,
        ood_flag=0,
    )
