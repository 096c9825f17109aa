"""ViT (arXiv 2010.11929) as timm trained it with augmentation and regularisation: ImageNet-21k, then ImageNet-1k."""

from mitotype.backbones.facts import HALF, Facts, backbones
from mitotype.backbones.transformer import TransformerTrunk

SIZES = {  # name: (timm's size, width, blocks, million parameters)
    "vit-s16": ("small", 384, 12, 21.67),
    "vit-l16": ("large", 1024, 24, 303.30),
}

for name, (size, width, blocks, params_m) in SIZES.items():
    backbones.add(
        name,
        Facts(
            weights=f"hf-hub:timm/vit_{size}_patch16_224.augreg_in21k_ft_in1k",
            weights_file=None,
            keys="timm",
            offline_arch=f"vit_{size}_patch16_224",
            arch_options={},
            grid_px=224,
            grid_antialias=True,
            size_px=224,
            multiple_px=16,
            resize_px=None,
            interpolation="bicubic",
            patch_px=16,
            mean=HALF.mean,
            std=HALF.std,
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
            source="timm; Steiner et al., arXiv 2106.10270",
        ),
    )(TransformerTrunk)
