"""Swin-B (arXiv 2103.14030): a transformer of shifted windows; its embedding is the mean over positions."""

from mitotype.backbones.fact_groups import MIT, SIZE_224, TIMM_NATURAL, linear_lora, no_tokens
from mitotype.backbones.model_spec import IMAGENET, ModelSpec, backbones
from mitotype.backbones.pooled_trunk import PooledTrunk

backbones.add(
    "swin-base",
    ModelSpec(
        **TIMM_NATURAL,
        **SIZE_224,
        **no_tokens(1024),
        **MIT,
        **linear_lora(r".*layers\.\d+\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))", 96),
        weights="hf-hub:timm/swin_base_patch4_window7_224.ms_in22k_ft_in1k",
        arch="swin_base_patch4_window7_224",
        arch_kwargs={"img_size": 224, "drop_path_rate": 0.0},  # timm's default drops paths
        multiple_px=224,  # between multiples windows are padded; below 224 the published bias tables do not fit
        patch_px=4,
        normalization=IMAGENET,
        params_m=86.74,
        verified="built",
        source="timm; Liu et al., arXiv 2103.14030",
    ),
)(PooledTrunk)
