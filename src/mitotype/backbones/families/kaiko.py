"""First pathology transformers of kaiko.ai (arXiv 2404.15217): DINO ViT-S and ViT-B, DINOv2 ViT-L with four registers."""

from mitotype.backbones.fact_groups import TIMM_FORMAT, restricted, vit
from mitotype.backbones.model_spec import HALF_STD, ModelSpec, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

SIZES = {  # name: (timm's weights, timm's architecture, patch px, pretrained px, width, blocks, prefix tokens, million parameters)
    "kaiko-s16": ("small_patch16", "small_patch16_224", 16, 224, 384, 12, 1, 21.67),
    "kaiko-s8": ("small_patch8", "small_patch8_224", 8, 224, 384, 12, 1, 21.67),
    "kaiko-b16": ("base_patch16", "base_patch16_224", 16, 224, 768, 12, 1, 85.80),
    "kaiko-b8": ("base_patch8", "base_patch8_224", 8, 224, 768, 12, 1, 85.81),
    "kaiko-l14": ("large_patch14_reg4", "large_patch14_reg4_dinov2", 14, 518, 1024, 24, 5, 304.37),
}

for name, (weights, arch, patch_px, pretrained_size_px, width, blocks, prefix_tokens, params_m) in SIZES.items():
    backbones.add(
        name,
        ModelSpec(
            **TIMM_FORMAT,
            **vit(patch_px=patch_px, width=width, blocks=blocks, prefix_tokens=prefix_tokens, pooling="cls"),
            **restricted("Kaiko Non-Commercial Public Licence v1"),
            weights=f"hf-hub:1aurent/vit_{weights}_224.kaiko_ai_towards_large_pathology_fms",
            arch=f"vit_{arch}",
            arch_kwargs={},
            pretrained_size_px=pretrained_size_px,
            pretrained_antialias=True,
            size_px=224,
            resize_px=None,
            interpolation="bilinear",
            normalization=HALF_STD,
            params_m=params_m,
            mpp_um=(0.5,),
            precision="fp32",
            example=None,
            gated=False,
            verified="built",
            source="repository and model card; Aben et al., arXiv 2404.15217",
        ),
    )(TransformerTrunk)
