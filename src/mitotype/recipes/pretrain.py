"""Self-supervised pre-training of a small transformer on the training patches: the trunk of our own comparisons."""

from mitotype.fit.recipe import Recipe
from mitotype.recipes import recipes


@recipes.add("pretrain")
def pretrain() -> Recipe:
    """ViT-mini/8 learns to read the shape descriptors of the chromatin off every augmentation of a patch; no label is read.

    Command: mitotype train pretrain --data AMi-Br_Benchmark --out runs/pretrain. Then init_from=runs/pretrain in other recipes.
    Cost: about half an hour on one core. The targets are measured on the picture itself, so the task needs no expert; there are no
    folds, since no fold's label can leak.
    """
    return Recipe(
        name="pretrain",
        backbone="vit-mini8",
        size_px=64,
        augment="affine(180, 0.15, 0.1, 3) | elastic(3, 16) | d4 | stain(0.1, 0.05, 0.2)"
        " | blur(1, p=0.3) | sharpen(1, 0.7, p=0.3) | noise(0.02) | crop(64)",
        views="identity",
        objective="descriptor(219)",
        sampler="uniform",
        epochs=24,
        batch=64,
        optimiser="muon",
        lr=2e-3,
        beta2=0.99,
        warmup_epochs=3.0,
        clip=1.0,
        ema_decay=0.995,
        folds="none",
        refit=1,
        flag=0,
    )
