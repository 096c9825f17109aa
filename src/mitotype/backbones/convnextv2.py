"""ConvNeXt V2 (arXiv 2301.00808): masked autoencoders, fine-tuned on ImageNet, or a file of the user's own."""

from mitotype.backbones.facts import IMAGENET, Facts, backbones
from mitotype.backbones.pooled import PooledTrunk

# The autoencoders before fine-tuning (".fcmae") lack the norm behind the pooling and would not load strictly.
SIZES = {  # name: (fine-tuned on, width of the last stage, million parameters of the trunk, blocks in all)
    "atto": ("in1k", 320, 3.387, 12),
    "femto": ("in1k", 384, 4.848, 12),
    "pico": ("in1k", 512, 8.553, 12),
    "nano": ("in22k_in1k", 640, 14.98, 14),
    "tiny": ("in22k_in1k", 768, 27.87, 18),
    "base": ("in22k_in1k", 1024, 87.69, 36),
    "large": ("in22k_in1k", 1536, 196.42, 36),
    "huge": ("in1k", 2816, 657.47, 36),
}
CONVOLUTIONS = ("atto", "femto", "pico", "nano")  # their MLPs are 1 × 1 convolutions, which LoRA leaves alone

for size, (tuned, width, params_m, blocks) in SIZES.items():
    linear = size not in CONVOLUTIONS
    backbones.add(
        f"convnextv2-{size}",
        Facts(
            weights=f"hf-hub:timm/convnextv2_{size}.fcmae_ft_{tuned}",
            weights_file=None,
            keys="timm",
            offline_arch=f"convnextv2_{size}",
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
            pooling={"mean": width},
            default_pooling="mean",
            params_m=params_m,
            blocks=0,
            mpp_um=(),
            lora_targets=r".*stages\.\d+\.blocks\.\d+\.mlp\.(fc1|fc2)" if linear else None,
            lora_modules=2 * blocks if linear else 0,
            precision="fp32",
            example=None,
            licence="CC-BY-NC-4.0",
            gated=False,
            commercial=False,
            shareable_derivatives=True,
            verified="built",
            source="timm; Woo et al., arXiv 2301.00808",
        ),
    )(PooledTrunk)
