"""Tile encoder of Prov-GigaPath (Providence, Microsoft): a DINOv2 giant with patches of 16 px instead of 14."""

from mitotype.backbones.fact_groups import TIMM_FORMAT, restricted, vit
from mitotype.backbones.model_spec import IMAGENET, ModelSpec, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

backbones.add(
    "gigapath",
    ModelSpec(
        **TIMM_FORMAT,
        **vit(patch_px=16, width=1536, blocks=40, prefix_tokens=1, pooling="cls"),
        **restricted("Apache-2.0 text with research-only conditions"),
        weights="hf-hub:prov-gigapath/prov-gigapath",
        arch="vit_giant_patch14_dinov2",
        arch_kwargs={
            "patch_size": 16,  # not the 14 in the name of the architecture
            "embed_dim": 1536,
            "depth": 40,
            "num_heads": 24,
            "init_values": 1e-5,
            "mlp_ratio": 5.33334,
        },
        pretrained_size_px=224,
        pretrained_antialias=True,
        size_px=224,
        resize_px=256,
        interpolation="bicubic",
        normalization=IMAGENET,
        params_m=1134.95,
        mpp_um=(0.5,),
        precision="fp16",
        example=("images/prov_normal_000_1.png", "images/prov_normal_000_1.pt"),
        gated=True,
        verified="built",
        source="repository and model card; Xu et al., Nature 2024",
    ),
)(TransformerTrunk)
