"""ViT (arXiv 2010.11929) with timm's augmentation and regularization recipe: ImageNet-21k, then ImageNet-1k."""

from mitotype.backbones.fact_groups import APACHE, SIZE_224, TIMM_NATURAL, vit
from mitotype.backbones.model_spec import HALF_STD, ModelSpec, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

SIZES = {  # name: (timm's size, width, blocks, million parameters)
    "vit-s16": ("small", 384, 12, 21.67),
    "vit-l16": ("large", 1024, 24, 303.30),
}

for name, (size, width, blocks, params_m) in SIZES.items():
    backbones.add(
        name,
        ModelSpec(
            **TIMM_NATURAL,
            **vit(patch_px=16, width=width, blocks=blocks, prefix_tokens=1, pooling="cls"),
            **SIZE_224,
            **APACHE,
            weights=f"hf-hub:timm/vit_{size}_patch16_224.augreg_in21k_ft_in1k",
            arch=f"vit_{size}_patch16_224",
            arch_kwargs={},
            normalization=HALF_STD,
            params_m=params_m,
            verified="built",
            source="timm; Steiner et al., arXiv 2106.10270",
        ),
    )(TransformerTrunk)
