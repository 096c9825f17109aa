"""The recipe of the shipped bundle."""

from mitotype.fit.recipe import Recipe
from mitotype.recipes import recipes


@recipes.add("default")
def default() -> Recipe:
    """Small D4-invariant nets from random weights, multi-task, by Muon: the recipe of the shipped bundle.

    Command: mitotype train default --data AMi-Br_Benchmark. Cost: see the card, `mitotype bundles default`.
    """
    return Recipe(
        name="default",
        backbone="d4resnet-tiny",
        size_px=64,
        frame="crop(64)",
        augment="affine(180, 0.2, 0.12, 4) | elastic(4, 16) | d4 | stain(0.12, 0.06, 0.25)"
        " | sharpen(1, 0.9, p=0.35) | blur(1.2, p=0.35) | noise(0.03) | crop(64)",
        tta="identity",
        objective="soft_bce + 0.3 * expert + 0.3 * sub_label + 0.3 * descriptor(219)",
        sampler="class_balanced(0.5)",
        mixup=0.3,
        epochs=48,
        batch=64,
        optimizer="muon",
        lr=2e-3,
        beta2=0.99,
        muon_lr=0.02,
        weight_decay=0.05,
        warmup_epochs=4.8,
        grad_clip=1.0,
        ema_decay=0.99,
        folds="study",
        seeds=2,
        n_final_models=2,
    )
