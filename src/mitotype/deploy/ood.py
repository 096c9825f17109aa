"""Out-of-distribution detection: how far an image is from the training figures, by the embeddings of the members."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mitotype.core.run_layout import OodRecord

OUT_OF_DISTRIBUTION = "out of distribution"  # the flag of an image with a mean score above 0


@dataclass(frozen=True)
class OutlierDetector:
    """One linear detector per member and their common threshold. `fit.ood` fits them; see `OodRecord`."""

    record: OodRecord

    def score(self, member: str, embedding_ND: np.ndarray) -> np.ndarray:
        """Return `score_N` of one member: coef · (embedding − mean) / std + intercept − threshold."""
        detector = self.record.detectors[member]
        standard_ND = (embedding_ND - np.array(detector.mean)) / np.array(detector.std)
        score_N: np.ndarray = standard_ND @ np.array(detector.coef) + detector.intercept - self.record.threshold
        return score_N
