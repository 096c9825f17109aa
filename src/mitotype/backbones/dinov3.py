"""DINOv3 (Meta, arXiv 2508.10104): rotary transformers with four registers; the weights have a licence of their own."""

from mitotype.backbones.facts import IMAGENET, Facts, backbones
from mitotype.backbones.transformer import TransformerTrunk

# timm's plain names leave out the bias of q, k and v, which is zero in the published weights. The licence is Meta's own
# and has to be read before anything is shipped: until then nothing is promised here.
SIZES = {  # size: (timm's size, width, blocks, million parameters, adapted layers of the MLP)
    "l": ("large", 1024, 24, 303.08, ("fc1", "fc2")),
    "h+": ("huge_plus", 1280, 32, 840.51, ("fc1_g", "fc1_x", "fc2")),  # a gated MLP, its two halves apart
}

for size, (long_name, width, blocks, params_m, layers) in SIZES.items():
    backbones.add(
        f"dinov3-{size}",
        Facts(
            weights=f"hf-hub:timm/vit_{long_name}_patch16_dinov3.lvd1689m",
            weights_file=None,
            keys="timm",
            offline_arch=f"vit_{long_name}_patch16_dinov3",
            arch_options={"dynamic_img_size": False},  # the rotary table is made once, for the input size
            grid_px=256,
            grid_antialias=True,
            size_px=256,
            multiple_px=16,
            resize_px=None,
            interpolation="bicubic",
            patch_px=16,
            mean=IMAGENET.mean,
            std=IMAGENET.std,
            prefix_tokens=5,
            pooling={"cls": width, "mean": width, "cls_mean": 2 * width},
            default_pooling="cls",
            params_m=params_m,
            blocks=blocks,
            mpp_um=(),
            lora_targets=rf".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.({'|'.join(layers)}))",
            lora_modules=(2 + len(layers)) * blocks,
            precision="fp32",
            example=None,
            licence="DINOv3 licence",
            gated=False,
            commercial=False,
            shareable_derivatives=False,
            verified="built",
            source="timm; Siméoni et al., arXiv 2508.10104",
        ),
    )(TransformerTrunk)
