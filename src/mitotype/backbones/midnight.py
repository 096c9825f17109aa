"""Midnight-12k (kaiko.ai): DINOv2's giant trained on with 12 000 slides, published for transformers, built here by timm."""

from mitotype.backbones.facts import HALF, Facts, backbones
from mitotype.backbones.transformer import TransformerTrunk

backbones.add(
    "midnight-12k",
    Facts(
        weights="hf-hub:kaiko-ai/midnight",
        weights_file=None,
        keys="hf-dinov2",
        offline_arch="vit_giant_patch14_dinov2",
        arch_options={},
        grid_px=518,
        grid_antialias=False,
        size_px=224,
        multiple_px=14,
        resize_px=None,
        interpolation="bilinear",
        patch_px=14,
        mean=HALF.mean,
        std=HALF.std,
        prefix_tokens=1,
        pooling={"cls": 1536, "mean": 1536, "cls_mean": 3072},
        default_pooling="cls_mean",
        params_m=1136.48,
        blocks=40,
        mpp_um=(0.25, 0.5, 1.0, 2.0),
        lora_targets=r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
        lora_modules=160,
        precision="fp16",
        example=None,
        licence="MIT",
        gated=False,
        commercial=True,
        shareable_derivatives=True,
        verified="built",
        source="model card; Karasikov et al., arXiv 2504.05186",
    ),
)(TransformerTrunk)
