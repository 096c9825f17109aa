"""Classifier: preprocessing → trunk → one main logit (positive = atypical) and auxiliary heads.

Shapes: B patches, C side of the framed image in px, S side of the net's input in px, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torch.nn import functional

from mitotype.backbones.adaptations import adaptations
from mitotype.backbones.heads import LinearHead
from mitotype.backbones.model_spec import NORMALIZATION, Backbone, backbones
from mitotype.core import seeds
from mitotype.core.errors import UserError, first_line, unknown_name
from mitotype.core.run_layout import ArchitectureRecord as Architecture


@dataclass(frozen=True)
class Outputs:
    """Outputs of a classifier: `logit_B` (float32), `embedding_BD`, `tokens` (None without tokens), `aux` heads by name."""

    logit_B: Tensor
    embedding_BD: Tensor
    tokens: Tensor | None = None
    aux: Mapping[str, Tensor] = field(default_factory=dict)


# Keyword arguments that decide what timm loads or builds, not how a layer works. A record that comes with a bundle has none.
RESERVED_KWARGS = (
    "checkpoint_path",
    "cache_dir",
    "features_only",
    "scriptable",
    "exportable",
    "no_jit",
    "num_classes",
    "img_size",
)


def _build_trunk(backbone: Backbone, size_px: int, architecture: Architecture) -> Any:
    """Return the trunk. Raises a UserError for keyword arguments that are no numbers, are reserved, or do not fit the net."""
    for name, value in architecture.model_kwargs.items():
        is_reserved = name in RESERVED_KWARGS or name.startswith("pretrained")
        is_number = all(
            isinstance(item, int | float) for item in (value if isinstance(value, list | tuple) else [value])
        )
        if is_reserved or not is_number:
            what = f"model_kwargs of {architecture.backbone} has {name}={value!r}."
            raise UserError(what[:300], allowed="numbers for the net's own layers, such as drop_path_rate=0.1")
    try:
        return backbone.build(backbone.spec, size_px, dict(architecture.model_kwargs))
    except TypeError as error:
        if not architecture.model_kwargs:
            raise
        names = ", ".join(architecture.model_kwargs)
        raise UserError(
            f"{architecture.backbone} does not take model_kwargs {names}: {first_line(error)}.", fix="remove it"
        ) from error


class Classifier(nn.Module):
    """`image_B3CC` in [0, 1] → Outputs."""

    mean: Tensor
    std: Tensor
    trunk: Any  # what the backbone builds: TransformerTrunk, PooledTrunk, or a net of this package

    def __init__(self, architecture: Architecture, base_state: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        backbone = backbones.get(architecture.backbone)
        spec = backbone.spec
        if architecture.pooling not in spec.pooling:
            raise UserError(
                f"{architecture.backbone} has no pooling '{architecture.pooling}'.",
                allowed=", ".join(sorted(spec.pooling)),
            )
        if architecture.normalization and architecture.normalization not in NORMALIZATION:
            raise unknown_name("normalization", architecture.normalization, NORMALIZATION, "mitotype backbones")
        self.architecture, self.spec = architecture, spec
        self.size_px = spec.check_size(architecture.size_px, architecture.backbone)
        self.trunk = _build_trunk(backbone, self.size_px, architecture)
        if base_state is not None:
            load_trunk(self.trunk, base_state, architecture.backbone)
        adaptation = adaptations.build(architecture.adaptation)
        adaptation.apply(self.trunk, spec)
        width = spec.pooling[architecture.pooling]
        self.dropout = nn.Dropout(architecture.head_dropout)
        self.head = adaptation.build_head(width)
        # The auxiliary heads. Saved weights have the prefix "extra.".
        self.extra = nn.ModuleDict(
            {name: LinearHead(width, outputs) for name, outputs in architecture.aux_heads.items()}
        )
        normalization = NORMALIZATION.get(architecture.normalization, spec.normalization)
        self.register_buffer("mean", torch.tensor(normalization.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(normalization.std).view(1, 3, 1, 1), persistent=False)

    def prepare(self, image_B3CC: Tensor) -> Tensor:
        """Return `x_B3SS` of `image_B3CC` in [0, 1]: resized as the publisher does (antialiased), cropped and normalized.

        An image that a frame has brought to the input size is normalized only.
        """
        spec = self.spec
        side = round(self.size_px * spec.resize_px / spec.size_px) if spec.resize_px else self.size_px
        side = self.size_px if image_B3CC.shape[-1] == self.size_px else side
        if image_B3CC.shape[-1] != side:
            image_B3CC = functional.interpolate(
                image_B3CC, (side, side), mode=spec.interpolation, antialias=True, align_corners=False
            )
            image_B3CC = image_B3CC.clamp(0, 1) if spec.interpolation == "bicubic" else image_B3CC
        edge = (side - self.size_px) // 2
        image_B3CC = image_B3CC[..., edge : edge + self.size_px, edge : edge + self.size_px]
        return ((image_B3CC - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def pool(self, feature: Tensor) -> Tensor:
        """Return `embedding_BD` of the trunk's output: tokens are pooled, an embedding is returned as it is."""
        if feature.dim() == 2:
            return feature
        return pool_tokens(feature, self.architecture.pooling, self.spec.prefix_tokens)

    def head_forward(self, feature: Tensor) -> Outputs:
        """Return the outputs for the trunk's output. Pooling and heads run in float32 whatever the trunk's precision."""
        embedding_BD = self.pool(feature.float())
        dropped_BD = self.dropout(embedding_BD)
        with autocast_disabled(feature.device.type):
            logit_B = self.head(dropped_BD).squeeze(1)
            aux = {name: head(dropped_BD) for name, head in self.extra.items()}
        return Outputs(logit_B, embedding_BD, feature if feature.dim() == 3 else None, aux)

    def forward(self, image_B3CC: Tensor) -> Outputs:
        return self.head_forward(self.trunk(self.prepare(image_B3CC)))


