"""GPFM (Hong Kong University of Science and Technology): a DINOv2 ViT-L/14 distilled from several pathology models."""

from mitotype.backbones.facts import IMAGENET, Facts, backbones
from mitotype.backbones.transformer import TransformerTrunk

backbones.add(
    "gpfm",
    Facts(
        weights="hf-hub:majiabo/GPFM",
        weights_file="GPFM.pth",
        keys="timm",
        offline_arch="vit_large_patch14_dinov2",
        arch_options={"init_values": 1e-5},
        grid_px=224,
        grid_antialias=True,
        size_px=224,
        multiple_px=14,
        resize_px=None,
        interpolation="bicubic",
        patch_px=14,
        mean=IMAGENET.mean,
        std=IMAGENET.std,
        prefix_tokens=1,
        pooling={"cls": 1024, "mean": 1024, "cls_mean": 2048},
        default_pooling="cls",
        params_m=303.23,
        blocks=24,
        mpp_um=(0.5,),
        lora_targets=r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
        lora_modules=96,
        precision="fp16",
        example=None,
        licence="CC-BY-NC-ND-4.0",
        gated=False,
        commercial=False,
        shareable_derivatives=False,
        verified="built",
        source="repository; Ma et al., arXiv 2407.18449",
    ),
)(TransformerTrunk)
