"""UNI and UNI2-h (Mahmood Lab): DINOv2 transformers trained on 100 000 and 350 000 slides of many organs."""

from typing import Any

from mitotype.backbones.fact_groups import CC_BY_NC_ND, SIZE_224, TIMM_FORMAT, vit
from mitotype.backbones.model_spec import IMAGENET, ModelSpec, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

UNI: dict[str, Any] = {
    **TIMM_FORMAT, **SIZE_224, **CC_BY_NC_ND, "pretrained_antialias": True, "interpolation": "bilinear",
    "normalization": IMAGENET, "mpp_um": (0.5,), "example": None, "gated": True,
    "source": "model card; Chen et al., Nature Medicine 2024, arXiv 2308.15474",
}  # fmt: skip

backbones.add(
    "uni",
    ModelSpec(
        **UNI,
        **vit(patch_px=16, width=1024, blocks=24, prefix_tokens=1, pooling="cls"),
        weights="hf-hub:MahmoodLab/UNI",
        arch="vit_large_patch16_224",
        arch_kwargs={"init_values": 1e-5},
        params_m=303.35,
        precision="fp16",
        verified="built",
    ),
)(TransformerTrunk)

backbones.add(
    "uni2-h",
    ModelSpec(
        **UNI,
        **vit(patch_px=14, width=1536, blocks=24, prefix_tokens=9, pooling="cls"),
        weights="hf-hub:MahmoodLab/UNI2-h",
        arch="vit_giant_patch14_224",
        arch_kwargs={
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "init_values": 1e-5,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "mlp_layer": "SwiGLUPacked",
            "act_layer": "SiLU",
            "reg_tokens": 8,
        },
        params_m=681.39,
        precision="bf16",
        verified="built",
    ),
)(TransformerTrunk)
