"""Hibou-B and Hibou-L (HistAI): DINOv2 transformers with four registers and gated MLPs."""

from mitotype.backbones.facts import Colours, Facts, backbones
from mitotype.backbones.transformer import TransformerTrunk

HIBOU = Colours((0.7068, 0.5755, 0.7220), (0.1950, 0.2316, 0.1816))

# The publisher's configuration says use_swiglu_ffn: its MLPs have 2048 and 2736 hidden units, each with a gate.
SIZES = {  # size: (repository, width, blocks, mlp_ratio = 2 · hidden / width, million parameters, gated)
    "b": ("histai/hibou-b", 768, 12, 5.33334, 85.74, False),
    "l": ("histai/hibou-L", 1024, 24, 5.34375, 303.66, True),
}

for size, (repository, width, blocks, mlp_ratio, params_m, gated) in SIZES.items():
    backbones.add(
        f"hibou-{size}",
        Facts(
            weights=f"hf-hub:{repository}",
            weights_file=None,
            keys="hf-dinov2",
            offline_arch=f"vit_{'base' if size == 'b' else 'large'}_patch14_reg4_dinov2",
            arch_options={"mlp_ratio": mlp_ratio, "mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"},
            grid_px=224,
            grid_antialias=True,
            size_px=224,
            multiple_px=14,
            resize_px=None,
            interpolation="bicubic",
            patch_px=14,
            mean=HIBOU.mean,
            std=HIBOU.std,
            prefix_tokens=5,
            pooling={"cls": width, "mean": width, "cls_mean": 2 * width},
            default_pooling="cls",
            params_m=params_m,
            blocks=blocks,
            mpp_um=(0.5,),
            lora_targets=r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
            lora_modules=4 * blocks,
            precision="fp32",
            example=None,
            licence="Apache-2.0",
            gated=gated,
            commercial=True,
            shareable_derivatives=True,
            verified="built",
            source="model card and configuration; Nechaev et al., arXiv 2406.05074",
        ),
    )(TransformerTrunk)
