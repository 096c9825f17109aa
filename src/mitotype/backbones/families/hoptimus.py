"""H-optimus-0, H-optimus-1 and H0-mini (Bioptimus): DINOv2 giants with four registers, and a base distilled from one."""

from typing import Any

from mitotype.backbones.fact_groups import APACHE, CC_BY_NC_ND, SIZE_224, TIMM_FORMAT, vit
from mitotype.backbones.model_spec import ModelSpec, Normalization, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

HOPTIMUS: dict[str, Any] = {
    **TIMM_FORMAT, **SIZE_224, "pretrained_antialias": True, "interpolation": "bicubic",
    "normalization": Normalization((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517)),
    "mpp_um": (0.5,), "precision": "fp16", "example": None,
}  # fmt: skip
GIANTS = {  # name: (repository, license, gated, source)
    "h-optimus-0": ("bioptimus/H-optimus-0", APACHE, False, "model card; bioptimus/releases, 2024"),
    "h-optimus-1": ("bioptimus/H-optimus-1", CC_BY_NC_ND, True, "model card, 2025"),
}

for name, (repository, license_facts, gated, source) in GIANTS.items():
    backbones.add(
        name,
        ModelSpec(
            **HOPTIMUS,
            **vit(patch_px=14, width=1536, blocks=40, prefix_tokens=5, pooling="cls"),
            **license_facts,
            weights=f"hf-hub:{repository}",
            arch="vit_giant_patch14_reg4_dinov2",
            arch_kwargs={"init_values": 1e-5, "global_pool": "token"},
            params_m=1134.77,
            gated=gated,
            verified="built",
            source=source,
        ),
    )(TransformerTrunk)

backbones.add(
    "h0-mini",
    ModelSpec(
        **HOPTIMUS,
        **vit(patch_px=14, width=768, blocks=12, prefix_tokens=5, pooling="cls"),
        **CC_BY_NC_ND,
        weights="hf-hub:bioptimus/H0-mini",
        arch="vit_base_patch14_reg4_dinov2",
        arch_kwargs={
            "init_values": 1e-5,
            "mlp_ratio": 5.33334,
            "global_pool": "",
            "mlp_layer": "SwiGLUPacked",
            "act_layer": "SiLU",
        },
        params_m=85.74,
        gated=True,
        verified="built",
        source="model card; Filiot et al., arXiv 2501.16239",
    ),
)(TransformerTrunk)
