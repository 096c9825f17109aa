"""Phikon (iBOT, ViT-B/16) and Phikon-v2 (DINOv2, ViT-L/16) by Owkin: published for transformers, built here by timm."""

from typing import Any

from mitotype.backbones.fact_groups import SIZE_224, restricted, vit
from mitotype.backbones.model_spec import IMAGENET, ModelSpec, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

# LayerNorm's eps is timm's 1e-6: the publisher corrected the 1e-12 of the first configuration to that of training.
OWKIN: dict[str, Any] = {
    **SIZE_224, **restricted("Owkin non-commercial licence"), "weights_file": None, "pretrained_antialias": False,
    "normalization": IMAGENET, "mpp_um": (0.5,), "precision": "fp32", "example": None, "gated": False,
}  # fmt: skip

backbones.add(
    "phikon",
    ModelSpec(
        **OWKIN,
        **vit(patch_px=16, width=768, blocks=12, prefix_tokens=1, pooling="cls"),
        weights="hf-hub:owkin/phikon",
        state_dict_format="hf-vit",
        arch="vit_base_patch16_224",
        arch_kwargs={},
        interpolation="bilinear",
        params_m=85.80,
        verified="built",
        source="model card; Filiot et al., medRxiv 2023.07.21.23292757",
    ),
)(TransformerTrunk)

backbones.add(
    "phikon-v2",
    ModelSpec(
        **OWKIN,
        **vit(patch_px=16, width=1024, blocks=24, prefix_tokens=1, pooling="cls"),
        weights="hf-hub:owkin/phikon-v2",
        state_dict_format="hf-dinov2",
        arch="vit_large_patch16_224",
        arch_kwargs={"init_values": 1e-5},
        interpolation="bicubic",
        params_m=303.35,
        verified="built",
        source="model card; Filiot et al., arXiv 2409.09173",
    ),
)(TransformerTrunk)
