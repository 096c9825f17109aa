"""Groups of facts that several families share: an entry names the groups it takes and states everything else itself."""

from typing import Any

from mitotype.backbones.model_spec import HALF_STD

Facts = dict[str, Any]

VIT_LORA = r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"
CONVNEXT_LORA = r".*stages\.\d+\.blocks\.\d+\.mlp\.(fc1|fc2)"
NO_LORA: Facts = {"lora_targets": None, "lora_modules": 0, "lora_layer": None}

SIZE_224: Facts = {"pretrained_size_px": 224, "size_px": 224, "resize_px": None}

TIMM_FORMAT: Facts = {"weights_file": None, "state_dict_format": "timm"}
TIMM_NATURAL: Facts = {  # natural-image weights that timm publishes
    **TIMM_FORMAT, "pretrained_antialias": True, "interpolation": "bicubic", "mpp_um": (), "precision": "fp32", "example": None,
    "gated": False,
}  # fmt: skip
NO_WEIGHTS: Facts = {  # an architecture that starts at random weights
    "weights": None, "weights_file": None, "pretrained_antialias": True, "resize_px": None, "normalization": HALF_STD,
    "mpp_um": (), "precision": "fp32", "example": None, "license": "Apache-2.0 (architecture; no weights)", "gated": False,
    "commercial": True, "shareable_derivatives": True,
}  # fmt: skip

APACHE: Facts = {"license": "Apache-2.0", "commercial": True, "shareable_derivatives": True}
MIT: Facts = {"license": "MIT", "commercial": True, "shareable_derivatives": True}
CC_BY_NC: Facts = {"license": "CC-BY-NC-4.0", "commercial": False, "shareable_derivatives": True}
CC_BY_NC_ND: Facts = {"license": "CC-BY-NC-ND-4.0", "commercial": False, "shareable_derivatives": False}


def restricted(license: str) -> Facts:
    """Return the facts of a license of the publisher's own, which allows neither commercial use nor sharing."""
    return {"license": license, "commercial": False, "shareable_derivatives": False}


def linear_lora(targets: str, modules: int) -> Facts:
    """Return the facts of LoRA on Linear modules: the pattern of their names and how many match it."""
    return {"lora_targets": targets, "lora_modules": modules, "lora_layer": "Linear"}


def conv_lora(targets: str, modules: int) -> Facts:
    """Return the facts of LoRA on convolutions that are not grouped."""
    return {"lora_targets": targets, "lora_modules": modules, "lora_layer": "Conv2d"}


def vit(*, patch_px: int, width: int, blocks: int, prefix_tokens: int, pooling: str) -> Facts:
    """Return the facts of a vision transformer that follow from its size, its tokens and its default pooling."""
    return {
        "patch_px": patch_px,
        "multiple_px": patch_px,
        "prefix_tokens": prefix_tokens,
        "pooling": {"cls": width, "mean": width, "cls_mean": 2 * width},
        "default_pooling": pooling,
        "blocks": blocks,
        **linear_lora(VIT_LORA, 4 * blocks),
    }


def no_tokens(width: int) -> Facts:
    """Return the facts of a net that pools to an embedding of `width` itself."""
    return {"prefix_tokens": 0, "pooling": {"mean": width}, "default_pooling": "mean", "blocks": 0}
