"""Self-supervised pre-training of a small transformer on the training patches."""

from mitotype.fit.recipe import Recipe
from mitotype.recipes import recipes


@recipes.add("pretrain")
def pretrain() -> Recipe:
    """Pre-train ViT-mini/8 to predict the shape descriptors of augmented patches, without labels.

    Command: mitotype train pretrain --data AMi-Br_Benchmark --out runs/pretrain. Then init_from=runs/pretrain in other recipes.
    Cost: about half an hour on one core. The targets are measured on the images, so that no label can leak and no folds are
    necessary.
    """
    return Recipe(
        name="pretrain",
        backbone="vit-mini8",
        size_px=64,
        augment="affine(180, 0.15, 0.1, 3) | elastic(3, 16) | d4 | stain(0.1, 0.05, 0.2)"
        " | blur(1, p=0.3) | sharpen(1, 0.7, p=0.3) | noise(0.02) | crop(64)",
        tta="identity",
        objective="descriptor(219)",
        sampler="uniform",
        epochs=24,
        batch=64,
        optimizer="muon",
        lr=2e-3,
        beta2=0.99,
        warmup_epochs=3.0,
        grad_clip=1.0,
        ema_decay=0.995,
        folds="none",
        n_final_models=1,
        ood_flag=0,
    )
