"""The recipe of `mitotype demo`: a tiny net on a synthetic cohort."""

from mitotype.fit.recipe import Recipe
from mitotype.recipes import recipes


@recipes.add("demo")
def demo() -> Recipe:
    """A small net on the synthetic cohort, two folds by case.

    Command: mitotype demo. Cost: about three minutes on two cores. It shows the workflow; its score has no meaning.
    """
    return Recipe(
        name="demo",
        backbone="d4resnet-tiny",
        size_px=64,
        augment="affine(degrees=180, scale=0.1, shift=3) | stain(0.05) | crop(64)",
        tta="identity",
        objective="soft_bce + 0.5 * descriptor(219)",
        sampler="class_balanced",
        epochs=24,
        batch=16,
        optimizer="muon",
        lr=2e-3,
        warmup_epochs=1.0,
        grad_clip=1.0,
        ema_decay=0.98,
        folds="2",
    )
