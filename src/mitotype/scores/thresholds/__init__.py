"""Rules for the decision threshold, one file each."""

from mitotype.scores.thresholds.rule import ThresholdRule, thresholds

__all__ = ["ThresholdRule", "thresholds"]
