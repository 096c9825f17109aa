"""LoRA: low-rank updates of the modules that a spec names (Hu et al., arXiv 2106.09685), by peft; of query and value by `lora_qv`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from mitotype.backbones.adaptations.adaptation import Adaptation, adaptations, first_trained_block, last_blocks
from mitotype.backbones.adaptations.lora_qv import QueryValueLora
from mitotype.backbones.model_spec import ModelSpec
from mitotype.backbones.transformer_trunk import TransformerTrunk
from mitotype.core.arguments import argument
from mitotype.core.errors import UserError

QKV = "attn.qkv"  # timm's Linear module with the rows of query, key and value


@adaptations.add("lora")
@dataclass(frozen=True)
class Lora(Adaptation):
    """x ↦ W x + (alpha / rank) B A x; rsLoRA scales by alpha / √rank, DoRA trains direction and length of W separately.

    Of a convolution A has the kernel of W, and B is 1 × 1.
    """

    rank: int = argument(8, low=1, high=1024, meaning="rank of the update")
    alpha: int = argument(16, low=1, high=1_000_000, meaning="numerator of its scale")
    dropout: float = argument(0.05, low=0, high=0.9, meaning="dropout of its input")
    rs: int = argument(0, low=0, high=1, by_name=True, meaning="1: rsLoRA")
    dora: int = argument(0, low=0, high=1, by_name=True, meaning="1: DoRA")
    targets: str = argument(
        "blocks", choices=("blocks", "all", "qv"), by_name=True,
        meaning='"blocks": the layers of attention and MLP, or the 1 × 1 convolutions; "all": the convolution that embeds patches '
        'too; "qv": query and value of every attention',
    )  # fmt: skip
    last: int = last_blocks()

    def unsupported_reason(self, spec: ModelSpec) -> str:
        if spec.lora_targets is None:
            return "LoRA is not offered for this net"
        if self.targets == "qv" and "qkv" not in spec.lora_targets:
            return "lora(targets=qv) needs attention, and this net has none"
        if self.targets == "qv" and self.dora:
            return "lora(targets=qv) has no dora=1, which trains the length of the key's rows too"
        if self.targets == "all" and not spec.blocks:
            return "lora(targets=all) needs a transformer's embedding of patches, and this net has none"
        return super().unsupported_reason(spec)

    def apply(self, trunk: nn.Module, spec: ModelSpec) -> None:
        if self.targets == "qv" and (reason := self.unsupported_reason(spec)):
            raise UserError(f"{spec.arch}: {reason}.", allowed="targets=blocks")
        modules = self.target_modules(trunk, spec)
        trunk.requires_grad_(False)
        if self.targets == "qv":
            self._apply_to_query_and_value(trunk, [name for name, _ in modules])
            return
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=[name for name, _ in modules],
            use_rslora=bool(self.rs),
            use_dora=bool(self.dora),
            bias="none",
        )
        inject_adapter_in_model(config, trunk)

    def target_modules(self, trunk: nn.Module, spec: ModelSpec) -> list[tuple[str, nn.Module]]:
        """Return the adapted modules by name.

        The pattern of the spec matches exactly as many as the spec states, each of its type; "all" adds `patch_embed.proj`, "qv"
        selects the modules of query, key and value.
        """
        if spec.lora_targets is None:
            raise UserError(f"{spec.arch} does not support LoRA.", allowed="full, head, probe, knn, prototype")
        matches = [(name, m) for name, m in trunk.named_modules() if re.fullmatch(spec.lora_targets, name)]
        of_another_type = [f"{name} ({type(m).__name__})" for name, m in matches if not _is_of(spec.lora_layer, m)]
        if of_another_type or len(matches) != spec.lora_modules:
            what = f"lora_targets of {spec.arch} matches {len(matches)} modules instead of {spec.lora_modules}"
            raise ValueError(
                what + (f"; not {spec.lora_layer}: {', '.join(of_another_type)}" if of_another_type else "")
            )
        if self.targets == "all":
            if self.last or not isinstance(trunk, TransformerTrunk):
                what = f"lora(targets=all{f', last={self.last}' if self.last else ''}) adapts the convolution before the first block."
                raise UserError(what, allowed="targets=all with last=0 and a transformer")
            matches.insert(0, ("net.patch_embed.proj", trunk.get_submodule("net.patch_embed.proj")))
        if self.targets == "qv":
            matches = [(name, m) for name, m in matches if name.endswith(QKV)]
            if not matches:
                raise UserError(f"{spec.arch} has no attention with '{QKV}'.", allowed="lora(…) without targets=qv")
        if not self.last:
            return matches
        first = first_trained_block(trunk, self.last)
        return [(name, m) for name, m in matches if int(re.search(r"blocks\.(\d+)\.", name).group(1)) >= first]  # type: ignore[union-attr]

    def _apply_to_query_and_value(self, trunk: nn.Module, names: list[str]) -> None:
        scale = self.alpha / (self.rank**0.5 if self.rs else self.rank)
        for name in names:
            parent_name, _, child = name.rpartition(".")
            parent, qkv = trunk.get_submodule(parent_name), trunk.get_submodule(name)
            assert isinstance(qkv, nn.Linear)
            setattr(parent, child, QueryValueLora(qkv, self.rank, scale, self.dropout))


def _is_of(layer: str | None, module: nn.Module) -> bool:
    """Return whether a module is of the type that a spec names; grouped convolutions have no low-rank form over all channels."""
    if layer == "Conv2d":
        return isinstance(module, nn.Conv2d) and module.groups == 1
    return isinstance(module, nn.Linear)
