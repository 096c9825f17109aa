"""ConvNeXt V2 (arXiv 2301.00808): masked autoencoders, fine-tuned on ImageNet, or a file of the user's own."""

from mitotype.backbones.fact_groups import (
    CC_BY_NC,
    CONVNEXT_LORA,
    SIZE_224,
    TIMM_NATURAL,
    conv_lora,
    linear_lora,
    no_tokens,
)
from mitotype.backbones.model_spec import IMAGENET, ModelSpec, backbones
from mitotype.backbones.pooled_trunk import PooledTrunk

# The autoencoders before fine-tuning (".fcmae") lack the norm behind the pooling and would not load strictly.
SIZES = {  # name: (fine-tuned on, width of the last stage, million parameters of the trunk, number of blocks)
    "atto": ("in1k", 320, 3.387, 12),
    "femto": ("in1k", 384, 4.848, 12),
    "pico": ("in1k", 512, 8.553, 12),
    "nano": ("in22k_in1k", 640, 14.98, 14),
    "tiny": ("in22k_in1k", 768, 27.87, 18),
    "base": ("in22k_in1k", 1024, 87.69, 36),
    "large": ("in22k_in1k", 1536, 196.42, 36),
    "huge": ("in1k", 2816, 657.47, 36),
}
CONV_MLP = ("atto", "femto", "pico", "nano")  # their MLPs are 1 × 1 convolutions

for size, (dataset, width, params_m, blocks) in SIZES.items():
    lora = conv_lora if size in CONV_MLP else linear_lora
    backbones.add(
        f"convnextv2-{size}",
        ModelSpec(
            **TIMM_NATURAL,
            **SIZE_224,
            **no_tokens(width),
            **lora(CONVNEXT_LORA, 2 * blocks),
            **CC_BY_NC,
            weights=f"hf-hub:timm/convnextv2_{size}.fcmae_ft_{dataset}",
            arch=f"convnextv2_{size}",
            arch_kwargs={},
            multiple_px=32,
            patch_px=None,
            normalization=IMAGENET,
            params_m=params_m,
            verified="built",
            source="timm; Woo et al., arXiv 2301.00808",
        ),
    )(PooledTrunk)
