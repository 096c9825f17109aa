"""Swin-B (arXiv 2103.14030): a transformer of shifted windows, its embedding the mean over positions."""

from mitotype.backbones.facts import IMAGENET, Facts, backbones
from mitotype.backbones.pooled import PooledTrunk

backbones.add(
    "swin-base",
    Facts(
        weights="hf-hub:timm/swin_base_patch4_window7_224.ms_in22k_ft_in1k",
        weights_file=None,
        keys="timm",
        offline_arch="swin_base_patch4_window7_224",
        arch_options={"img_size": 224, "drop_path_rate": 0.0},  # timm would drop paths without being asked
        grid_px=224,
        grid_antialias=True,
        size_px=224,
        multiple_px=224,  # between, windows are padded; below 224 the published bias tables do not fit
        resize_px=None,
        interpolation="bicubic",
        patch_px=4,
        mean=IMAGENET.mean,
        std=IMAGENET.std,
        prefix_tokens=0,
        pooling={"mean": 1024},
        default_pooling="mean",
        params_m=86.74,
        blocks=0,
        mpp_um=(),
        lora_targets=r".*layers\.\d+\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
        lora_modules=96,
        precision="fp32",
        example=None,
        licence="MIT",
        gated=False,
        commercial=True,
        shareable_derivatives=True,
        verified="built",
        source="timm; Liu et al., arXiv 2103.14030",
    ),
)(PooledTrunk)
