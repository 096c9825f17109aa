"""A backbone: RegNetY-200MF of timm, from random weights.

    mitotype --plugin backbone.py train default --data DATA --set backbone=regnety-200mf size_px=64

Every fact is stated. A timm model needs no file where timm's own facts are enough: --set backbone=timm/regnety_002.
"""

from mitotype.backbones.fact_groups import NO_LORA, NO_WEIGHTS, no_tokens
from mitotype.backbones.model_spec import ModelSpec, backbones
from mitotype.backbones.pooled_trunk import PooledTrunk

backbones.add(
    "regnety-200mf",
    ModelSpec(
        **NO_WEIGHTS,
        **NO_LORA,
        **no_tokens(368),
        state_dict_format="timm",
        arch="regnety_002",
        arch_kwargs={},
        pretrained_size_px=64,
        size_px=64,
        multiple_px=32,
        interpolation="bilinear",
        patch_px=None,
        params_m=2.79,
        verified="built",
        source="timm; Radosavovic et al., arXiv 2003.13678",
    ),
)(PooledTrunk)
