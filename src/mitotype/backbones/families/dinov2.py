"""DINOv2 (Meta, arXiv 2304.07193): transformers trained on natural images, the control for every pathology model."""

from mitotype.backbones.fact_groups import APACHE, TIMM_NATURAL, vit
from mitotype.backbones.model_spec import IMAGENET, ModelSpec, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

SIZES = {  # name: (timm's size, width, blocks, million parameters)
    "dinov2-vits14": ("small", 384, 12, 22.06),
    "dinov2-vitb14": ("base", 768, 12, 86.58),
    "dinov2-vitl14": ("large", 1024, 24, 304.37),
}

for name, (size, width, blocks, params_m) in SIZES.items():
    backbones.add(
        name,
        ModelSpec(
            **TIMM_NATURAL,
            **vit(patch_px=14, width=width, blocks=blocks, prefix_tokens=1, pooling="cls"),
            **APACHE,
            weights=f"hf-hub:timm/vit_{size}_patch14_dinov2.lvd142m",
            arch=f"vit_{size}_patch14_dinov2",
            arch_kwargs={},
            pretrained_size_px=518,
            size_px=224,
            resize_px=None,
            normalization=IMAGENET,
            params_m=params_m,
            verified="built",
            source="timm; Oquab et al., arXiv 2304.07193",
        ),
    )(TransformerTrunk)