def autocast_disabled(device: str) -> AbstractContextManager[Any]:
    """Return a context without mixed precision: probe weights on raw embeddings, and ties among logits, need float32."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def pool_tokens(tokens_BTD: Tensor, pooling: str, prefix_tokens: int) -> Tensor:
    """Return `embedding_BD`: the class token, the mean of the patch tokens, or both concatenated. Register tokens are ignored."""
    mean_BD = tokens_BTD[:, prefix_tokens:].mean(1)
    variants = {"cls": tokens_BTD[:, 0], "mean": mean_BD, "cls_mean": torch.cat([tokens_BTD[:, 0], mean_BD], 1)}
    return variants[pooling]


def load_trunk(trunk: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load base weights into the trunk of backbone `name`, see `match_state_dict`."""
    trunk.load_state_dict(match_state_dict(trunk, state, name))


def match_state_dict(trunk: nn.Module, state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return `state` with its position embedding resampled to the grid of the trunk of backbone `name`.

    Raises a UserError unless it has exactly the trunk's tensors.
    """
    own, antialias = trunk.state_dict(), backbones.get(name).spec.pretrained_antialias
    state = {
        key: _resample_pos_embed(value, own.get(key), trunk, antialias) if key.endswith("pos_embed") else value
        for key, value in state.items()
    }
    mismatches = {
        "missing": sorted(own.keys() - state.keys()),
        "unknown": sorted(state.keys() - own.keys()),
        "of another shape": sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape),
    }
    problems = "; ".join(f"{len(keys)} {kind} ('{keys[0]}' first)" for kind, keys in mismatches.items() if keys)
    if problems:
        raise UserError(
            f"The weights are not those of {name}: {problems}.",
            fix=f"check the file: mitotype doctor {name} --weights FILE",
        )
    return state


def _resample_pos_embed(embedding_1TD: Tensor, own_1TD: Tensor | None, trunk: Any, antialias: bool) -> Tensor:
    """Return a position embedding on the trunk's grid, resampled (bicubic) as the publisher does it."""
    if own_1TD is None or embedding_1TD.shape == own_1TD.shape or embedding_1TD.shape[-1] != own_1TD.shape[-1]:
        return embedding_1TD
    net = trunk.net
    return resample_abs_pos_embed(
        embedding_1TD,
        list(net.patch_embed.grid_size),
        num_prefix_tokens=0 if net.no_embed_class else net.num_prefix_tokens,
        antialias=antialias,
    )


def build(architecture: Architecture, *, seed: int, base_state: Mapping[str, Tensor] | None = None) -> Classifier:
    """Return a classifier in channels_last format whose random weights depend on `seed` alone."""
    with seeds.forked_torch(seed, "initialisation"):
        return Classifier(architecture, base_state).to(memory_format=torch.channels_last)


def parameters_m(model: nn.Module) -> float:
    """Return the number of parameters in millions."""
    return sum(p.numel() for p in model.parameters()) / 1e6
