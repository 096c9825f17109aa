"""Backbones: images → embeddings by a pretrained net. One file per family holds all the facts of its weights."""

from mitotype.backbones.model_spec import Backbone, ModelSpec, Normalization, backbones

__all__ = ["Backbone", "ModelSpec", "Normalization", "backbones"]
