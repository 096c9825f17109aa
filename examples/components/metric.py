"""A metric: Matthews' correlation, in the tables with its interval.

mitotype --plugin metric.py evaluate runs/mine
"""

import numpy as np

from mitotype.evaluation.metrics import Metric, metrics


@metrics.add("mcc")
class MatthewsCorrelation(Metric):
    """(TP·TN − FP·FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN)), from −1 to 1."""

    title = "Matthews' correlation"
    head = "MCC"
    reads = "class"
    larger_is_better = True
    scale = "real"
    requires = (0, 1)
    undefined = "all figures are of one predicted class"

    def value(
        self, label: np.ndarray, predicted: np.ndarray, probability: np.ndarray, score: np.ndarray, weight: np.ndarray
    ) -> float:
        mean_label, mean_predicted = np.average(label, weights=weight), np.average(predicted, weights=weight)
        covariance = np.average(label * predicted, weights=weight) - mean_label * mean_predicted
        variances = mean_label * (1 - mean_label) * mean_predicted * (1 - mean_predicted)
        return float(covariance / np.sqrt(variances)) if variances > 0 else float("nan")
