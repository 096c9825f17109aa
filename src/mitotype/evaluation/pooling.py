"""Pooling as the MIDOG 2025 challenge's evaluation does it: counts summed over all stacks, and the same per tumour domain.

Sensitivity, specificity, accuracy and their mean come from the decided class, AUROC from P(atypical) whatever the class.
"Overall" is micro: counts are summed over all stacks, rates are not averaged over domains. What is undefined for one class
is null.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mitotype.evaluation.metrics import compute

CHALLENGE_KEYS = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "balanced_accuracy": "balanced_accuracy",
    "accuracy": "accuracy",
    "roc_auc": "auroc",
}


def challenge_metrics(
    label: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray,
    domain: np.ndarray,
    score: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the numbers under the challenge's keys: overall_sensitivity … overall_roc_auc, domain_<name> with the same five.

    `label` and `predicted` are 0 or 1 (atypical), `score` ranks (by default `probability`, P(atypical)). Domains are sorted by name.
    """
    domain = np.asarray(domain).astype(str)
    score = probability if score is None else score
    overall = _rates(label, predicted, score)
    return {f"overall_{key}": value for key, value in overall.items()} | {
        f"domain_{name}": _rates(label[domain == name], predicted[domain == name], score[domain == name])
        for name in np.unique(domain).tolist()
    }


def _rates(label: np.ndarray, predicted: np.ndarray, score: np.ndarray) -> dict[str, float | None]:
    numbers = {key: compute(name, label, predicted, score) for key, name in CHALLENGE_KEYS.items()}
    return {key: None if number.reason else number.value for key, number in numbers.items()}
