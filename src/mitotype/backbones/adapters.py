"""Adapters: what of a trunk is trained, named by a sentence: "full", "probe", "lora(8, 16)", "prompts(8)".

probe, knn, prototype   the trunk is frozen, its head is solved on embeddings (see `fit.probe`)
head                    the trunk is frozen, a linear head learns by gradients
lora                    low-rank updates of the Linear modules that the facts name (Hu et al., arXiv 2106.09685), by peft
prompts                 learnt tokens in every block (Jia et al., arXiv 2203.12119)
full                    every weight, the learning rate falling by `decay` from block to block towards the input
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from mitotype.backbones.facts import Facts
from mitotype.backbones.transformer import Prompts, TransformerTrunk
from mitotype.core import sentence
from mitotype.core.mistakes import Mistake, unknown


@dataclass(frozen=True)
class Adaptation:
    """`last` > 0 leaves all but the last `last` blocks as they are: members then share the rest at inference."""

    last: int = 0

    def apply(self, trunk: nn.Module, facts: Facts) -> None:
        """Freeze what is not trained and put in what is new. The trunk holds its base weights already."""
        raise NotImplementedError

    @property
    def head(self) -> tuple[str, dict[str, float]]:
        """Kind and options of the main head."""
        return "linear", {}


@dataclass(frozen=True)
class Full(Adaptation):
    decay: float = 1.0

    def apply(self, trunk: nn.Module, facts: Facts) -> None:
        if self.last:
            trunk.requires_grad_(False)
            walked = _transformer(trunk, "full(last=…)")
            for block in list(walked.blocks)[_first(walked, self.last) :]:
                block.requires_grad_(True)
            walked.net.norm.requires_grad_(True)


@dataclass(frozen=True)
class Probe(Adaptation):
    """Logistic regression to convergence on standardised embeddings, its strength chosen inside the training fold."""

    def apply(self, trunk: nn.Module, facts: Facts) -> None:
        trunk.requires_grad_(False)


@dataclass(frozen=True)
class Head(Probe):
    """A linear head that learns by gradients on a frozen trunk, as the published benchmark's probes did."""


@dataclass(frozen=True)
class Neighbours(Probe):
    k: int = 20

    @property
    def head(self) -> tuple[str, dict[str, float]]:
        return "neighbours", {"k": self.k}


@dataclass(frozen=True)
class Prototype(Probe):
    @property
    def head(self) -> tuple[str, dict[str, float]]:
        return "cosine", {}


@dataclass(frozen=True)
class Lora(Adaptation):
    """x ↦ W x + (alpha / rank) B A x; with `rs` alpha / √rank (rsLoRA), with `dora` W's direction and length apart (DoRA)."""

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.05
    rs: int = 0
    dora: int = 0

    def apply(self, trunk: nn.Module, facts: Facts) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        trunk.requires_grad_(False)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=[name for name, _ in self.targets(trunk, facts)],
            use_rslora=bool(self.rs),
            use_dora=bool(self.dora),
            bias="none",
        )
        inject_adapter_in_model(config, trunk)

    def targets(self, trunk: nn.Module, facts: Facts) -> list[tuple[str, nn.Module]]:
        """The modules that are adapted: exactly as many as the facts announce, every one a Linear."""
        if facts.lora_targets is None:
            raise Mistake(f"{facts.offline_arch} is not adapted by LoRA.", allowed="full, head, probe, knn, prototype")
        found = [(name, m) for name, m in trunk.named_modules() if re.fullmatch(facts.lora_targets, name)]
        strange = [f"{name} ({type(m).__name__})" for name, m in found if not isinstance(m, nn.Linear)]
        if strange or len(found) != facts.lora_modules:
            what = f"The LoRA pattern of {facts.offline_arch} matches {len(found)} modules, its facts say {facts.lora_modules}"
            raise ValueError(what + (f"; not Linear: {', '.join(strange)}" if strange else ""))
        if not self.last:
            return found
        first = _first(trunk, self.last)
        return [(name, m) for name, m in found if int(re.search(r"blocks\.(\d+)\.", name).group(1)) >= first]  # type: ignore[union-attr]


