"""Lunit's DINO transformers (arXiv 2212.04690): ViT-S/16 and ViT-S/8, with colour statistics of their own."""

from mitotype.backbones.facts import Colours, Facts, backbones
from mitotype.backbones.transformer import TransformerTrunk

LUNIT = Colours((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464))

for patch_px in (16, 8):
    backbones.add(
        f"lunit-s{patch_px}",
        Facts(
            weights=f"hf-hub:1aurent/vit_small_patch{patch_px}_224.lunit_dino",
            weights_file=None,
            keys="timm",
            offline_arch=f"vit_small_patch{patch_px}_224",
            arch_options={},
            grid_px=224,
            grid_antialias=True,
            size_px=224,
            multiple_px=patch_px,
            resize_px=None,
            interpolation="bicubic",
            patch_px=patch_px,
            mean=LUNIT.mean,
            std=LUNIT.std,
            prefix_tokens=1,
            pooling={"cls": 384, "mean": 384, "cls_mean": 768},
            default_pooling="cls",
            params_m=21.67,
            blocks=12,
            mpp_um=(0.5,),
            lora_targets=r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
            lora_modules=48,
            precision="fp32",
            example=None,
            licence="Lunit Public Licence, research only",
            gated=False,
            commercial=False,
            shareable_derivatives=False,
            verified="built",
            source="repository and model card; Kang et al., arXiv 2212.04690",
        ),
    )(TransformerTrunk)
