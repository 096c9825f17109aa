"""Siblings: tiny versions of the published backbones with the same architecture, prefix tokens, layers and tensor names.

A sibling takes milliseconds where the backbone needs gigabytes, so that loading, adapting and training are tested for every
family without its weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from mitotype.backbones import Backbone, ModelSpec, backbones
from mitotype.backbones.classifier import parameters_m
from mitotype.backbones.transformer_trunk import TransformerTrunk

WIDTH, DEPTH, HEADS = 48, 3, 4
PATCHES = 3  # per side of the default input; where the pretrained size is another, the sibling's has one more

POOLED: dict[str, tuple[Mapping[str, Any], int, int]] = {  # family: (arch_kwargs, width, blocks)
    "swin": ({"img_size": 32, "embed_dim": 16, "depths": (2, 1), "num_heads": (2, 4), "window_size": 4}, 32, 3),
    "convnextv2": ({"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}, 32, 5),
    "convnext": ({"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}, 32, 5),
    "efficientnet-lite": ({}, 1280, 0),  # timm fixes their widths; they are small
    "efficientnetv2": ({"channel_multiplier": 0.1, "depth_multiplier": 0.1}, 1280, 0),
}

TRANSFORMERS = [name for name in backbones if backbones.get(name).build is TransformerTrunk]
NAMES = sorted(TRANSFORMERS + [name for name in backbones if name.startswith(tuple(POOLED))])


def sibling(name: str) -> ModelSpec:
    """Return the spec of a tiny version of backbone `name`; everything but sizes is unchanged."""
    backbone = backbones.get(name)
    spec = _transformer(backbone.spec) if backbone.build is TransformerTrunk else _pooled(name, backbone.spec)
    unused = f"hf-hub:mitotype-tests/tiny-{name}"  # so that nobody downloads the real weights for a sibling
    spec = replace(spec, weights=spec.weights and unused)
    with torch.device("meta"):
        trunk = backbone.build(spec, spec.pretrained_size_px, {})
    return replace(spec, params_m=parameters_m(trunk))


@contextmanager
def registered_siblings(*names: str) -> Iterator[list[str]]:
    """Register the siblings of `names` as "tiny-NAME", yield these names, and unregister them."""
    tiny = {f"tiny-{name}": Backbone(f"tiny-{name}", sibling(name), backbones.get(name).build) for name in names}
    backbones._items.update(tiny)
    try:
        yield list(tiny)
    finally:
        for key in tiny:
            del backbones._items[key]


def _transformer(spec: ModelSpec) -> ModelSpec:
    patch_px = spec.patch_px or 0
    size_px = PATCHES * patch_px
    return replace(
        spec,
        arch_kwargs={**spec.arch_kwargs, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS},
        pretrained_size_px=size_px if spec.pretrained_size_px == spec.size_px else size_px + patch_px,
        size_px=size_px,
        resize_px=spec.resize_px and round(size_px * spec.resize_px / spec.size_px),
        pooling={"cls": WIDTH, "mean": WIDTH, "cls_mean": 2 * WIDTH},
        blocks=DEPTH,
        lora_modules=spec.lora_modules * DEPTH // spec.blocks,
    )


def _pooled(name: str, spec: ModelSpec) -> ModelSpec:
    arch_kwargs, width, blocks = next(POOLED[family] for family in POOLED if name.startswith(family))
    layers = len(re.findall(r"qkv|proj|fc1|fc2", spec.lora_targets or ""))
    size_px = 32
    return replace(
        spec,
        arch_kwargs={**spec.arch_kwargs, **arch_kwargs},
        pretrained_size_px=size_px,
        size_px=size_px,
        multiple_px=32,
        pooling={"mean": width},
        lora_modules=layers * blocks or spec.lora_modules,
    )
