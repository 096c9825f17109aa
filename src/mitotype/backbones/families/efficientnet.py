"""EfficientNetV2-M (arXiv 2104.00298): from random weights or a file of the user's own; timm publishes none for it."""

from mitotype.backbones.fact_groups import NO_LORA, NO_WEIGHTS, no_tokens
from mitotype.backbones.model_spec import ModelSpec, backbones
from mitotype.backbones.pooled_trunk import PooledTrunk

backbones.add(
    "efficientnetv2-m",
    ModelSpec(
        **NO_WEIGHTS,
        **NO_LORA,
        **no_tokens(1280),
        state_dict_format="timm",
        arch="efficientnetv2_m",
        arch_kwargs={},
        pretrained_size_px=320,
        size_px=320,
        multiple_px=32,
        interpolation="bicubic",
        patch_px=None,
        params_m=52.86,
        verified="built",
        source="timm; Tan & Le, arXiv 2104.00298",
    ),
)(PooledTrunk)
