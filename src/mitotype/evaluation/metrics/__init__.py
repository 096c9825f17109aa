"""Metrics: numbers of labelled patches, one small family per file. A new metric is a new file here, or a user's own file."""

from mitotype.evaluation.metrics.metric import (
    Metric,
    Number,
    Resampled,
    bootstrap_metrics,
    compute,
    metrics,
    metrics_of,
)

__all__ = ["Metric", "Number", "Resampled", "bootstrap_metrics", "compute", "metrics", "metrics_of"]
