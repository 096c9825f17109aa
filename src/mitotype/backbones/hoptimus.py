"""H-optimus-0, H-optimus-1 and H0-mini (Bioptimus): DINOv2 giants with four registers, and a base distilled from one."""

from mitotype.backbones.facts import Colours, Facts, backbones
from mitotype.backbones.transformer import TransformerTrunk

HOPT = Colours((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))

GIANTS = {  # name: (repository, licence, gated, commercial use and sharing of derivatives, source)
    "h-optimus-0": ("bioptimus/H-optimus-0", "Apache-2.0", False, True, "model card; bioptimus/releases, 2024"),
    "h-optimus-1": ("bioptimus/H-optimus-1", "CC-BY-NC-ND-4.0", True, False, "model card, 2025"),
}

for name, (repository, licence, gated, free, source) in GIANTS.items():
    backbones.add(
        name,
        Facts(
            weights=f"hf-hub:{repository}",
            weights_file=None,
            keys="timm",
            offline_arch="vit_giant_patch14_reg4_dinov2",
            arch_options={"init_values": 1e-5, "global_pool": "token"},
            grid_px=224,
            grid_antialias=True,
            size_px=224,
            multiple_px=14,
            resize_px=None,
            interpolation="bicubic",
            patch_px=14,
            mean=HOPT.mean,
            std=HOPT.std,
            prefix_tokens=5,
            pooling={"cls": 1536, "mean": 1536, "cls_mean": 3072},
            default_pooling="cls",
            params_m=1134.77,
            blocks=40,
            mpp_um=(0.5,),
            lora_targets=r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
            lora_modules=160,
            precision="fp16",
            example=None,
            licence=licence,
            gated=gated,
            commercial=free,
            shareable_derivatives=free,
            verified="built",
            source=source,
        ),
    )(TransformerTrunk)

backbones.add(
    "h0-mini",
    Facts(
        weights="hf-hub:bioptimus/H0-mini",
        weights_file=None,
        keys="timm",
        offline_arch="vit_base_patch14_reg4_dinov2",
        arch_options={
            "init_values": 1e-5,
            "mlp_ratio": 5.33334,
            "global_pool": "",
            "mlp_layer": "SwiGLUPacked",
            "act_layer": "SiLU",
        },
        grid_px=224,
        grid_antialias=True,
        size_px=224,
        multiple_px=14,
        resize_px=None,
        interpolation="bicubic",
        patch_px=14,
        mean=HOPT.mean,
        std=HOPT.std,
        prefix_tokens=5,
        pooling={"cls": 768, "mean": 768, "cls_mean": 1536},
        default_pooling="cls",
        params_m=85.74,
        blocks=12,
        mpp_um=(0.5,),
        lora_targets=r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
        lora_modules=48,
        precision="fp16",
        example=None,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        commercial=False,
        shareable_derivatives=False,
        verified="built",
        source="model card; Filiot et al., arXiv 2501.16239",
    ),
)(TransformerTrunk)
