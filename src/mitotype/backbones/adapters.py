"""Adaptations: which part of a trunk is trained, as a spec: "full", "probe", "lora(8, 16)", "prompts(8)".

probe, knn, prototype   the trunk is frozen, the head is solved on embeddings (see `fit.probe`)
head                    the trunk is frozen, a linear head is trained by gradients
lora                    low-rank updates of the Linear modules that the spec names (Hu et al., arXiv 2106.09685), by peft
prompts                 learned tokens in every block (Jia et al., arXiv 2203.12119)
full                    every weight; the learning rate falls by `decay` from block to block towards the input
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mitotype.backbones.heads import CosineHead, KNNHead, LinearHead
from mitotype.backbones.model_spec import ModelSpec
from mitotype.backbones.transformer_trunk import Prompts, TransformerTrunk
from mitotype.core import arguments
from mitotype.core.arguments import argument
from mitotype.core.errors import UserError


def _last_blocks() -> Any:
    meaning = "train the last blocks only, 0 for all; members then share the others at inference"
    return argument(0, low=0, high=1024, by_name=True, meaning=meaning)


class Adaptation:
    """Base class. `last` > 0 trains only the last `last` blocks."""

    last = 0

    def apply(self, trunk: nn.Module, spec: ModelSpec) -> None:
        """Freeze what is not trained and insert what is new, in a trunk that has its base weights."""
        raise NotImplementedError

    def build_head(self, width: int) -> nn.Module:
        """Return the main head for embeddings of `width`."""
        return LinearHead(width)


@dataclass(frozen=True)
class Full(Adaptation):
    """Every weight, or those of the last blocks and the final norm."""

    decay: float = argument(1.0, low=1e-6, high=1, meaning="factor of the learning rate from a block to the one before")
    last: int = _last_blocks()

    def apply(self, trunk: nn.Module, spec: ModelSpec) -> None:
        if self.last:
            trunk.requires_grad_(False)
            transformer = _require_transformer(trunk, "full(last=…)")
            for block in list(transformer.blocks)[_first_trained_block(trunk, self.last) :]:
                block.requires_grad_(True)
            transformer.net.norm.requires_grad_(True)


@dataclass(frozen=True)
class Probe(Adaptation):
    """Logistic regression to convergence on standardized embeddings; C is selected inside the training fold."""

    def apply(self, trunk: nn.Module, spec: ModelSpec) -> None:
        trunk.requires_grad_(False)


@dataclass(frozen=True)
class Head(Probe):
    """A linear head on a frozen trunk, trained by gradients like the probes of the published benchmark."""


@dataclass(frozen=True)
class KNN(Probe):
    """Share of atypical votes among the nearest training patches."""

    k: int = argument(20, low=1, high=10_000, meaning="number of neighbours")

    def build_head(self, width: int) -> nn.Module:
        return KNNHead(width, self.k)


@dataclass(frozen=True)
class Prototype(Probe):
    """Cosine similarity to the mean embedding of each class."""

    def build_head(self, width: int) -> nn.Module:
        return CosineHead(width)


@dataclass(frozen=True)
class Lora(Adaptation):
    """x ↦ W x + (alpha / rank) B A x; rsLoRA scales by alpha / √rank, DoRA trains direction and length of W separately."""

    rank: int = argument(8, low=1, high=1024, meaning="rank of the update")
    alpha: int = argument(16, low=1, high=1_000_000, meaning="numerator of its scale")
    dropout: float = argument(0.05, low=0, high=0.9, meaning="dropout of its input")
    rs: int = argument(0, low=0, high=1, by_name=True, meaning="1: rsLoRA")
    dora: int = argument(0, low=0, high=1, by_name=True, meaning="1: DoRA")
    targets: str = argument(
        "blocks", choices=("blocks", "all"), by_name=True, meaning='"all": the convolution that embeds patches too'
    )
    last: int = _last_blocks()

    def apply(self, trunk: nn.Module, spec: ModelSpec) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        trunk.requires_grad_(False)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=[name for name, _ in self.target_modules(trunk, spec)],
            use_rslora=bool(self.rs),
            use_dora=bool(self.dora),
            bias="none",
        )
        inject_adapter_in_model(config, trunk)

    def target_modules(self, trunk: nn.Module, spec: ModelSpec) -> list[tuple[str, nn.Module]]:
        """Return the adapted modules by name: exactly as many as the spec states, each of them Linear, and `patch_embed.proj`."""
        if spec.lora_targets is None:
            raise UserError(f"{spec.arch} does not support LoRA.", allowed="full, head, probe, knn, prototype")
        matches = [(name, m) for name, m in trunk.named_modules() if re.fullmatch(spec.lora_targets, name)]
        not_linear = [f"{name} ({type(m).__name__})" for name, m in matches if not isinstance(m, nn.Linear)]
        if not_linear or len(matches) != spec.lora_modules:
            what = f"lora_targets of {spec.arch} matches {len(matches)} modules instead of {spec.lora_modules}"
            raise ValueError(what + (f"; not Linear: {', '.join(not_linear)}" if not_linear else ""))
        if self.targets == "all":
            if self.last or not isinstance(trunk, TransformerTrunk):
                what = f"lora(targets=all{f', last={self.last}' if self.last else ''}) adapts the convolution before the first block."
                raise UserError(what, allowed="targets=all with last=0 and a transformer")
            matches.insert(0, ("net.patch_embed.proj", trunk.get_submodule("net.patch_embed.proj")))
        if not self.last:
            return matches
        first = _first_trained_block(trunk, self.last)
        return [(name, m) for name, m in matches if int(re.search(r"blocks\.(\d+)\.", name).group(1)) >= first]  # type: ignore[union-attr]


@dataclass(frozen=True)
class Prompt(Adaptation):
    """Visual prompt tuning: learned tokens in every block, or in the last ones."""

    count: int = argument(8, low=1, high=1024, meaning="number of tokens per block")
    last: int = _last_blocks()

    def apply(self, trunk: nn.Module, spec: ModelSpec) -> None:
        trunk.requires_grad_(False)
        transformer = _require_transformer(trunk, "prompts")
        first = _first_trained_block(trunk, self.last) if self.last else 0
        transformer.prompts = Prompts(transformer, self.count, first)


ADAPTATIONS: dict[str, type[Adaptation]] = {
    "full": Full,
    "probe": Probe,
    "knn": KNN,
    "prototype": Prototype,
    "head": Head,
    "lora": Lora,
    "prompts": Prompt,
}
PROBES = ("probe", "knn", "prototype")


def parse(text: str) -> Adaptation:
    """Return the adaptation of a spec. Raises a UserError for an unknown name or a number out of range."""
    return arguments.build_one(text, ADAPTATIONS, "adaptation", "mitotype train --help")


def is_probe(text: str) -> bool:
    """Return whether nothing is trained by gradients."""
    return text.partition("(")[0].strip() in PROBES


def trained_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what was trained, by name: parameters that require a gradient; buffers too where all parameters do; all heads."""
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    all_trainable = all(p.requires_grad for p in model.parameters())
    for name, value in model.state_dict().items():
        if all_trainable or name in trainable or name.startswith(("head.", "extra.")):
            yield name, value


def _require_transformer(trunk: nn.Module, feature: str) -> TransformerTrunk:
    if not isinstance(trunk, TransformerTrunk):
        raise UserError(f"{feature} needs a transformer's blocks.", allowed="full, lora, head, probe, knn, prototype")
    return trunk


def _first_trained_block(trunk: nn.Module, last: int) -> int:
    blocks = len(_require_transformer(trunk, "last=…").blocks)
    if last >= blocks:
        raise UserError(f"last={last} freezes none of {blocks} blocks.", allowed=f"up to {blocks - 1}")
    return blocks - last
