"""GPFM (Hong Kong University of Science and Technology): a DINOv2 ViT-L/14 distilled from several pathology models."""

from mitotype.backbones.fact_groups import CC_BY_NC_ND, SIZE_224, vit
from mitotype.backbones.model_spec import IMAGENET, ModelSpec, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

backbones.add(
    "gpfm",
    ModelSpec(
        **vit(patch_px=14, width=1024, blocks=24, prefix_tokens=1, pooling="cls"),
        **SIZE_224,
        **CC_BY_NC_ND,
        weights="hf-hub:majiabo/GPFM",
        weights_file="GPFM.pth",
        state_dict_format="timm",
        arch="vit_large_patch14_dinov2",
        arch_kwargs={"init_values": 1e-5},
        pretrained_antialias=True,
        interpolation="bicubic",
        normalization=IMAGENET,
        params_m=303.23,
        mpp_um=(0.5,),
        precision="fp16",
        example=None,
        gated=False,
        verified="built",
        source="repository; Ma et al., arXiv 2407.18449",
    ),
)(TransformerTrunk)
