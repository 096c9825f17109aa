"""Adaptations: which part of a trunk is trained, one file each, as a spec: "full", "probe", "lora(8, 16)", "prompts(8)"."""

from mitotype.backbones.adaptations.adaptation import Adaptation, adaptations, trained_tensors

__all__ = ["Adaptation", "adaptations", "trained_tensors"]
