"""ViT-mini/8: a vision transformer small enough to be pre-trained and adapted on two cores, the trunk of our own tables."""

from mitotype.backbones.facts import HALF, Facts, backbones
from mitotype.backbones.transformer import TransformerTrunk

backbones.add(
    "vit-mini8",
    Facts(
        weights=None,
        weights_file=None,
        keys="own",
        offline_arch="vit_tiny_patch16_224",
        arch_options={"patch_size": 8, "embed_dim": 192, "depth": 6, "num_heads": 3},
        grid_px=64,
        grid_antialias=True,
        size_px=64,
        multiple_px=8,
        resize_px=None,
        interpolation="bilinear",
        patch_px=8,
        mean=HALF.mean,
        std=HALF.std,
        prefix_tokens=1,
        pooling={"cls": 192, "mean": 192, "cls_mean": 384},
        default_pooling="mean",
        params_m=2.719,
        blocks=6,
        mpp_um=(),
        lora_targets=r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
        lora_modules=24,
        precision="fp32",
        example=None,
        licence="Apache-2.0 (architecture; no weights)",
        gated=False,
        commercial=True,
        shareable_derivatives=True,
        verified="built",
        source="timm; Dosovitskiy et al., arXiv 2010.11929",
    ),
)(TransformerTrunk)
