"""An adaptation: train the biases only.

mitotype --plugin adaptation.py train lora --data DATA --set adaptation=bitfit
"""

from dataclasses import dataclass

from torch import nn

from mitotype.backbones.adaptations.adaptation import Adaptation, adaptations
from mitotype.backbones.model_spec import ModelSpec


@adaptations.add("bitfit")
@dataclass(frozen=True)
class BitFit(Adaptation):
    """Trains the biases of the trunk, and the heads (Ben Zaken et al., arXiv 2106.10199)."""

    def apply(self, trunk: nn.Module, spec: ModelSpec) -> None:
        for name, parameter in trunk.named_parameters():
            parameter.requires_grad_(name.endswith("bias"))
