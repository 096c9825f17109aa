"""ResNets of timm, small enough for two cores: the family of the shipped classifier's first sketches."""

from mitotype.backbones.facts import HALF, Facts, backbones
from mitotype.backbones.pooled import PooledTrunk

for name, arch, params_m in (
    ("resnet10", "resnet10t", 4.92),
    ("resnet14", "resnet14t", 8.03),
    ("resnet18", "resnet18", 11.18),
):
    backbones.add(
        name,
        Facts(
            weights=None,
            weights_file=None,
            keys="timm",
            offline_arch=arch,
            arch_options={},
            grid_px=64,
            grid_antialias=True,
            size_px=64,
            multiple_px=32,
            resize_px=None,
            interpolation="bilinear",
            patch_px=None,
            mean=HALF.mean,
            std=HALF.std,
            prefix_tokens=0,
            pooling={"mean": 2048 if arch == "resnet14t" else 512},
            default_pooling="mean",
            params_m=params_m,
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
            source="timm; He et al., arXiv 1512.03385",
        ),
    )(PooledTrunk)
