"""LoRA: low-rank updates of the Linear modules that a spec names, by peft (Hu et al., arXiv 2106.09685)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from mitotype.backbones.adaptations.adaptation import Adaptation, adaptations, first_trained_block, last_blocks
from mitotype.backbones.model_spec import ModelSpec
from mitotype.backbones.transformer_trunk import TransformerTrunk
from mitotype.core.arguments import argument
from mitotype.core.errors import UserError


@adaptations.add("lora")
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
    last: int = last_blocks()

    def unsupported_reason(self, spec: ModelSpec) -> str:
        return "LoRA is not offered for this net" if spec.lora_targets is None else super().unsupported_reason(spec)

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
        first = first_trained_block(trunk, self.last)
        return [(name, m) for name, m in matches if int(re.search(r"blocks\.(\d+)\.", name).group(1)) >= first]  # type: ignore[union-attr]
