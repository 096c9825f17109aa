"""EfficientNetV2-M (arXiv 2104.00298): from random weights or from a file of the user's own; timm has none for it."""

from mitotype.backbones.facts import HALF, Facts, backbones
from mitotype.backbones.pooled import PooledTrunk

backbones.add(
    "efficientnetv2-m",
    Facts(
        weights=None,
        weights_file=None,
        keys="timm",
        offline_arch="efficientnetv2_m",
        arch_options={},
        grid_px=320,
        grid_antialias=True,
        size_px=320,
        multiple_px=32,
        resize_px=None,
        interpolation="bicubic",
        patch_px=None,
        mean=HALF.mean,
        std=HALF.std,
        prefix_tokens=0,
        pooling={"mean": 1280},
        default_pooling="mean",
        params_m=52.86,
        blocks=0,
        mpp_um=(),
        lora_targets=None,
        lora_modules=0,
        precision="fp32",
        example=None,
        licence="Apache-2.0 (architecture; no weights)",
        gated=False,
        commercial=True,
        shareable_derivatives=True,
        verified="built",
        source="timm; Tan & Le, arXiv 2104.00298",
    ),
)(PooledTrunk)
