"""The recipe that all cells of a benchmark share: the same augmentation, frame, objective and number of epochs."""

from mitotype.backbones import backbones, weights
from mitotype.features import features
from mitotype.fit.recipe import Recipe

AUGMENT = "affine(180, 0.15, 0.1, 3) | d4 | stain(0.1, 0.05, 0.2) | blur(1, p=0.3) | sharpen(1, 0.7, p=0.3) | crop(64)"
FULL_FROM_WEIGHTS = "full(0.75)"  # of a transformer: the learning rate falls from block to block
LR = {"lora": 1e-3, "prompts": 1e-2, "full": 3e-4}
LR_FROM_RANDOM = 1e-3


def shared_recipe(backbone: str, adaptation: str, init_from: str) -> Recipe:
    """Return the recipe of a benchmark cell: a backbone with an adaptation, or a feature with "probe".

    Cells differ in the input size, which is that of the backbone, and in the learning rate, which depends on what is trained.
    For a backbone without published weights "published" means random ones, which only "full" trains.
    """
    kind = adaptation.partition("(")[0].strip()
    size_px, lr = 64, LR_FROM_RANDOM
    if backbone in features:
        init_from = ""
    else:
        spec = backbones.get(backbone).spec
        size_px = spec.size_px
        init_from = "" if init_from == weights.PUBLISHED and spec.weights is None else init_from
        lr = LR.get(kind, lr) if init_from else lr
        if adaptation.strip() == "full" and init_from and spec.blocks:
            adaptation = FULL_FROM_WEIGHTS
    return Recipe(
        name="shared",
        backbone=backbone,
        size_px=size_px,
        init_from=init_from,
        adaptation=adaptation,
        frame="crop(64)",
        augment=AUGMENT,
        tta="identity",
        objective="soft_bce",
        sampler="class_balanced",
        epochs=10,
        lr=lr,
        warmup_epochs=1.0,
        grad_clip=1.0,
        ema_decay=0.99,
        folds="study",
        seeds=1,
        n_final_models=0,
        ood_flag=0,
    )
