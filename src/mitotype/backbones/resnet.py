"""ResNets of timm, small enough for two cores: the family of the shipped classifier's first sketches."""

from mitotype.backbones.convolutional import ConvolutionalTrunk
from mitotype.backbones.facts import HALF, Facts, backbones

for name, arch, params_m in (
    ("resnet10", "resnet10t", 4.92),
    ("resnet14", "resnet14t", 8.03),
    ("resnet18", "resnet18", 11.18),
):
    backbones.add(
        name,
        Facts(
            weights=None,
            offline_arch=arch,
            arch_options={},
            size_px=64,
            multiple_px=32,
            patch_px=None,
            mean=HALF.mean,
            std=HALF.std,
            prefix_tokens=0,
            pooling={"mean": 2048 if arch == "resnet14t" else 512},
            default_pooling="mean",
            params_m=params_m,
            mpp_um=(),
            lora_targets=None,
            licence="Apache-2.0 (architecture; no weights)",
            gated=False,
            commercial=True,
            shareable_derivatives=True,
            verified="built",
            source="timm; He et al., arXiv 1512.03385",
        ),
    )(ConvolutionalTrunk)
