"""Adaptation: the base class, the registry, and what every adaptation has in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor, nn

from mitotype.backbones.heads import LinearHead
from mitotype.backbones.model_spec import ModelSpec
from mitotype.backbones.transformer_trunk import TransformerTrunk
from mitotype.core.arguments import argument
from mitotype.core.errors import UserError
from mitotype.core.registry import Registry


class Adaptation:
    """An adaptation: a frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments.

    `last` > 0 trains the last `last` blocks only; `decay` is the factor of the learning rate from a block to the one before.
    """

    trains_base: ClassVar[bool] = False  # True: the initial weights are changed, and may be random ones
    is_trunk_frozen: ClassVar[bool] = False  # True: nothing but the heads is trained
    is_solved: ClassVar[bool] = False  # True: the head is solved on embeddings without gradients, see `fit.probe`
    last: int = 0
    decay: float = 1.0

    @property
    def replaces_base(self) -> bool:
        """Whether every weight is trained, so that a member does not need its initial weights."""
        return self.trains_base and not self.last

    def unsupported_reason(self, spec: ModelSpec) -> str:
        """Return why a backbone does not support the adaptation, "" if it does."""
        return "last=… needs a transformer's blocks, and this net has none" if self.last and not spec.blocks else ""

    def apply(self, trunk: nn.Module, spec: ModelSpec) -> None:
        """Freeze what is not trained and insert what is new, in a trunk that has its base weights."""
        raise NotImplementedError

    def build_head(self, width: int) -> nn.Module:
        """Return the main head for embeddings of `width`."""
        return LinearHead(width)


adaptations: Registry[type[Adaptation]] = Registry("adaptation", "adaptations", "mitotype.backbones.adaptations")


def trained_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what was trained, by name: parameters that require a gradient; buffers too where all parameters do; all heads."""
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    all_trainable = all(p.requires_grad for p in model.parameters())
    for name, value in model.state_dict().items():
        if all_trainable or name in trainable or name.startswith(("head.", "extra.")):
            yield name, value


def last_blocks() -> Any:
    """Return the argument `last` of an adaptation."""
    meaning = "train the last blocks only, 0 for all; members then share the others at inference"
    return argument(0, low=0, high=1024, by_name=True, meaning=meaning)


def require_transformer(trunk: nn.Module, feature: str) -> TransformerTrunk:
    """Return the trunk. Raises a UserError for one without blocks; `feature` is what needs them."""
    if not isinstance(trunk, TransformerTrunk):
        raise UserError(f"{feature} needs a transformer's blocks.", allowed="full, lora, head, probe, knn, prototype")
    return trunk


def first_trained_block(trunk: nn.Module, last: int) -> int:
    """Return the number of frozen blocks. Raises a UserError where none would be frozen."""
    blocks = len(require_transformer(trunk, "last=…").blocks)
    if last >= blocks:
        raise UserError(f"last={last} freezes none of {blocks} blocks.", allowed=f"up to {blocks - 1}")
    return blocks - last
