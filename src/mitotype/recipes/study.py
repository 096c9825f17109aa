"""The protocol of the published benchmark (arXiv 2506.21444) for each of its models, its transforms and folds included.

What its code does and its paper leaves open was read in its training scripts. Not repeated, because it would change what is
measured in silence: the LoRA of the convolution that embeds patches, and sampling without a seed. Rotations fill from the
reflected picture where the study fills with black; resized crops are read at 128 px and then resized. An epoch drops its last,
smaller batch, which the study trains on. A linear probe's features are float32 where the study's are float16. GigaPath sees the
centre 224 of 256 px under LoRA too, as its publishers have it; the study does that for its probe alone.
"""

from __future__ import annotations

from dataclasses import replace

from mitotype.core.mistakes import Mistake, unknown
from mitotype.fit.recipe import Recipe

JITTER4, JITTER2 = "colour(0.2, 0.2, 0.2, 0.1)", "colour(0.2, 0.2, 0, 0)"
WHOLE = "crop(128)"


def _turn(degrees: int) -> str:
    return f"affine({degrees}, 0, 0, 0)"


END_TO_END = f"mirror | {_turn(10)} | resized_crop(0.8) | {JITTER4} | {WHOLE}"
CUT = f"resized_crop(0.08) | mirror | {_turn(15)} | {JITTER2} | {WHOLE}"
# LoRA's training transforms by model; the study gave every model its own.
AUGMENT = {
    "virchow": f"resized_crop(0.8) | mirror | {JITTER4} | {WHOLE}",
    "virchow2": f"resized_crop(0.8) | mirror | {JITTER4} | {WHOLE}",
    "uni": CUT,
    "gigapath": CUT,
    "h-optimus-0": CUT,
    "h-optimus-1": f"mirror | {_turn(15)} | {JITTER2} | {WHOLE}",
    "uni2-h": WHOLE,
}
ENDS = {"efficientnetv2-m": "", "swin-base": "published", "vit-l16": "published"}  # where their weights come from
COLOURS = {
    "virchow": "half",
    "virchow2": "half",
    "vit-l16": "imagenet",
    "efficientnetv2-m": "imagenet",
}  # as it trained them


def study(backbone: str, adaptation: str) -> Recipe:
    """The study's recipe of a model: `adaptation` is "full" (its end-to-end nets), "probe" or "lora".

    Cost on one GPU: hours for a model of a billion parameters. Raises a Mistake for what the study did not do.
    """
    kind = adaptation.partition("(")[0]
    base = Recipe(
        name=f"study-{backbone}-{kind}",
        backbone=backbone,
        size_px=224,
        frame=WHOLE,
        augment=WHOLE,
        views="identity",
        objective="bce",
        sampler="weighted",
        epochs=100,
        batch=8,
        optimiser="adam",
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
        flag=0,
    )
    if kind == "full" and backbone in ENDS:
        return replace(base, init_from=ENDS[backbone], augment=END_TO_END, colours=COLOURS.get(backbone, ""))
    if kind in ("probe", "head") and backbone in AUGMENT:
        linear = replace(base, init_from="published", adaptation="head")
        if backbone != "gigapath":
            return linear
        return replace(linear, lr=1e-3, weight_decay=1e-4, schedule="plateau(0.5, 3, 0.0001)")
    if kind == "lora" and backbone in AUGMENT:
        return replace(
            base, init_from="published", adaptation="lora(8, 16, 0.3)", augment=AUGMENT[backbone], patience=10,
            pooling="cls", colours=COLOURS.get(backbone, ""),
        )  # fmt: skip
    if backbone not in AUGMENT and backbone not in ENDS:
        raise unknown("model of the study", backbone, [*AUGMENT, *ENDS], "mitotype backbones")
    allowed = "full" if backbone in ENDS else "probe, lora"
    raise Mistake(f"The study did not train {backbone} by '{adaptation}'.", allowed=allowed)
