"""D4 ResNets: small residual nets that are invariant to 90° rotations and reflections (the group D4).

Widths count base channels, each of which has eight group elements: width 16 costs as much as an ordinary net of width 128.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mitotype.backbones.equivariant import ORDER, D4BatchNorm2d, D4Conv2d
from mitotype.backbones.fact_groups import NO_LORA, NO_WEIGHTS, no_tokens
from mitotype.backbones.model_spec import ModelSpec, backbones


class Block(nn.Module):
    """Residual block of two 3 × 3 convolutions with stochastic depth; `downsample` averages 2 × 2 positions first."""

    def __init__(self, in_channels: int, out_channels: int, *, downsample: bool, drop_path: float) -> None:
        super().__init__()
        self.downsample, self.drop_path = downsample, drop_path
        self.first, self.first_norm = D4Conv2d(in_channels, out_channels, 3, padding=1), D4BatchNorm2d(out_channels)
        self.second = D4Conv2d(out_channels, out_channels, 3, padding=1)
        self.second_norm = D4BatchNorm2d(out_channels, init_weight=0.0)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(D4Conv2d(in_channels, out_channels, 1), D4BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.downsample:
            x = functional.avg_pool2d(x, 2)
        y = self.second_norm(self.second(functional.relu(self.first_norm(self.first(x)))))
        if self.training and self.drop_path:
            mask_B = torch.rand(len(y), 1, 1, 1, device=y.device) >= self.drop_path
            y = y * mask_B.to(y.dtype) / (1 - self.drop_path)
        return functional.relu(self.shortcut(x) + y)


class D4ResNet(nn.Module):
    """`x_B3SS` → `embedding_BD`: stem (4 × 4, stride 2), stages of blocks, mean over positions and group elements."""

    def __init__(self, stem: int, widths: Sequence[int], blocks: Sequence[int], drop_path_rate: float = 0.0) -> None:
        super().__init__()
        self.stem, self.stem_norm = D4Conv2d(3, stem, 4, stride=2, padding=1, lifting=True), D4BatchNorm2d(stem)
        self.blocks = nn.Sequential(*self._blocks(stem, widths, blocks, drop_path_rate))

    @staticmethod
    def _blocks(stem: int, widths: Sequence[int], blocks: Sequence[int], drop_path_rate: float) -> Iterator[Block]:
        in_channels, index, last = stem, 0, max(1, sum(blocks) - 1)
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for i in range(count):
                drop_path = drop_path_rate * index / last
                yield Block(in_channels, width, downsample=stage > 0 and i == 0, drop_path=drop_path)
                in_channels, index = width, index + 1

    def forward(self, x_B3SS: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.stem_norm(self.stem(x_B3SS))), 2)
        x = self.blocks(x).float().mean((2, 3))
        return x.unflatten(1, (ORDER, -1)).mean(1)  # `len` would fix the batch size of an exported graph


def _build(spec: ModelSpec, size_px: int, model_kwargs: Mapping[str, Any]) -> nn.Module:
    return D4ResNet(**{**spec.arch_kwargs, **model_kwargs})


WIDTHS = (8, 16, 32)

backbones.add(
    "d4resnet-tiny",
    ModelSpec(
        **NO_WEIGHTS,
        **NO_LORA,
        **no_tokens(WIDTHS[-1]),
        state_dict_format="own",
        arch="d4resnet",
        arch_kwargs={"stem": 4, "widths": WIDTHS, "blocks": (1, 2, 2)},
        pretrained_size_px=64,
        size_px=64,
        multiple_px=2 ** (len(WIDTHS) + 1),
        interpolation="bilinear",
        patch_px=None,
        params_m=0.336,
        verified="built",
        source="mitotype, after Cohen & Welling, arXiv 1602.07576, and He et al., arXiv 1512.03385",
    ),
)(_build)
