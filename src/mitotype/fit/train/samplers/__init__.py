"""Samplers: the order of the patches of an epoch, one file each. They are pure functions, so that a resumed run has the same order."""

from mitotype.fit.train.samplers.sampler import Patches, Sampler, build_sampler, samplers

__all__ = ["Patches", "Sampler", "build_sampler", "samplers"]
