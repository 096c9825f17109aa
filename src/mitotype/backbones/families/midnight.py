"""Midnight-12k (kaiko.ai): DINOv2's giant, trained further on 12 000 slides; published for transformers, built here by timm."""

from mitotype.backbones.fact_groups import MIT, vit
from mitotype.backbones.model_spec import HALF_STD, ModelSpec, backbones
from mitotype.backbones.transformer_trunk import TransformerTrunk

backbones.add(
    "midnight-12k",
    ModelSpec(
        **vit(patch_px=14, width=1536, blocks=40, prefix_tokens=1, pooling="cls_mean"),
        **MIT,
        weights="hf-hub:kaiko-ai/midnight",
        weights_file=None,
        state_dict_format="hf-dinov2",
        arch="vit_giant_patch14_dinov2",
        arch_kwargs={},
        pretrained_size_px=518,
        pretrained_antialias=False,
        size_px=224,
        resize_px=None,
        interpolation="bilinear",
        normalization=HALF_STD,
        params_m=1136.48,
        mpp_um=(0.25, 0.5, 1.0, 2.0),
        precision="fp16",
        example=None,
        gated=False,
        verified="built",
        source="model card; Karasikov et al., arXiv 2504.05186",
    ),
)(TransformerTrunk)
