"""The protocol of the published benchmark (arXiv 2506.21444) for each of its models, its transforms and folds included.

Details that the paper leaves open follow its training scripts. The differences:

* the convolution that embeds patches has no LoRA, and sampling is seeded
* rotations fill with the reflected image (the study: black), and resized crops are sampled at 128 px and then resized
* an epoch drops its last, smaller batch (the study trains on it)
* a linear probe's features are float32 (the study: float16)
* GigaPath has the centre 224 of 256 px under LoRA too, as its publishers do (the study: for its probe alone)
"""

from __future__ import annotations

from dataclasses import replace

from mitotype.core.errors import UserError, unknown_name
from mitotype.fit.recipe import Recipe

JITTER4, JITTER2 = "color(0.2, 0.2, 0.2, 0.1)", "color(0.2, 0.2, 0, 0)"
UNCROPPED = "crop(128)"


def _rotation(degrees: int) -> str:
    return f"affine({degrees}, 0, 0, 0)"


END_TO_END_AUGMENT = f"mirror | {_rotation(10)} | resized_crop(0.8) | {JITTER4} | {UNCROPPED}"
CROPPED = f"resized_crop(0.08) | mirror | {_rotation(15)} | {JITTER2} | {UNCROPPED}"
# LoRA's training transforms; every model of the study has its own.
AUGMENT = {
    "virchow": f"resized_crop(0.8) | mirror | {JITTER4} | {UNCROPPED}",
    "virchow2": f"resized_crop(0.8) | mirror | {JITTER4} | {UNCROPPED}",
    "uni": CROPPED,
    "gigapath": CROPPED,
    "h-optimus-0": CROPPED,
    "h-optimus-1": f"mirror | {_rotation(15)} | {JITTER2} | {UNCROPPED}",
    "uni2-h": UNCROPPED,
}
END_TO_END_INIT = {"efficientnetv2-m": "", "swin-base": "published", "vit-l16": "published"}
# Where the study did not use the publisher's.
NORMALIZATION = {"virchow": "half", "virchow2": "half", "vit-l16": "imagenet", "efficientnetv2-m": "imagenet"}


def study_recipe(backbone: str, adaptation: str) -> Recipe:
    """Return the study's recipe of a model: `adaptation` is "full" (its end-to-end nets), "probe" or "lora".

    Cost on one GPU: hours for a model of a billion parameters. Raises a UserError for what the study did not train.
    """
    kind = adaptation.partition("(")[0]
    base = Recipe(
        name=f"study-{backbone}-{kind}",
        backbone=backbone,
        size_px=224,
        frame=UNCROPPED,
        augment=UNCROPPED,
        tta="identity",
        objective="bce",
        sampler="weighted",
        epochs=100,
        batch=8,
        optimizer="adam",
        lr=5e-5,
        weight_decay=1e-5,
        warmup_epochs=0.0,
        schedule="plateau(0.5, 3, 0.002)",
        patience=15,
        ema_decay=0.0,
        folds="study",
        precision="fp32",
        calibration="identity",
        threshold="half",
        abstention="none",
        ood_flag=0,
    )
    normalization = NORMALIZATION.get(backbone, "")
    if kind == "full" and backbone in END_TO_END_INIT:
        init_from = END_TO_END_INIT[backbone]
        return replace(base, init_from=init_from, augment=END_TO_END_AUGMENT, normalization=normalization)
    if kind in ("probe", "head") and backbone in AUGMENT:
        linear = replace(base, init_from="published", adaptation="head")
        if backbone != "gigapath":
            return linear
        return replace(linear, lr=1e-3, weight_decay=1e-4, schedule="plateau(0.5, 3, 0.0001)")
    if kind == "lora" and backbone in AUGMENT:
        return replace(
            base, init_from="published", adaptation="lora(8, 16, 0.3)", augment=AUGMENT[backbone], patience=10,
            pooling="cls", normalization=normalization,
        )  # fmt: skip
    if backbone not in AUGMENT and backbone not in END_TO_END_INIT:
        raise unknown_name("model of the study", backbone, [*AUGMENT, *END_TO_END_INIT], "mitotype backbones")
    allowed = "full" if backbone in END_TO_END_INIT else "probe, lora"
    raise UserError(f"The study did not train {backbone} by '{adaptation}'.", allowed=allowed)