@dataclass(frozen=True)
class Prompt(Adaptation):
    count: int = 8

    def apply(self, trunk: nn.Module, facts: Facts) -> None:
        trunk.requires_grad_(False)
        walked = _transformer(trunk, "prompts")
        walked.prompts = Prompts(walked, self.count, _first(trunk, self.last) if self.last else 0)


@dataclass(frozen=True)
class Kind:
    """One word of the sentence: its class and the order in which numbers may be given without a name."""

    made: type[Adaptation]
    order: tuple[str, ...] = ()
    most: dict[str, float] = field(default_factory=dict)


ADAPTATIONS = {
    "full": Kind(Full, ("decay",), {"decay": 1}),
    "probe": Kind(Probe),
    "knn": Kind(Neighbours, ("k",), {"k": 10_000}),
    "prototype": Kind(Prototype),
    "head": Kind(Head),
    "lora": Kind(Lora, ("rank", "alpha", "dropout"), {"rank": 1024, "alpha": 1e6, "dropout": 0.9, "rs": 1, "dora": 1}),
    "prompts": Kind(Prompt, ("count",), {"count": 1024}),
}
PROBES = ("probe", "knn", "prototype")


def read(text: str) -> Adaptation:
    """The adaptation that a sentence names. Raises a Mistake for an unknown word or a number out of range."""
    steps = sentence.pipeline(text)
    if len(steps) != 1 or steps[0].name not in ADAPTATIONS:
        raise unknown("adaptation", text, ADAPTATIONS, "mitotype train --help")
    step, kind = steps[0], ADAPTATIONS[steps[0].name]
    given: dict[str, Any] = dict(zip(kind.order, step.args, strict=False)) | dict(step.options)
    fields = dataclasses.fields(kind.made)
    known = {f.name: f for f in fields if f.name != "last" or not issubclass(kind.made, Probe)}
    if len(step.args) > len(kind.order) or any(n not in known or isinstance(v, str | tuple) for n, v in given.items()):
        allowed = ", ".join(f"{f.name}={f.default:g}" for f in known.values())
        raise Mistake(f"'{step}' is not understood.", allowed=f"{step.name}({allowed})" if allowed else step.name)
    for name, value in given.items():
        whole = isinstance(known[name].default, int)
        low = 0 if name in ("last", "dropout", "rs", "dora") else (1 if whole else 1e-6)
        most = kind.most.get(name, 1024)
        if not low <= value <= most or (whole and value != int(value)):
            allowed = f"a {'whole ' if whole else ''}number from {low:g} to {most:.7g}"
            raise Mistake(f"{name} is {value:g} in '{step}'.", allowed=allowed)
        given[name] = int(value) if whole else float(value)
    return kind.made(**given)


def is_probe(text: str) -> bool:
    """Whether nothing is trained by gradients."""
    return text.partition("(")[0].strip() in PROBES


def trained(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What was trained, by name: parameters with a gradient, and every buffer of a net that is trained whole."""
    whole = all(p.requires_grad for p in model.parameters())
    learns = {name for name, p in model.named_parameters() if p.requires_grad}
    for name, value in model.state_dict().items():
        if whole or name in learns or name.startswith(("head.", "extra.")):
            yield name, value


def _transformer(trunk: nn.Module, what: str) -> TransformerTrunk:
    if not isinstance(trunk, TransformerTrunk):
        raise Mistake(f"{what} needs a transformer's blocks.", allowed="full, lora, head, probe, knn, prototype")
    return trunk


def _first(trunk: nn.Module, last: int) -> int:
    """The number of the first of the last `last` blocks."""
    blocks = len(_transformer(trunk, "last=…").blocks)
    if last >= blocks:
        raise Mistake(f"last={last} leaves none of {blocks} blocks as it is.", allowed=f"up to {blocks - 1}")
    return blocks - last
