"""ViT-mini/8: a vision transformer that two CPU cores can pretrain and adapt."""

from mitotype.backbones.fact_groups import NO_WEIGHTS, vit
from mitotype.backbones.model_spec import ModelSpec, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

backbones.add(
    "vit-mini8",
    ModelSpec(
        **NO_WEIGHTS,
        **vit(patch_px=8, width=192, blocks=6, prefix_tokens=1, pooling="mean"),
        state_dict_format="own",
        arch="vit_tiny_patch16_224",
        arch_kwargs={"patch_size": 8, "embed_dim": 192, "depth": 6, "num_heads": 3},
        pretrained_size_px=64,
        size_px=64,
        interpolation="bilinear",
        params_m=2.719,
        verified="built",
        source="timm; Dosovitskiy et al., arXiv 2010.11929",
    ),
)(TransformerTrunk)
