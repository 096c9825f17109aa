"""DINOv3 (Meta, arXiv 2508.10104): rotary transformers with four registers; the weights have a license of their own."""

from mitotype.backbones.fact_groups import TIMM_NATURAL, restricted, vit
from mitotype.backbones.model_spec import IMAGENET, ModelSpec, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

# timm's plain names omit the bias of q, k and v, which is zero in the published weights. Nobody has read Meta's license for
# this entry yet; until then it counts as restricted.
SIZES = {  # size: (timm's size, width, blocks, million parameters, adapted layers of the MLP)
    "l": ("large", 1024, 24, 303.08, ("fc1", "fc2")),
    "h+": ("huge_plus", 1280, 32, 840.51, ("fc1_g", "fc1_x", "fc2")),  # a gated MLP with its two halves apart
}

for size, (timm_size, width, blocks, params_m, mlp_layers) in SIZES.items():
    lora = {
        "lora_targets": rf".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.({'|'.join(mlp_layers)}))",
        "lora_modules": (2 + len(mlp_layers)) * blocks,
    }
    backbones.add(
        f"dinov3-{size}",
        ModelSpec(
            **TIMM_NATURAL,
            **(vit(patch_px=16, width=width, blocks=blocks, prefix_tokens=5, pooling="cls") | lora),
            **restricted("DINOv3 licence"),
            weights=f"hf-hub:timm/vit_{timm_size}_patch16_dinov3.lvd1689m",
            arch=f"vit_{timm_size}_patch16_dinov3",
            arch_kwargs={"dynamic_img_size": False},  # the rotary table is built once, for the input size
            pretrained_size_px=256,
            size_px=256,
            resize_px=None,
            normalization=IMAGENET,
            params_m=params_m,
            verified="built",
            source="timm; Siméoni et al., arXiv 2508.10104",
        ),
    )(TransformerTrunk)
