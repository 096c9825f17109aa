"""ConvNeXt V2 (arXiv 2301.00808): the whole family from random weights or from a file of the user's own."""

from mitotype.backbones.convolutional import ConvolutionalTrunk
from mitotype.backbones.facts import IMAGENET, Facts, backbones

SIZES = {  # name: (width of the last stage, million parameters of the trunk)
    "atto": (320, 3.39),
    "femto": (384, 4.85),
    "pico": (512, 8.55),
    "nano": (640, 14.98),
    "tiny": (768, 27.87),
    "base": (1024, 87.69),
    "large": (1536, 196.42),
    "huge": (2816, 657.47),
}

for size, (width, params_m) in SIZES.items():
    backbones.add(
        f"convnextv2-{size}",
        Facts(
            weights=f"hf-hub:timm/convnextv2_{size}.fcmae",
            offline_arch=f"convnextv2_{size}",
            arch_options={},
            size_px=224,
            multiple_px=32,
            patch_px=None,
            mean=IMAGENET.mean,
            std=IMAGENET.std,
            prefix_tokens=0,
            pooling={"mean": width},
            default_pooling="mean",
            params_m=params_m,
            mpp_um=(),
            lora_targets=r".*blocks\.\d+\.mlp\.(fc1|fc2)",
            licence="CC-BY-NC-4.0",
            gated=False,
            commercial=False,
            shareable_derivatives=True,
            verified="built",
            source="timm; Woo et al., arXiv 2301.00808",
        ),
    )(ConvolutionalTrunk)
