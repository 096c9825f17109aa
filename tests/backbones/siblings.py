"""Siblings: tiny versions of the published backbones, with the same architecture, prefix tokens, layers and key map.

A sibling costs milliseconds where the backbone itself needs gigabytes, so that loading, adapting and training are tested for
every family without its weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from mitotype.backbones import backbones
from mitotype.backbones.classifier import parameters_m
from mitotype.backbones.facts import Backbone, Facts
from mitotype.backbones.transformer import TransformerTrunk

WIDTH, DEPTH, HEADS = 48, 3, 4
PATCHES = 3  # per side of the default input; where the published grid is another, the sibling's has one more

POOLED: dict[str, tuple[Mapping[str, Any], int, int]] = {  # family: (arch_options, width, blocks)
    "swin": ({"img_size": 32, "embed_dim": 16, "depths": (2, 1), "num_heads": (2, 4), "window_size": 4}, 32, 3),
    "convnextv2": ({"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}, 32, 5),
    "convnext": ({"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}, 32, 5),
    "efficientnetv2": ({"channel_multiplier": 0.1, "depth_multiplier": 0.1}, 1280, 0),
}

TRANSFORMERS = [name for name in backbones if backbones.get(name).build is TransformerTrunk]
NAMES = sorted(TRANSFORMERS + [name for name in backbones if name.startswith(tuple(POOLED))])


def sibling(name: str) -> Facts:
    """The facts of a tiny version of backbone `name`: whatever is not a size is as it was."""
    backbone = backbones.get(name)
    facts = _transformer(backbone.facts) if backbone.build is TransformerTrunk else _pooled(name, backbone.facts)
    nowhere = f"hf-hub:mitotype-tests/tiny-{name}"  # nobody fetches the real weights for a sibling
    facts = replace(facts, weights=facts.weights and nowhere)
    with torch.device("meta"):
        trunk = backbone.build(facts, facts.grid_px, {})
    return replace(facts, params_m=parameters_m(trunk))


@contextmanager
def shelved(*names: str) -> Iterator[list[str]]:
    """Put the siblings of `names` on the shelf under "tiny-NAME", give these names, and take them off again."""
    tiny = {f"tiny-{name}": Backbone(f"tiny-{name}", sibling(name), backbones.get(name).build) for name in names}
    backbones._items.update(tiny)
    try:
        yield list(tiny)
    finally:
        for key in tiny:
            del backbones._items[key]


def _transformer(facts: Facts) -> Facts:
    patch_px = facts.patch_px or 0
    size_px = PATCHES * patch_px
    return replace(
        facts,
        arch_options={**facts.arch_options, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS},
        grid_px=size_px if facts.grid_px == facts.size_px else size_px + patch_px,
        size_px=size_px,
        resize_px=facts.resize_px and round(size_px * facts.resize_px / facts.size_px),
        pooling={"cls": WIDTH, "mean": WIDTH, "cls_mean": 2 * WIDTH},
        blocks=DEPTH,
        lora_modules=facts.lora_modules * DEPTH // facts.blocks,
    )


def _pooled(name: str, facts: Facts) -> Facts:
    options, width, blocks = next(POOLED[family] for family in POOLED if name.startswith(family))
    layers = len(re.findall(r"qkv|proj|fc1|fc2", facts.lora_targets or ""))
    size_px = 32
    return replace(
        facts,
        arch_options={**facts.arch_options, **options},
        grid_px=size_px,
        size_px=size_px,
        multiple_px=32,
        pooling={"mean": width},
        lora_modules=layers * blocks,
    )
