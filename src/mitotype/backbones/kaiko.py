"""kaiko.ai's first pathology transformers (arXiv 2404.15217): DINO ViT-S and ViT-B, DINOv2 ViT-L with four registers."""

from mitotype.backbones.facts import HALF, Facts, backbones
from mitotype.backbones.transformer import TransformerTrunk

SMALL = {  # name: (timm's size, patch in px, width, million parameters)
    "kaiko-s16": ("small", 16, 384, 21.67),
    "kaiko-s8": ("small", 8, 384, 21.67),
    "kaiko-b16": ("base", 16, 768, 85.80),
    "kaiko-b8": ("base", 8, 768, 85.81),
}

for name, (size, patch_px, width, params_m) in SMALL.items():
    backbones.add(
        name,
        Facts(
            weights=f"hf-hub:1aurent/vit_{size}_patch{patch_px}_224.kaiko_ai_towards_large_pathology_fms",
            weights_file=None,
            keys="timm",
            offline_arch=f"vit_{size}_patch{patch_px}_224",
            arch_options={},
            grid_px=224,
            grid_antialias=True,
            size_px=224,
            multiple_px=patch_px,
            resize_px=None,
            interpolation="bilinear",
            patch_px=patch_px,
            mean=HALF.mean,
            std=HALF.std,
            prefix_tokens=1,
            pooling={"cls": width, "mean": width, "cls_mean": 2 * width},
            default_pooling="cls",
            params_m=params_m,
            blocks=12,
            mpp_um=(0.5,),
            lora_targets=r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
            lora_modules=48,
            precision="fp32",
            example=None,
            licence="Kaiko Non-Commercial Public Licence v1",
            gated=False,
            commercial=False,
            shareable_derivatives=False,
            verified="built",
            source="repository and model card; Aben et al., arXiv 2404.15217",
        ),
    )(TransformerTrunk)

backbones.add(
    "kaiko-l14",
    Facts(
        weights="hf-hub:1aurent/vit_large_patch14_reg4_224.kaiko_ai_towards_large_pathology_fms",
        weights_file=None,
        keys="timm",
        offline_arch="vit_large_patch14_reg4_dinov2",
        arch_options={},
        grid_px=518,
        grid_antialias=True,
        size_px=224,
        multiple_px=14,
        resize_px=None,
        interpolation="bilinear",
        patch_px=14,
        mean=HALF.mean,
        std=HALF.std,
        prefix_tokens=5,
        pooling={"cls": 1024, "mean": 1024, "cls_mean": 2048},
        default_pooling="cls",
        params_m=304.37,
        blocks=24,
        mpp_um=(0.5,),
        lora_targets=r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
        lora_modules=96,
        precision="fp32",
        example=None,
        licence="Kaiko Non-Commercial Public Licence v1",
        gated=False,
        commercial=False,
        shareable_derivatives=False,
        verified="built",
        source="repository and model card; Aben et al., arXiv 2404.15217",
    ),
)(TransformerTrunk)
