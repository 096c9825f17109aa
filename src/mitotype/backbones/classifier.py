"""Classifier: prepare → trunk → one main logit (positive = atypical) and further heads.

Shapes: B patches, C side of the framed picture in px, S side of the net's input in px, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mitotype.backbones import adapters, heads
from mitotype.backbones.facts import COLOURS, Colours, backbones
from mitotype.core import seeds
from mitotype.core.mistakes import Mistake, unknown


@dataclass(frozen=True)
class Outputs:
    """What a classifier says: `logit_B` (float32), `embedding_BD`, `tokens` (None for convolutional nets), `extra` heads."""

    logit_B: Tensor
    embedding_BD: Tensor
    tokens: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """What has to be known to build a classifier again: a shelf key, sizes, adaptation, heads, base. Plain values only.

    `base` is the digest of the weights that the trunk held before anything was trained; "" where everything was trained.
    """

    backbone: str
    size_px: int
    pooling: str
    heads: tuple[tuple[str, int], ...] = ()  # further heads: name and number of outputs
    head_dropout: float = 0.0
    options: tuple[tuple[str, float | int | str | bool], ...] = ()  # of the trunk, such as drop_path_rate
    adaptation: str = "full"
    base: str = ""
    colours: str = ""  # "" = the facts' statistics; another name of COLOURS repeats what somebody else trained with

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "heads": dict(self.heads), "options": dict(self.options)}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Architecture:
        try:
            return cls(
                backbone=str(value["backbone"]),
                size_px=int(value["size_px"]),
                pooling=str(value["pooling"]),
                heads=tuple((str(k), int(v)) for k, v in value["heads"].items()),
                head_dropout=float(value["head_dropout"]),
                options=tuple((str(k), v) for k, v in value["options"].items()),
                adaptation=str(value.get("adaptation", "full")),
                base=str(value.get("base", "")),
                colours=str(value.get("colours", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Mistake(
                f"A member's description is not whole: {error!r}.", fix="restore member.json from a copy"
            ) from error


class Classifier(nn.Module):
    """`image_B3CC` in [0, 1] → Outputs. Colour statistics come from the facts of the weights, nowhere else.

    A trunk that starts from weights is filled by `base_state` before the adaptation freezes it and puts in what is new.
    """

    mean: Tensor
    std: Tensor
    trunk: Any  # what the shelf builds: TransformerTrunk, PooledTrunk, or a net of our own

    def __init__(self, architecture: Architecture, base_state: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        backbone = backbones.get(architecture.backbone)
        facts = backbone.facts
        if architecture.pooling not in facts.pooling:
            raise Mistake(
                f"{architecture.backbone} has no pooling '{architecture.pooling}'.",
                allowed=", ".join(sorted(facts.pooling)),
            )
        self.architecture, self.facts = architecture, facts
        self.size_px = facts.check_size(architecture.size_px, architecture.backbone)
        self.trunk = backbone.build(facts, self.size_px, dict(architecture.options))
        if base_state is not None:
            fill(self.trunk, base_state, architecture.backbone)
        adaptation = adapters.read(architecture.adaptation)
        adaptation.apply(self.trunk, facts)
        width = facts.pooling[architecture.pooling]
        kind, numbers = adaptation.head
        self.dropout = nn.Dropout(architecture.head_dropout)
        self.head = heads.build(kind, width, **numbers)
        self.extra = nn.ModuleDict({name: heads.LinearHead(width, outputs) for name, outputs in architecture.heads})
        if architecture.colours and architecture.colours not in COLOURS:
            raise unknown("set of colours", architecture.colours, COLOURS, "mitotype backbones")
        colours = COLOURS[architecture.colours] if architecture.colours else Colours(facts.mean, facts.std)
        self.register_buffer("mean", torch.tensor(colours.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(colours.std).view(1, 3, 1, 1), persistent=False)

    def prepare(self, image_B3CC: Tensor) -> Tensor:
        """`image_B3CC` in [0, 1] → `x_B3SS`: resized as the publisher does (antialiased) and standardised."""
        facts = self.facts
        side = round(self.size_px * facts.resize_px / facts.size_px) if facts.resize_px else self.size_px
        if image_B3CC.shape[-1] != side:
            image_B3CC = functional.interpolate(
                image_B3CC, (side, side), mode=facts.interpolation, antialias=True, align_corners=False
            )
            image_B3CC = image_B3CC.clamp(0, 1) if facts.interpolation == "bicubic" else image_B3CC
        edge = (side - self.size_px) // 2
        image_B3CC = image_B3CC[..., edge : edge + self.size_px, edge : edge + self.size_px]
        return ((image_B3CC - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def pooled(self, feature: Tensor) -> Tensor:
        """`embedding_BD` from what the trunk says: tokens by the named pooling, an embedding as it is."""
        return pool(feature, self.architecture.pooling, self.facts.prefix_tokens) if feature.dim() == 3 else feature

    def judge(self, feature: Tensor) -> Outputs:
        """Outputs from what the trunk says: pooled and judged in float32, whatever the trunk was reckoned in."""
        embedding_BD = self.pooled(feature.float())
        kept_BD = self.dropout(embedding_BD)
        with exact(feature.device.type):
            logit_B = self.head(kept_BD).squeeze(1)
            extra = {name: head(kept_BD) for name, head in self.extra.items()}
        return Outputs(logit_B, embedding_BD, feature if feature.dim() == 3 else None, extra)

    def forward(self, image_B3CC: Tensor) -> Outputs:
        return self.judge(self.trunk(self.prepare(image_B3CC)))


def exact(device: str) -> AbstractContextManager[Any]:
    """No mixed precision inside: a probe's weights on raw embeddings, and ties among logits, need float32."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def pool(tokens_BTD: Tensor, pooling: str, prefix_tokens: int) -> Tensor:
    """`embedding_BD`: the class token, the mean of the patch tokens, or both side by side. Registers speak in none of them."""
    mean_BD = tokens_BTD[:, prefix_tokens:].mean(1)
    variants = {"cls": tokens_BTD[:, 0], "mean": mean_BD, "cls_mean": torch.cat([tokens_BTD[:, 0], mean_BD], 1)}
    return variants[pooling]


