"""The synthetic patches of these tests, the smallest nets of their kinds, and weights of tiny siblings that follow from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.golden.package import (
    Architecture,
    Backbone,
    Cohort,
    backbones,
    build,
    parameters_m,
    registered_siblings,
    synthetic,
)

PATCHES, CASES, SEED, DOMAINS = 64, 20, 3, 5
SMALLEST, SMALLEST_VIT = "smallest-d4resnet", "smallest-vit"
SIBLINGS = ("uni2-h", "virchow2", "vit-mini8")  # registered as tiny-NAME


@contextmanager
def small_nets() -> Iterator[None]:
    """Register the siblings, a D4 ResNet of two blocks and a transformer of one inside the block."""
    with registered_siblings(*SIBLINGS):
        usual, vit = backbones.get("d4resnet-tiny"), backbones.get("tiny-vit-mini8")
        options = {"stem": 2, "widths": (4, 8), "blocks": (1, 1)}
        spec = replace(usual.spec, arch_kwargs=options, multiple_px=8, pooling={"mean": 8})
        one_block = {"blocks": 1, "lora_modules": vit.spec.lora_modules // vit.spec.blocks}
        vit_spec = replace(vit.spec, arch_kwargs={**vit.spec.arch_kwargs, "depth": 1}, **one_block)
        for name, small, build_trunk in ((SMALLEST, spec, usual.build), (SMALLEST_VIT, vit_spec, vit.build)):
            with torch.device("meta"):
                params_m = parameters_m(build_trunk(small, small.pretrained_size_px, {}))
            backbones._items[name] = Backbone(name, replace(small, params_m=params_m), build_trunk)
        try:
            yield
        finally:
            for name in (SMALLEST, SMALLEST_VIT):
                del backbones._items[name]


def generated(folder: Path) -> Cohort:
    """64 patches of 20 cases; the last of 5 domains is the part "test" (39 and 25 patches)."""
    return synthetic.generate(folder / "cohort", patches=PATCHES, cases=CASES, seed=SEED, domains=DOMAINS)


def training(cohort: Cohort) -> Cohort:
    return cohort.take(cohort.rows["part"] == "train")


def held_out(cohort: Cohort) -> Cohort:
    return cohort.take(cohort.rows["part"] == "test")


def weights_file(name: str, folder: Path, *, dtype: torch.dtype = torch.float32) -> Path:
    """Random weights of a registered sibling as its publisher would name them; scales of residual branches are 0.5."""
    spec = backbones.get(name).spec
    net = build(Architecture(name, spec.pretrained_size_px, spec.default_pooling), seed=5)
    prefix = "net." if spec.state_dict_format == "timm" else ""
    state = {key.removeprefix(prefix): value for key, value in net.trunk.state_dict().items()}
    state = {key: torch.full_like(value, 0.5) if "gamma" in key else value for key, value in state.items()}
    path = folder / f"{name}.safetensors"
    save_file({key: value.to(dtype).contiguous() for key, value in state.items()}, path)
    return path
