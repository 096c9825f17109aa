"""ConvNeXt-B (arXiv 2201.03545): ImageNet-22k, then ImageNet-1k."""

from mitotype.backbones.facts import IMAGENET, Facts, backbones
from mitotype.backbones.pooled import PooledTrunk

backbones.add(
    "convnext-base",
    Facts(
        weights="hf-hub:timm/convnext_base.fb_in22k_ft_in1k",
        weights_file=None,
        keys="timm",
        offline_arch="convnext_base",
        arch_options={},
        grid_px=224,
        grid_antialias=True,
        size_px=224,
        multiple_px=32,
        resize_px=None,
        interpolation="bicubic",
        patch_px=None,
        mean=IMAGENET.mean,
        std=IMAGENET.std,
        prefix_tokens=0,
        pooling={"mean": 1024},
        default_pooling="mean",
        params_m=87.57,
        blocks=0,
        mpp_um=(),
        lora_targets=r".*stages\.\d+\.blocks\.\d+\.mlp\.(fc1|fc2)",
        lora_modules=72,
        precision="fp32",
        example=None,
        licence="Apache-2.0",
        gated=False,
        commercial=True,
        shareable_derivatives=True,
        verified="built",
        source="timm; Liu et al., arXiv 2201.03545",
    ),
)(PooledTrunk)
