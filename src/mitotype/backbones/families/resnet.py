"""ResNets of timm that are small enough for two CPU cores."""

from mitotype.backbones.fact_groups import NO_LORA, NO_WEIGHTS, no_tokens
from mitotype.backbones.model_spec import ModelSpec, backbones
from mitotype.backbones.pooled_trunk import PooledTrunk

for name, arch, width, params_m in (
    ("resnet10", "resnet10t", 512, 4.92),
    ("resnet14", "resnet14t", 2048, 8.03),
    ("resnet18", "resnet18", 512, 11.18),
):
    backbones.add(
        name,
        ModelSpec(
            **NO_WEIGHTS,
            **NO_LORA,
            **no_tokens(width),
            state_dict_format="timm",
            arch=arch,
            arch_kwargs={},
            pretrained_size_px=64,
            size_px=64,
            multiple_px=32,
            interpolation="bilinear",
            patch_px=None,
            params_m=params_m,
            verified="built",
            source="timm; He et al., arXiv 1512.03385",
        ),
    )(PooledTrunk)
