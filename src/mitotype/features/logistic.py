"""The logistic head: descriptors on a common scale, piecewise-linear terms, class-balanced logistic regression.

Shapes: B patches, D descriptors, K knots, Q quantiles, T terms per descriptor.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import ndtri

from mitotype.core.errors import UserError
from mitotype.core.logistic import fit_logistic
from mitotype.core.run_layout import HeadRecord

KNOTS = np.linspace(0.01, 0.99, 9)
BENDS = (0.0, 1.0, -1.0)  # standard deviations at which the line of a descriptor may bend
QUANTILES = np.linspace(0, 1, 21)
DEFAULT_C = 0.006  # .004 to .01 score alike over AMi-Br's training folds and domains


@dataclass(frozen=True)
class LogisticHead:
    """A fitted head. `value_BD` below is float with nan where undefined; nan is replaced by the training median.

    A descriptor x becomes a normal score s = (g(x) - m) / d, with g the piecewise-linear map of the training quantiles
    (1 % to 99 % at 9 knots, constant beyond) to those of a standard normal, and contributes

        c(x) = w_0 s + w_1 max(s, 0) + w_2 max(s - 1, 0) + w_3 max(-1 - s, 0) - o,

    with o its mean over the training rows. The logit is Σ c + bias, so every descriptor has its contribution to it.
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
        """Return the contribution of each descriptor to the logit, `(B, D)`; its mean over the training rows is 0."""
        return np.einsum("bdt,dt->bd", _terms(self._scores(value_BD)), self.weight_DT) - self.offset_D

    def logit(self, value_BD: np.ndarray) -> np.ndarray:
        """Return `logit_B`, positive for atypical; 0 is even odds for equal numbers of both classes."""
        return self.contributions(value_BD).sum(1) + self.bias

    def rank_among_normal(self, value_D: np.ndarray) -> np.ndarray:
        """Return the share of normal training figures (0 to 1, `(D,)`) below each value, ties by half; nan stays nan."""
        rank = []
        for value, quantile_Q in zip(value_D, self.normal_DQ, strict=True):
            equal = quantile_Q == value
            rank.append(QUANTILES[equal].mean() if equal.any() else np.interp(value, quantile_Q, QUANTILES))
        return np.where(np.isfinite(value_D), rank, np.nan)

    def to_record(self) -> HeadRecord:
        return HeadRecord(**{field.name: _rounded(getattr(self, field.name)) for field in fields(self)})

    @classmethod
    def from_record(cls, record: HeadRecord) -> LogisticHead:
        """Return the head of a record. Raises a UserError for a field of another shape."""
        count = len(record.names)
        columns = {"knot_DK": len(KNOTS), "weight_DT": 1 + len(BENDS), "normal_DQ": len(QUANTILES)}
        arrays = {}
        for name in (field.name for field in fields(cls) if field.name not in ("names", "bias")):
            rows = getattr(record, name)
            if len(rows) != count or (name in columns and any(len(row) != columns[name] for row in rows)):
                what = f"The stored logistic head is not valid: '{name}' has another shape than that of {count} descriptors."
                raise UserError(what, fix="restore it from a copy")
            arrays[name] = np.array(rows, float)
        return cls(names=tuple(record.names), bias=record.bias, **arrays)

    def _scores(self, value_BD: np.ndarray) -> np.ndarray:
        if value_BD.ndim != 2 or value_BD.shape[1] != len(self.names):
            raise ValueError(f"need (B, {len(self.names)}) values, got {value_BD.shape}")
        filled = np.where(np.isfinite(value_BD), value_BD, self.median_D)
        return (_normal_scores(filled, self.knot_DK) - self.mean_D) / self.scale_D


def fit_head(
    names: tuple[str, ...], value_BD: np.ndarray, target_B: np.ndarray, *, C: float = DEFAULT_C
) -> LogisticHead:
    """Fit a head. `target_B` is 0 to 1: labels, or soft targets (each row then counts for both classes by its share).

    Both classes have the same total weight. Deterministic. A smaller C is smoother.

    Raises a UserError for no rows, a target outside 0 to 1, or a single class.
    """
    target_B = np.asarray(target_B, float)
    if value_BD.shape != (len(target_B), len(names)):
        raise ValueError(f"need ({len(target_B)}, {len(names)}) values, got {value_BD.shape}")
    if not len(target_B) or not ((target_B >= 0) & (target_B <= 1)).all():
        raise UserError(
            f"The {len(target_B)} targets of the logistic head are not all from 0 to 1.",
            fix="leave out patches without a label",
        )
    share = float(target_B.mean())
    if share in (0, 1):
        raise UserError(
            "The targets of the logistic head are of a single class.", fix="train on patches of both classes"
        )
    value_BD = np.where(np.isfinite(value_BD), value_BD, np.nan).astype(float)
    value_BD[:, np.isnan(value_BD).all(0)] = 0  # never defined: a constant, which gets no weight
    median = np.nanmedian(value_BD, axis=0)
    filled = np.where(np.isnan(value_BD), median, value_BD)
    knots = np.quantile(filled, KNOTS, axis=0).T
    score = _normal_scores(filled, knots)
    mean, scale = score.mean(0), _std(score)
    terms = _terms((score - mean) / scale)
    term_mean, term_scale = terms.mean(0), _std(terms)
    x = ((terms - term_mean) / term_scale).reshape(len(filled), -1)
    coef, intercept = fit_logistic(x, target_B * 0.5 / share, (1 - target_B) * 0.5 / (1 - share), C=C)
    weight = coef.reshape(len(names), -1) / term_scale
    normal = filled[target_B < 0.5] if (target_B < 0.5).any() else filled
    return LogisticHead(
        names=tuple(names),
        median_D=median,
        knot_DK=knots,
        mean_D=mean,
        scale_D=scale,
        weight_DT=weight,
        offset_D=(weight * term_mean).sum(1),
        bias=intercept,
        normal_DQ=np.quantile(normal, QUANTILES, axis=0).T,
    )


def _normal_scores(value_BD: np.ndarray, knot_DK: np.ndarray) -> np.ndarray:
    """Map each column by its quantiles to a standard normal's; knots that coincide share their mean score."""
    target = ndtri(KNOTS)
    score = np.empty(value_BD.shape)
    for column, knots in enumerate(knot_DK):
        distinct, index = np.unique(knots, return_inverse=True)
        level = np.bincount(index, target) / np.bincount(index)
        score[:, column] = np.interp(value_BD[:, column], distinct, level)
    return score


def _terms(score_BD: np.ndarray) -> np.ndarray:
    """Return the score and its hinge functions, `(B, D, T)`."""
    hinges = [np.maximum(score_BD - bend if bend >= 0 else bend - score_BD, 0) for bend in BENDS]
    return np.stack([score_BD, *hinges], axis=2)


def _std(value: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column, 1 where it is constant."""
    std = value.std(0)
    return np.where(std > 1e-9, std, 1.0)


def _rounded(value: Any) -> Any:
    """Return numbers with 9 significant digits as lists; a record has no more."""
    if isinstance(value, np.ndarray):
        return np.vectorize(lambda number: float(f"{number:.9g}"))(value).tolist()
    return list(value) if isinstance(value, tuple) else value
