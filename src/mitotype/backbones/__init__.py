"""Backbones: pictures → vectors by a net. One file per family with all the facts of its weights."""

from mitotype.backbones.facts import HALF, IMAGENET, Backbone, Facts, backbones

__all__ = ["HALF", "IMAGENET", "Backbone", "Facts", "backbones"]
