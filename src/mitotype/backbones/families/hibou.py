"""Hibou-B and Hibou-L (HistAI): DINOv2 transformers with four registers and gated MLPs."""

from mitotype.backbones.fact_groups import APACHE, SIZE_224, vit
from mitotype.backbones.model_spec import ModelSpec, Normalization, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

HIBOU = Normalization((0.7068, 0.5755, 0.7220), (0.1950, 0.2316, 0.1816))

# The publisher's configuration sets use_swiglu_ffn: the MLPs have 2048 and 2736 hidden units, each with a gate.
SIZES = {  # size: (repository, width, blocks, mlp_ratio = 2 · hidden / width, million parameters, gated)
    "b": ("histai/hibou-b", 768, 12, 5.33334, 85.74, False),
    "l": ("histai/hibou-L", 1024, 24, 5.34375, 303.66, True),
}

for size, (repository, width, blocks, mlp_ratio, params_m, gated) in SIZES.items():
    backbones.add(
        f"hibou-{size}",
        ModelSpec(
            **vit(patch_px=14, width=width, blocks=blocks, prefix_tokens=5, pooling="cls"),
            **SIZE_224,
            **APACHE,
            weights=f"hf-hub:{repository}",
            weights_file=None,
            state_dict_format="hf-dinov2",
            arch=f"vit_{'base' if size == 'b' else 'large'}_patch14_reg4_dinov2",
            arch_kwargs={"mlp_ratio": mlp_ratio, "mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"},
            pretrained_antialias=True,
            interpolation="bicubic",
            normalization=HIBOU,
            params_m=params_m,
            mpp_um=(0.5,),
            precision="fp32",
            example=None,
            gated=gated,
            verified="built",
            source="model card and configuration; Nechaev et al., arXiv 2406.05074",
        ),
    )(TransformerTrunk)
