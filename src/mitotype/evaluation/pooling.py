"""Pooling as the MIDOG 2025 challenge's evaluation does it: counts summed over all stacks, and the same per tumour domain.

Sensitivity, specificity, accuracy and their mean come from the decided class, AUROC from P(atypical) whatever the class.
"Overall" is micro: counts are summed over all stacks, rates are not averaged over domains. What one class leaves undefined is
nan with its reason here and null in JSON.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mitotype.evaluation.metrics import Number, accuracy, auroc, balanced_accuracy, sensitivity, specificity


def pool(label: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, domain: np.ndarray) -> dict[str, Any]:
    """The challenge's numbers: `overall` and `domains` (by name, sorted), each a dict of Numbers.

    `label` and `predicted` are 0 or 1 (atypical), `confidence` is P(atypical).
    """
    domain = np.asarray(domain).astype(str)
    return {
        "overall": _rates(label, predicted, confidence),
        "domains": {
            name: _rates(label[domain == name], predicted[domain == name], confidence[domain == name])
            for name in np.unique(domain).tolist()
        },
    }


def _rates(label: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> dict[str, Number]:
    return {
        "sensitivity": sensitivity(label, predicted),
        "specificity": specificity(label, predicted),
        "balanced_accuracy": balanced_accuracy(label, predicted),
        "accuracy": accuracy(label, predicted),
        "roc_auc": auroc(label, confidence),
    }


def challenge_json(pooled: dict[str, Any]) -> dict[str, Any]:
    """The pooled numbers under the challenge's keys: overall_sensitivity … overall_roc_auc, domain_<name> with the same five."""
    out: dict[str, Any] = {f"overall_{name}": _plain(number) for name, number in pooled["overall"].items()}
    for domain, numbers in pooled["domains"].items():
        out[f"domain_{domain}"] = {name: _plain(number) for name, number in numbers.items()}
    return out


def _plain(number: Number) -> float | None:
    return None if np.isnan(number.value) else number.value
