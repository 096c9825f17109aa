"""D4 ResNets: small residual nets that do not change their mind when a figure is turned or mirrored.

Widths are base channels, each carried by eight group elements: width 16 computes like an ordinary net of width 128.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mitotype.backbones.equivariant import ORDER, GroupConvolution, GroupNorm
from mitotype.backbones.facts import HALF, Facts, backbones

if TYPE_CHECKING:
    from collections.abc import Iterator


class Block(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut; `halves` takes the mean of 2 × 2 positions first. `drop` is stochastic depth."""

    def __init__(self, inputs: int, outputs: int, *, halves: bool, drop: float) -> None:
        super().__init__()
        self.halves, self.drop = halves, drop
        self.first, self.first_norm = GroupConvolution(inputs, outputs, 3, padding=1), GroupNorm(outputs)
        self.second, self.second_norm = (
            GroupConvolution(outputs, outputs, 3, padding=1),
            GroupNorm(outputs, starts_at=0.0),
        )
        self.shortcut = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(GroupConvolution(inputs, outputs, 1), GroupNorm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.halves:
            x = functional.avg_pool2d(x, 2)
        y = self.second_norm(self.second(functional.relu(self.first_norm(self.first(x)))))
        if self.training and self.drop:
            kept = torch.rand(len(y), 1, 1, 1, device=y.device) >= self.drop
            y = y * kept.to(y.dtype) / (1 - self.drop)
        return functional.relu(self.shortcut(x) + y)


class D4ResNet(nn.Module):
    """`x_B3SS` → `embedding_BD`: stem (4 × 4, stride 2), stages of blocks, mean over positions and group elements."""

    def __init__(self, stem: int, widths: Sequence[int], blocks: Sequence[int], drop_path_rate: float = 0.0) -> None:
        super().__init__()
        self.stem, self.stem_norm = GroupConvolution(3, stem, 4, stride=2, padding=1, lifts=True), GroupNorm(stem)
        self.blocks = nn.Sequential(*self._blocks(stem, widths, blocks, drop_path_rate))

    @staticmethod
    def _blocks(stem: int, widths: Sequence[int], blocks: Sequence[int], drop: float) -> Iterator[Block]:
        inputs, number, last = stem, 0, max(1, sum(blocks) - 1)
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for place in range(count):
                yield Block(inputs, width, halves=stage > 0 and place == 0, drop=drop * number / last)
                inputs, number = width, number + 1

    def forward(self, x_B3SS: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.stem_norm(self.stem(x_B3SS))), 2)
        x = self.blocks(x).float().mean((2, 3))
        return x.view(len(x), ORDER, -1).mean(1)


def _build(facts: Facts, size_px: int, options: Mapping[str, Any]) -> nn.Module:
    return D4ResNet(**{**facts.arch_options, **options})


SIZES: dict[str, tuple[int, tuple[int, ...], tuple[int, ...], float]] = {  # stem, widths, blocks, million parameters
    "tiny": (4, (8, 16, 32), (1, 2, 2), 0.336),
}

for size, (stem, widths, counts, params_m) in SIZES.items():
    backbones.add(
        f"d4resnet-{size}",
        Facts(
            weights=None,
            weights_file=None,
            keys="own",
            offline_arch="d4resnet",
            arch_options={"stem": stem, "widths": widths, "blocks": counts},
            grid_px=64,
            grid_antialias=True,
            size_px=64,
            multiple_px=2 ** (len(widths) + 1),
            resize_px=None,
            interpolation="bilinear",
            patch_px=None,
            mean=HALF.mean,
            std=HALF.std,
            prefix_tokens=0,
            pooling={"mean": widths[-1]},
            default_pooling="mean",
            params_m=params_m,
            blocks=0,
            mpp_um=(),
            lora_targets=None,
            lora_modules=0,
            precision="fp32",
            example=None,
            licence="Apache-2.0 (architecture; no weights)",
            gated=False,
            commercial=True,
            shareable_derivatives=True,
            verified="built",
            source="ours, after Cohen & Welling, arXiv 1602.07576, and He et al., arXiv 1512.03385",
        ),
    )(_build)
