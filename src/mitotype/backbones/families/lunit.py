"""DINO transformers of Lunit (arXiv 2212.04690): ViT-S/16 and ViT-S/8 with their own normalization."""

from mitotype.backbones.fact_groups import SIZE_224, TIMM_FORMAT, restricted, vit
from mitotype.backbones.model_spec import ModelSpec, Normalization, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

LUNIT = Normalization((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464))

for patch_px in (16, 8):
    backbones.add(
        f"lunit-s{patch_px}",
        ModelSpec(
            **TIMM_FORMAT,
            **vit(patch_px=patch_px, width=384, blocks=12, prefix_tokens=1, pooling="cls"),
            **SIZE_224,
            **restricted("Lunit Public Licence, research only"),
            weights=f"hf-hub:1aurent/vit_small_patch{patch_px}_224.lunit_dino",
            arch=f"vit_small_patch{patch_px}_224",
            arch_kwargs={},
            pretrained_antialias=True,
            interpolation="bicubic",
            normalization=LUNIT,
            params_m=21.67,
            mpp_um=(0.5,),
            precision="fp32",
            example=None,
            gated=False,
            verified="built",
            source="repository and model card; Kang et al., arXiv 2212.04690",
        ),
    )(TransformerTrunk)
