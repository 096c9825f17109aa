"""The checks of the organizers' evaluation and their numbers, written from the definitions and not from mitotype's code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sklearn.metrics import roc_auc_score


class Refused(Exception):
    """The platform refuses the output."""


def accept(raw: bytes, n_labels: int) -> list[dict[str, Any]]:
    """Return the items of one output."""
    items = json.loads(raw, parse_constant=_refuse)
    if type(items) is not list or len(items) != n_labels:
        raise Refused(f"{n_labels} items are expected")
    for item in items:
        if type(item) is not dict:
            raise Refused("an item is no object")
        for key in ("class", "confidence"):
            if key not in item:
                raise Refused(f"an item has no {key}")
        if item["class"] != "normal" and item["class"] != "atypical":
            raise Refused(f"the class {item['class']!r} is unknown")
        if type(item["confidence"]) is not float:
            raise Refused(f"the confidence {item['confidence']!r} is no float")
    return items


def evaluate(predictions: Path, ground_truth: Path) -> dict[str, float]:
    """Return counts and micro-averaged metrics over all stacks that have predictions."""
    truth = {entry["image"]: entry["labels"] for entry in json.loads(ground_truth.read_bytes())}
    pairs: list[tuple[bool, bool, float]] = []
    for job in json.loads((predictions / "predictions.json").read_bytes()):
        name = job["inputs"][0]["image"]["name"]
        if name not in truth:
            raise Refused(f"the image {name} is unknown")
        raw = (predictions / job["pk"] / "output" / job["outputs"][0]["interface"]["relative_path"]).read_bytes()
        items = accept(raw, len(truth[name]))
        pairs += [
            (label == "atypical", item["class"] == "atypical", item["confidence"])
            for label, item in zip(truth[name], items, strict=True)
        ]
    tp, fn = sum(t and p for t, p, _ in pairs), sum(t and not p for t, p, _ in pairs)
    tn, fp = sum(not t and not p for t, p, _ in pairs), sum(p and not t for t, p, _ in pairs)
    sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
    return {
        "tp": tp, "fn": fn, "tn": tn, "fp": fp, "sensitivity": sensitivity, "specificity": specificity,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "roc_auc": float(roc_auc_score([t for t, _, _ in pairs], [c for _, _, c in pairs])),
    }  # fmt: skip


def _refuse(constant: str) -> float:
    raise Refused(f"{constant} is no number of JSON")
