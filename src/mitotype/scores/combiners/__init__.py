"""Rules that combine several sources into one logit, one file each."""

from mitotype.scores.combiners.rule import CombinerRule, FittedSum, combiners

__all__ = ["CombinerRule", "FittedSum", "combiners"]
