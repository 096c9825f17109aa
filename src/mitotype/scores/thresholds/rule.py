"""ThresholdRule: the base class and the registry.

Shapes: N out-of-fold rows.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mitotype.core.registry import Registry


class ThresholdRule:
    """A rule: a frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments."""

    is_fitted: ClassVar[bool] = True  # False: the threshold does not depend on the rows

    def threshold(self, probability_N: np.ndarray, label_N: np.ndarray) -> float:
        """Return the probability from which a figure is classified as atypical, given rows of both classes (labels 0 and 1)."""
        raise NotImplementedError


thresholds: Registry[type[ThresholdRule]] = Registry("threshold rule", "thresholds", "mitotype.scores.thresholds")
