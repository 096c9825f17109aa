"""Prov-GigaPath's tile encoder (Providence, Microsoft): a DINOv2 giant whose patches have 16 px, not 14."""

from mitotype.backbones.facts import IMAGENET, Facts, backbones
from mitotype.backbones.transformer import TransformerTrunk

backbones.add(
    "gigapath",
    Facts(
        weights="hf-hub:prov-gigapath/prov-gigapath",
        weights_file=None,
        keys="timm",
        offline_arch="vit_giant_patch14_dinov2",
        arch_options={
            "patch_size": 16,  # against the name of the architecture
            "embed_dim": 1536,
            "depth": 40,
            "num_heads": 24,
            "init_values": 1e-5,
            "mlp_ratio": 5.33334,
        },
        grid_px=224,
        grid_antialias=True,
        size_px=224,
        multiple_px=16,
        resize_px=256,
        interpolation="bicubic",
        patch_px=16,
        mean=IMAGENET.mean,
        std=IMAGENET.std,
        prefix_tokens=1,
        pooling={"cls": 1536, "mean": 1536, "cls_mean": 3072},
        default_pooling="cls",
        params_m=1134.95,
        blocks=40,
        mpp_um=(0.5,),
        lora_targets=r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
        lora_modules=160,
        precision="fp16",
        example=("images/prov_normal_000_1.png", "images/prov_normal_000_1.pt"),
        licence="Apache-2.0 text with research-only conditions",
        gated=True,
        commercial=False,
        shareable_derivatives=False,
        verified="built",
        source="repository and model card; Xu et al., Nature 2024",
    ),
)(TransformerTrunk)
