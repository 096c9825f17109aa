"""Virchow and Virchow2 (Paige): DINOv2 transformers trained on 1.5 and 3.1 million slides."""

from typing import Any

from mitotype.backbones.fact_groups import CC_BY_NC_ND, SIZE_224, TIMM_FORMAT, restricted, vit
from mitotype.backbones.model_spec import IMAGENET, ModelSpec, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

VIRCHOW: dict[str, Any] = {
    **TIMM_FORMAT, **SIZE_224, "arch": "vit_huge_patch14_224", "pretrained_antialias": True, "interpolation": "bicubic",
    "normalization": IMAGENET, "precision": "fp16", "example": None, "gated": True,
}  # fmt: skip
ARCH_KWARGS = {
    "init_values": 1e-5,
    "mlp_ratio": 5.3375,
    "global_pool": "",
    "mlp_layer": "SwiGLUPacked",
    "act_layer": "SiLU",
}

backbones.add(
    "virchow",
    ModelSpec(
        **VIRCHOW,
        **vit(patch_px=14, width=1280, blocks=32, prefix_tokens=1, pooling="cls_mean"),
        **restricted("Apache-2.0 with additional terms (read them first)"),
        weights="hf-hub:paige-ai/Virchow",
        arch_kwargs=ARCH_KWARGS,
        params_m=631.23,
        mpp_um=(0.5,),
        verified="built",
        source="model card; Vorontsov et al., arXiv 2309.07778",
    ),
)(TransformerTrunk)

backbones.add(
    "virchow2",
    ModelSpec(
        **VIRCHOW,
        **vit(patch_px=14, width=1280, blocks=32, prefix_tokens=5, pooling="cls_mean"),
        **CC_BY_NC_ND,
        weights="hf-hub:paige-ai/Virchow2",
        arch_kwargs={**ARCH_KWARGS, "reg_tokens": 4},
        params_m=631.24,
        mpp_um=(0.25, 0.5, 1.0, 2.0),
        verified="built",
        source="model card; Zimmermann et al., arXiv 2408.00738",
    ),
)(TransformerTrunk)
