"""AbstentionRule: the base class and the registry.

Shapes: N out-of-fold rows.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mitotype.core.registry import Registry

MIN_COVERAGE = 0.5  # no rule leaves less than half of the rows certain


class AbstentionRule:
    """A rule: a frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments."""

    has_band: ClassVar[bool] = True  # False: every row is certain

    def width(self, probability_N: np.ndarray, label_N: np.ndarray, threshold: float) -> float:
        """Return half the width of the uncertain band around the threshold, on the logit scale."""
        raise NotImplementedError


abstentions: Registry[type[AbstentionRule]] = Registry("abstention rule", "abstentions", "mitotype.scores.abstentions")
