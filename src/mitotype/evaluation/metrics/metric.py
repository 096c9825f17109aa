"""Metric: one number of labelled patches, with all that its tables and its interval need; the registry of metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from mitotype.core import arguments
from mitotype.core.registry import Registry
from mitotype.core.schema import ATYPICAL, CLASS_NAMES, NORMAL
from mitotype.evaluation.resample import Bootstrap

NO_PATCH = "no patch"
BOTH = (ATYPICAL, NORMAL)
SET, MEMBERS, GROUP, CALIBRATION = "set", "members", "group", "calibration"

Reads = Literal["class", "probability", "score"]
Scale = Literal["unit", "positive", "real"]
Array = np.ndarray


@dataclass(frozen=True)
class Number:
    """A value, or nan with the reason why it is undefined."""

    value: float
    reason: str = ""

    def __post_init__(self) -> None:
        if math.isnan(self.value) and not self.reason:
            raise ValueError("nan needs a reason")

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class Resampled:
    """The rows of a metric and the bootstrap over their cases: labels (0, 1), predicted classes (0, 1), P(atypical), score."""

    label: Array
    predicted: Array
    probability: Array
    score: Array
    bootstrap: Bootstrap
    results: dict[Callable[[Resampled], Any], Any] = field(default_factory=dict)

    def shared(self, function: Callable[[Resampled], Any]) -> Any:
        """Return `function` of these rows, computed once for all metrics that use it."""
        if function not in self.results:
            self.results[function] = function(self)
        return self.results[function]

    def sums(self, value_NK: Array) -> Array:
        """Return the sums of the columns of `value_NK` in each replicate, D × K, through sums per case."""
        weight_DC, code_N = self.bootstrap.weight_DC, self.bootstrap.code_N
        sums = [np.bincount(code_N, weights=column, minlength=weight_DC.shape[1]) for column in value_NK.T]
        return weight_DC @ np.stack(sums, axis=1)


class Metric:
    """One number of labelled patches; atypical (1) is positive. The first line of a subclass's docstring is its definition.

    A subclass states the facts below and `value`; that is all a metric needs.

    title, head : in running text, and over a column
    reads : "class" for the predicted class, "probability" for P(atypical), "score" for the ranking alone
    larger_is_better : None for a number that is best at `ideal`
    scale : of the t interval: "unit" for 0..1 (symmetric in the logit), "positive" (in the logarithm), "real"
    requires : the classes without which the number is undefined
    undefined : the reason for a nan that `value` returns
    tables : "set" is the main table, "members" the mean over single members, "group" the domains and other subgroups,
        "calibration" the line on the probabilities; every metric is in evaluation.json
    order : of the columns
    """

    title: ClassVar[str]
    head: ClassVar[str]
    reads: ClassVar[Reads]
    larger_is_better: ClassVar[bool | None]
    scale: ClassVar[Scale]
    requires: ClassVar[tuple[int, ...]] = ()
    undefined: ClassVar[str] = "undefined for these patches"
    ideal: ClassVar[float | None] = None
    tables: ClassVar[tuple[str, ...]] = (SET, MEMBERS)
    order: ClassVar[int] = 100

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        missing = [name for name in ("title", "head", "reads", "larger_is_better", "scale") if not hasattr(cls, name)]
        if missing or not cls.__doc__:
            raise TypeError(f"the metric {cls.__name__} has no {', '.join(missing or ['docstring'])}")

    @property
    def definition(self) -> str:
        return arguments.summary(type(self))

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        """Return the number of N rows; nan where it is undefined.

        `weight` > 0 is how often each row counts. Rows of every class in `requires` are present.
        """
        raise NotImplementedError

    def number(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> Number:
        """Return `value`, or the reason why it is undefined."""
        reason = _missing(label, self.requires)
        value = math.nan if reason else float(self.value(label, predicted, probability, score, weight))
        return Number(value, reason) if math.isfinite(value) else Number(math.nan, reason or self.undefined)

    def replicates(self, rows: Resampled) -> Array:
        """Return the number in every replicate, D long, nan where it is undefined.

        This is one call of `value` for each replicate; a metric may override it with a computation of all at once.
        """
        values = []
        for weight_DN in rows.bootstrap.row_weights():
            for weight_N in weight_DN.astype(float):
                n = weight_N > 0
                number = self.number(rows.label[n], rows.predicted[n], rows.probability[n], rows.score[n], weight_N[n])
                values.append(number.value)
        return np.array(values)


def _missing(label: Array, requires: Sequence[int]) -> str:
    if not len(label):
        return NO_PATCH
    return next((f"no {CLASS_NAMES[cls]} patch" for cls in requires if not (label == cls).any()), "")


metrics: Registry[type[Metric]] = Registry("metric", "metrics", "mitotype.evaluation.metrics")


def metrics_of(table: str = "") -> dict[str, Metric]:
    """Return the metrics of a table, or all metrics, by name in the order of the columns."""
    known = [(name, metrics.get(name)()) for name in metrics.names()]
    return {name: m for name, m in sorted(known, key=lambda item: item[1].order) if not table or table in m.tables}


def compute(name: str, label: Array, predicted: Array, probability: Array, score: Array | None = None) -> Number:
    """Return the metric `name` of labels (0, 1), predicted classes (0, 1), P(atypical) and the score that ranks.

    The score is the logit, or by default the probability, which ties all logits above 36. Raises a UserError for an unknown
    name.
    """
    label, predicted, probability = (np.asarray(array) for array in (label, predicted, probability))
    score = probability if score is None else np.asarray(score)
    return metrics.get(name)().number(label, predicted, probability, score, np.ones(len(label)))


def bootstrap_metrics(
    names: Sequence[str],
    label: Array,
    predicted: Array,
    probability: Array,
    bootstrap: Bootstrap,
    score: Array | None = None,
) -> dict[str, Array]:
    """Return each metric in every replicate, D long; nan if it has no rows, or lacks a class that the metric requires."""
    if not len(label):
        return {name: np.full(len(bootstrap.weight_DC), math.nan) for name in names}
    rows = Resampled(label, predicted, probability, probability if score is None else score, bootstrap)
    return {name: metrics.get(name)().replicates(rows) for name in names}
