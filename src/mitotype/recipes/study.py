"""The protocol of the published benchmark (arXiv 2506.21444) for each of its models, as its training scripts have it.

Transforms, their order and the resizing are torchvision's, on PIL images. What differs from the study, and why:

* sampling, augmentation and dropout follow from the recipe's seed, so that a run can be repeated and resumed (the study: unseeded)
* members are stored and scored in half precision except for the main head, as all members are (the study: float32)
* a CPU scores probes in float32, so that every CPU gives the same numbers (the study: float16, on a GPU, as a GPU does here)
* a positive logit is atypical, as everywhere here (the study: normal): the signs of the head, and figures with a logit of exactly 0
* inputs are channels-last and probes embed patches in batches, which is faster (the study: one by one): sums are rounded otherwise
"""

from __future__ import annotations

from dataclasses import replace

from mitotype.backbones import backbones
from mitotype.core.errors import UserError, unknown_name
from mitotype.fit.recipe import Recipe

RESIZED = "tv_resize(224)"
JITTER4, JITTER2 = "tv_color(0.2, 0.2, 0.2, 0.1)", "tv_color(0.2, 0.2)"

END_TO_END_AUGMENT = f"{RESIZED} | tv_mirror | tv_rotation(10) | {JITTER4} | tv_resized_crop(224, 0.8)"
CROPPED = f"tv_resized_crop(224) | tv_mirror | tv_rotation(15) | {JITTER2}"
# LoRA's training transforms; every model of the study has its own.
AUGMENT = {
    "virchow": f"tv_resized_crop(224, 0.8) | tv_mirror | {JITTER4}",
    "virchow2": f"tv_resized_crop(224, 0.8) | tv_mirror | {JITTER4}",
    "uni": CROPPED,
    "gigapath": CROPPED,
    "h-optimus-0": CROPPED,
    "h-optimus-1": f"{RESIZED} | tv_mirror | tv_rotation(15) | {JITTER2}",
    "uni2-h": RESIZED,
}
END_TO_END_INIT = {"efficientnetv2-m": "", "swin-base": "published", "vit-l16": "published"}
DROP_PATH = {"swin-base": 0.1}  # timm's default
# Where the study did not use the publisher's.
NORMALIZATION = {"virchow": "half", "virchow2": "half", "vit-l16": "imagenet", "efficientnetv2-m": "imagenet"}
# LoRA on nets whose head timm builds and initializes; all other heads are a new nn.Linear.
HEAD_OF_TIMM = ("uni", "uni2-h", "gigapath")


def study_recipe(backbone: str, adaptation: str) -> Recipe:
    """Return the study's recipe of a model: `adaptation` is "full" (its end-to-end nets), "probe" or "lora".

    Cost on one GPU: hours for a model of a billion parameters. Raises a UserError for what the study did not train.
    """
    kind = adaptation.partition("(")[0]
    base = Recipe(
        name=f"study-{backbone}-{kind}",
        backbone=backbone,
        size_px=224,
        head_init="linear",
        frame=RESIZED,
        augment=RESIZED,
        tta="identity",
        objective="bce",
        sampler="weighted",
        epochs=100,
        batch=8,
        drop_last=0,
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
        model_kwargs = (("drop_path_rate", DROP_PATH[backbone]),) if backbone in DROP_PATH else ()
        return replace(
            base, init_from=END_TO_END_INIT[backbone], augment=END_TO_END_AUGMENT, normalization=normalization,
            model_kwargs=model_kwargs,
        )  # fmt: skip
    if kind in ("probe", "head") and backbone in AUGMENT:
        frame = _publishers_frame(backbone)
        linear = replace(base, init_from="published", adaptation="head", frame=frame, augment=frame, precision="fp16")
        if backbone != "gigapath":
            return linear
        return replace(linear, lr=1e-3, weight_decay=1e-4, schedule="plateau(0.5, 3, 0.0001)", precision="fp32")
    if kind == "lora" and backbone in AUGMENT:
        return replace(
            base, init_from="published", adaptation="lora(8, 16, 0.3, targets=all)", augment=AUGMENT[backbone], patience=10,
            pooling="cls", normalization=normalization, head_init="timm" if backbone in HEAD_OF_TIMM else "linear",
        )  # fmt: skip
    if backbone not in AUGMENT and backbone not in END_TO_END_INIT:
        raise unknown_name("model of the study", backbone, [*AUGMENT, *END_TO_END_INIT], "mitotype backbones")
    allowed = "full" if backbone in END_TO_END_INIT else "probe, lora"
    raise UserError(f"The study did not train {backbone} by '{adaptation}'.", allowed=allowed)


def _publishers_frame(backbone: str) -> str:
    """Return the frame of a probe: resized (and cropped) as the publisher of the weights does."""
    spec = backbones.get(backbone).spec
    if spec.resize_px is None:
        return f"tv_resize({spec.size_px}, {spec.interpolation})"
    return f"tv_resize({spec.resize_px}, {spec.interpolation}) | crop({spec.size_px})"
