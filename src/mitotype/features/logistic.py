"""The logistic head: descriptors on one scale, a few bends each, balanced logistic regression, plain numbers to store.

Shapes: B patches, D descriptors, K knots, Q quantiles, T terms per descriptor.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mitotype.core.mistakes import Mistake

KNOTS = np.linspace(0.01, 0.99, 9)
BENDS = (0.0, 1.0, -1.0)  # standard deviations: where the line of a descriptor may bend
QUANTILES = np.linspace(0, 1, 21)
PENALTY = 0.006  # C of the logistic regression; over AMi-Br's training folds and domains .004 to .01 score alike


@dataclass(frozen=True)
class LogisticHead:
    """A fitted head. `value_BD` below is float with nan where undefined; nan takes the training median.

    A descriptor x becomes a normal score s = (g(x) - m) / d, with g the piecewise-linear map of the training quantiles
    (1 % to 99 % at 9 knots, flat beyond) to those of a standard normal, and adds

        c(x) = w_0 s + w_1 max(s, 0) + w_2 max(s - 1, 0) + w_3 max(-1 - s, 0) - o,

    with o its mean over the training rows. The logit is Σ c + bias, so every descriptor's share of it can be told.
    """

    names: tuple[str, ...]
    median_D: np.ndarray
    knot_DK: np.ndarray
    mean_D: np.ndarray
    scale_D: np.ndarray
    weight_DT: np.ndarray
    offset_D: np.ndarray
    bias: float
    normal_DQ: np.ndarray

    def contributions(self, value_BD: np.ndarray) -> np.ndarray:
        """What each descriptor adds to the logit, `(B, D)`; 0 on the mean of the training rows."""
        return np.einsum("bdt,dt->bd", _terms(self._scores(value_BD)), self.weight_DT) - self.offset_D

    def logit(self, value_BD: np.ndarray) -> np.ndarray:
        """`logit_B`, positive for atypical. Balanced: 0 is even odds at equal numbers of both classes."""
        return self.contributions(value_BD).sum(1) + self.bias

    def probability(self, value_BD: np.ndarray) -> np.ndarray:
        """1 / (1 + e^-logit), in a world with equal numbers of both classes (calibrate for another)."""
        return 1 / (1 + np.exp(-self.logit(value_BD)))

    def above_normal(self, value_D: np.ndarray) -> np.ndarray:
        """The share of normal training figures (0–1, `(D,)`) that each value is above, ties by half; nan stays nan."""
        share = []
        for value, row in zip(value_D, self.normal_DQ, strict=True):
            equal = row == value
            share.append(QUANTILES[equal].mean() if equal.any() else np.interp(value, row, QUANTILES))
        return np.where(np.isfinite(value_D), share, np.nan)

    def to_dict(self) -> dict[str, Any]:
        """The head as JSON knows it: names and lists of numbers."""
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _plain(value) for name, value in kept.items()}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> LogisticHead:
        """The head of `to_dict`. Raises a Mistake where a field is absent, of the wrong shape or not finite."""
        try:
            names = tuple(str(name) for name in kept["names"])
            arrays = {field.name: np.asarray(kept[field.name], float) for field in fields(cls) if field.name != "names"}
        except (KeyError, TypeError, ValueError) as error:
            raise Mistake(
                f"The stored logistic head cannot be read: {error!r}.", fix="restore it from a copy"
            ) from error
        count = len(names)
        shapes = {
            "bias": (),
            "knot_DK": (count, len(KNOTS)),
            "weight_DT": (count, 1 + len(BENDS)),
            "normal_DQ": (count, len(QUANTILES)),
        }
        for field, array in arrays.items():
            shape = shapes.get(field, (count,))
            if array.shape != shape or not np.isfinite(array).all():
                raise Mistake(
                    f"The stored logistic head has a field '{field}' of shape {array.shape} or with a number that is not finite.",
                    allowed=f"finite numbers of shape {shape}",
                    fix="restore it from a copy",
                )
        bias = float(arrays.pop("bias"))
        return cls(names=names, bias=bias, **arrays)

    def _scores(self, value_BD: np.ndarray) -> np.ndarray:
        if value_BD.ndim != 2 or value_BD.shape[1] != len(self.names):
            raise ValueError(f"need (B, {len(self.names)}) values, got {value_BD.shape}")
        filled = np.where(np.isfinite(value_BD), value_BD, self.median_D)
        return (_normal_scores(filled, self.knot_DK) - self.mean_D) / self.scale_D


def fit(
    names: tuple[str, ...], value_BD: np.ndarray, target_B: np.ndarray, *, penalty: float = PENALTY
) -> LogisticHead:
    """Fit the head. `target_B` is 0 to 1: labels, or soft targets (each row then counts for both classes by its share).

    Both classes weigh the same in sum. Deterministic. `penalty` is C: smaller is smoother.

    Raises a Mistake where there is no row, a target outside 0 to 1, or one class only.
    """
    from sklearn.linear_model import LogisticRegression

    target_B = np.asarray(target_B, float)
    if value_BD.shape != (len(target_B), len(names)):
        raise ValueError(f"need ({len(target_B)}, {len(names)}) values, got {value_BD.shape}")
    if not len(target_B) or not ((target_B >= 0) & (target_B <= 1)).all():
        raise Mistake(
            f"The logistic head was given {len(target_B)} targets, not all from 0 to 1.",
            fix="leave out what has no label",
        )
    share = float(target_B.mean())
    if share in (0, 1):
        raise Mistake("The logistic head was given one class only.", fix="train on patches of both classes")
    value_BD = np.where(np.isfinite(value_BD), value_BD, np.nan).astype(float)
    undefined = np.isnan(value_BD).all(0)
    value_BD[:, undefined] = 0  # nothing is known of it: a constant, which gets no weight
    median = np.nanmedian(value_BD, axis=0)
    filled = np.where(np.isnan(value_BD), median, value_BD)
    knots = np.quantile(filled, KNOTS, axis=0).T
    score = _normal_scores(filled, knots)
    mean, scale = score.mean(0), _spread(score)
    terms = _terms((score - mean) / scale)
    term_mean, term_scale = terms.mean(0), _spread(terms)
    x = ((terms - term_mean) / term_scale).reshape(len(filled), -1)
    pull = np.concatenate([target_B * 0.5 / share, (1 - target_B) * 0.5 / (1 - share)])
    label = np.repeat([1, 0], len(target_B))
    model = LogisticRegression(C=penalty, max_iter=5000)
    model.fit(np.concatenate([x, x])[pull > 0], label[pull > 0], sample_weight=pull[pull > 0])
    weight = model.coef_[0].reshape(len(names), -1) / term_scale
    normal = filled[target_B < 0.5] if (target_B < 0.5).any() else filled
    return LogisticHead(
        names=tuple(names),
        median_D=median,
        knot_DK=knots,
        mean_D=mean,
        scale_D=scale,
        weight_DT=weight,
        offset_D=(weight * term_mean).sum(1),
        bias=float(model.intercept_[0]),
        normal_DQ=np.quantile(normal, QUANTILES, axis=0).T,
    )


def _normal_scores(value_BD: np.ndarray, knot_DK: np.ndarray) -> np.ndarray:
    """Each column through its quantiles to a standard normal's; knots that coincide share their mean score."""
    from scipy.stats import norm

    target = norm.ppf(KNOTS)
    score = np.empty(value_BD.shape)
    for column, knots in enumerate(knot_DK):
        distinct, which = np.unique(knots, return_inverse=True)
        level = np.bincount(which, target) / np.bincount(which)
        score[:, column] = np.interp(value_BD[:, column], distinct, level)
    return score


def _terms(score_BD: np.ndarray) -> np.ndarray:
    """The line and its bends, `(B, D, T)`."""
    bent = [np.maximum(score_BD - at if at >= 0 else at - score_BD, 0) for at in BENDS]
    return np.stack([score_BD, *bent], axis=2)


def _spread(value: np.ndarray) -> np.ndarray:
    """Standard deviation of each column, 1 where it does not vary."""
    spread = value.std(0)
    return np.where(spread > 1e-9, spread, 1.0)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.vectorize(lambda number: float(f"{number:.9g}"))(value).tolist()
    return list(value) if isinstance(value, tuple) else value
