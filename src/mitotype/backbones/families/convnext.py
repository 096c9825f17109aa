"""ConvNeXt-B (arXiv 2201.03545): ImageNet-22k, then ImageNet-1k."""

from mitotype.backbones.fact_groups import APACHE, CONVNEXT_LORA, SIZE_224, TIMM_NATURAL, linear_lora, no_tokens
from mitotype.backbones.model_spec import IMAGENET, ModelSpec, backbones
from mitotype.backbones.pooled_trunk import PooledTrunk

backbones.add(
    "convnext-base",
    ModelSpec(
        **TIMM_NATURAL,
        **SIZE_224,
        **no_tokens(1024),
        **APACHE,
        **linear_lora(CONVNEXT_LORA, 72),
        weights="hf-hub:timm/convnext_base.fb_in22k_ft_in1k",
        arch="convnext_base",
        arch_kwargs={},
        multiple_px=32,
        patch_px=None,
        normalization=IMAGENET,
        params_m=87.57,
        verified="built",
        source="timm; Liu et al., arXiv 2201.03545",
    ),
)(PooledTrunk)
