"""DINOv2 (Meta, arXiv 2304.07193): transformers trained on natural pictures, the control for every pathology model."""

from mitotype.backbones.facts import IMAGENET, Facts, backbones
from mitotype.backbones.transformer import TransformerTrunk

SIZES = {  # name: (timm's size, width, blocks, million parameters)
    "dinov2-vits14": ("small", 384, 12, 22.06),
    "dinov2-vitb14": ("base", 768, 12, 86.58),
    "dinov2-vitl14": ("large", 1024, 24, 304.37),
}

for name, (size, width, blocks, params_m) in SIZES.items():
    backbones.add(
        name,
        Facts(
            weights=f"hf-hub:timm/vit_{size}_patch14_dinov2.lvd142m",
            weights_file=None,
            keys="timm",
            offline_arch=f"vit_{size}_patch14_dinov2",
            arch_options={},
            grid_px=518,
            grid_antialias=True,
            size_px=224,
            multiple_px=14,
            resize_px=None,
            interpolation="bicubic",
            patch_px=14,
            mean=IMAGENET.mean,
            std=IMAGENET.std,
            prefix_tokens=1,
            pooling={"cls": width, "mean": width, "cls_mean": 2 * width},
            default_pooling="cls",
            params_m=params_m,
            blocks=blocks,
            mpp_um=(),
            lora_targets=r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
            lora_modules=4 * blocks,
            precision="fp32",
            example=None,
            licence="Apache-2.0",
            gated=False,
            commercial=True,
            shareable_derivatives=True,
            verified="built",
            source="timm; Oquab et al., arXiv 2304.07193",
        ),
    )(TransformerTrunk)
