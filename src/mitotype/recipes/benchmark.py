"""The recipe that a benchmark gives every cell: one augmentation policy, one frame, one objective, one length for all."""

from mitotype.fit.recipe import Recipe

AUGMENT = "affine(180, 0.15, 0.1, 3) | d4 | stain(0.1, 0.05, 0.2) | blur(1, p=0.3) | sharpen(1, 0.7, p=0.3) | crop(64)"
FULL_FROM_WEIGHTS = "full(0.75)"  # of a transformer: the rate falls from block to block
LR = {"lora": 1e-3, "prompts": 1e-2, "full": 3e-4}
LR_FROM_RANDOM = 1e-3


def shared(backbone: str, adaptation: str, init_from: str) -> Recipe:
    """The recipe of one cell of the benchmark, for a net under an adaptation, or for a feature under "probe".

    Only what must differ does: the input size is the net's own, and the learning rate follows from what is trained. `init_from`
    is where the base weights come from; where none are published, "published" means random ones, which only "full" trains.
    """
    from mitotype.backbones import backbones, weights
    from mitotype.features import features

    word = adaptation.partition("(")[0].strip()
    size_px, lr = 64, LR_FROM_RANDOM
    if backbone in features:
        init_from = ""
    else:
        facts = backbones.get(backbone).facts
        size_px = facts.size_px
        init_from = "" if init_from == weights.PUBLISHED and facts.weights is None else init_from
        lr = LR.get(word, lr) if init_from else lr
        if adaptation.strip() == "full" and init_from and facts.blocks:
            adaptation = FULL_FROM_WEIGHTS
    return Recipe(
        name="shared",
        backbone=backbone,
        size_px=size_px,
        init_from=init_from,
        adaptation=adaptation,
        frame="crop(64)",
        augment=AUGMENT,
        views="identity",
        objective="soft_bce",
        sampler="class_balanced",
        epochs=10,
        lr=lr,
        warmup_epochs=1.0,
        clip=1.0,
        ema_decay=0.99,
        folds="study",
        seeds=1,
        refit=0,
        flag=0,
    )