def fill(trunk: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load base weights into a trunk, strictly; the position embedding is resampled to the trunk's grid where it differs."""
    trunk.load_state_dict(checked(trunk, state, name))


def checked(trunk: nn.Module, state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """`state` with its position embedding on the trunk's grid. Raises a Mistake unless it has exactly the trunk's tensors."""
    own, antialias = trunk.state_dict(), backbones.get(name).facts.grid_antialias
    state = {
        key: fitted(value, own.get(key), trunk, antialias) if key.endswith("pos_embed") else value
        for key, value in state.items()
    }
    wrong = {
        "missing": sorted(own.keys() - state.keys()),
        "unknown": sorted(state.keys() - own.keys()),
        "of another shape": sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape),
    }
    told = "; ".join(f"{len(keys)} {what} ('{keys[0]}' first)" for what, keys in wrong.items() if keys)
    if told:
        raise Mistake(
            f"The weights are not those of {name}: {told}.",
            fix=f"check the file: mitotype doctor {name} --weights FILE",
        )
    return state


def fitted(embedding_1TD: Tensor, own_1TD: Tensor | None, trunk: Any, antialias: bool) -> Tensor:
    """A position embedding on the trunk's grid: bicubic resampling as the publisher does it, made once when weights are loaded."""
    if own_1TD is None or embedding_1TD.shape == own_1TD.shape or embedding_1TD.shape[-1] != own_1TD.shape[-1]:
        return embedding_1TD
    from timm.layers import resample_abs_pos_embed

    net = trunk.net
    return resample_abs_pos_embed(
        embedding_1TD,
        list(net.patch_embed.grid_size),
        num_prefix_tokens=0 if net.no_embed_class else net.num_prefix_tokens,
        antialias=antialias,
    )


def build(architecture: Architecture, *, seed: int, base_state: Mapping[str, Tensor] | None = None) -> Classifier:
    """A classifier whose random weights follow from `seed` alone, in the memory layout that is quick on CPU and GPU."""
    with seeds.forked_torch(seed, "initialisation"):
        return Classifier(architecture, base_state).to(memory_format=torch.channels_last)


def parameters_m(model: nn.Module) -> float:
    """Million parameters."""
    return sum(p.numel() for p in model.parameters()) / 1e6
