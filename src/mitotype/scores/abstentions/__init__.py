"""Rules of abstention, one file each."""

from mitotype.scores.abstentions.rule import MIN_COVERAGE, AbstentionRule, abstentions

__all__ = ["MIN_COVERAGE", "AbstentionRule", "abstentions"]
