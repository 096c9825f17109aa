"""Effects of ingredients from score tables: contrasts and differences of metrics, each with an interval over cases.

Shapes: R runs, K ingredients, N patches, D replicates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mitotype.core.errors import UserError
from mitotype.core.run_layout import CrossFitUnit
from mitotype.core.run_layout.evaluation import Interval
from mitotype.evaluation.evaluator import decide_rows, metric_arrays
from mitotype.evaluation.interval import intervals, t_interval
from mitotype.evaluation.metrics import Number, bootstrap_metrics, compute
from mitotype.evaluation.resample import Bootstrap, bootstrap_cases
from mitotype.experiments.ablation.design import main_effects
from mitotype.scores import decision
from mitotype.scores.ensemble import AnyCombiner, Combiner
from mitotype.scores.table import Scores

METRICS = ("auroc", "log_loss", "balanced_accuracy")
ERRORS = ("log_loss",)  # less is better


@dataclass(frozen=True)
class Effect:
    """What an ingredient changes: by metric, the value with it minus that without. `noise` is the SD of the same contrast of
    no ingredient, which has the noise of seeds and orders; nan where the design has no column left for it, and empty where
    the same members are combined in two ways."""

    name: str
    difference: Mapping[str, Interval]
    noise: Mapping[str, float]

    def is_told_apart(self, metric: str = "auroc") -> bool:
        """Return whether the interval over cases excludes 0 and the effect is above twice the noise."""
        interval = self.difference[metric]
        if interval.low is None or interval.high is None or interval.value is None:
            return False
        excludes = interval.low > 0 or interval.high < 0
        noise = self.noise.get(metric, math.nan)
        return excludes and not abs(interval.value) <= 2 * noise

    def improves(self, metric: str = "auroc") -> bool:
        value = self.difference[metric].value or 0.0
        return value < 0 if metric in ERRORS else value > 0


@dataclass(frozen=True)
class Level:
    """What the complete recipe reaches, or one run of it: by metric, the value with its interval over cases."""

    name: str
    value: Mapping[str, Interval]


def decided(
    scores: Scores,
    combiner: AnyCombiner | None = None,
    *,
    threshold: str = "balanced_accuracy",
    unit: CrossFitUnit = "case",
) -> pd.DataFrame:
    """Return out-of-fold rows with the decision that is fitted on them: calibration by Platt, and a threshold."""
    combiner = combiner or Combiner()
    rows = scores.joined(combiner.apply(scores))
    fitted = decision.fit(rows, calibration="platt", threshold=threshold, abstention="none", unit=unit)
    return decide_rows(scores, fitted, combiner=combiner)


def screening_effects(
    is_on_RK: np.ndarray, tables: Sequence[pd.DataFrame], names: Sequence[str], *, n_boot: int, seed: int = 0
) -> list[Effect]:
    """Return the main effect of each ingredient from the decided rows of every run, which have the same patches.

    `is_on_RK` has a column for each of `names` and then columns of no ingredient, whose contrasts are the noise.
    """
    measured = _measure(tables, n_boot, seed)
    effects = []
    for k, name in enumerate(names):
        difference, noise = {}, {}
        for metric in METRICS:
            effect_K = main_effects(is_on_RK, measured.value_R[metric])
            effect_KD = main_effects(is_on_RK, measured.replicate_RD[metric])
            empty_K = effect_K[len(names) :]
            noise[metric] = float(np.sqrt(np.mean(empty_K**2))) if len(empty_K) else math.nan
            difference[metric] = measured.interval(effect_K[k], effect_KD[k])
        effects.append(Effect(name, difference, noise))
    return effects


def noise_of_difference(
    noise: Mapping[str, float], *, n_runs: int, folds: int, all_folds: int, seeds: int
) -> dict[str, float]:
    """Return the noise of the difference of two recipes, each trained on all folds, from that of a screening contrast.

    The contrast of R runs has the variance 4 σ² / R and the difference 2 σ², where σ², that of one recipe, is inversely
    proportional to its number of fits: noise · √(R · folds / (2 · all_folds · seeds)).
    """
    scale = math.sqrt(n_runs * folds / (2 * all_folds * seeds))
    return {metric: scale * value for metric, value in noise.items()}


def noise_of_seeds(tables_AS: Sequence[Sequence[pd.DataFrame]]) -> dict[str, float]:
    """Return the noise of the difference of two recipes from the decided rows of A recipes, each trained with S seeds.

    A recipe's values differ by the seed alone: σ² is their variance, averaged over the recipes, and the difference of two recipes
    of S seeds each has the variance 2 σ² / S. nan for one seed.
    """
    if len(tables_AS[0]) < 2:
        return dict.fromkeys(METRICS, math.nan)
    value_ASK = np.array([[_values(rows) for rows in tables] for tables in tables_AS])
    noise_K = np.sqrt(2 * value_ASK.var(axis=1, ddof=1).mean(axis=0) / value_ASK.shape[1])
    return dict(zip(METRICS, noise_K.tolist(), strict=True))


def pooled(estimates: Sequence[tuple[Mapping[str, float], int]]) -> dict[str, float]:
    """Return the root mean square of estimates of the same noise, each weighted by its degrees of freedom; nan without any."""
    known = [(noise, df) for noise, df in estimates if df > 0]
    total = sum(df for _, df in known)
    if not total:
        return dict.fromkeys(METRICS, math.nan)
    return {metric: math.sqrt(sum(df * noise[metric] ** 2 for noise, df in known) / total) for metric in METRICS}


def paired_effect(
    name: str,
    with_it: pd.DataFrame,
    without: pd.DataFrame,
    *,
    n_boot: int,
    seed: int = 0,
    noise: Mapping[str, float] | None = None,
) -> Effect:
    """Return the difference of two tables of decided rows, with minus without."""
    measured = _measure([with_it, without], n_boot, seed)
    value_R, replicate_RD = measured.value_R, measured.replicate_RD
    difference = {
        m: measured.interval(value_R[m][0] - value_R[m][1], replicate_RD[m][0] - replicate_RD[m][1]) for m in METRICS
    }
    return Effect(name, difference, noise or {})


def level(name: str, rows: pd.DataFrame, *, n_boot: int, seed: int = 0) -> Level:
    """Return the metrics of decided rows."""
    label, predicted, probability, score = metric_arrays(rows)
    bootstrap = bootstrap_cases(rows, n_boot=n_boot, seed=seed)
    return Level(name, intervals(METRICS, label, predicted, probability, bootstrap, score=score))


@dataclass(frozen=True)
class _Measured:
    """Every metric of R tables, and its replicates over the same resampled cases."""

    value_R: Mapping[str, np.ndarray]
    replicate_RD: Mapping[str, np.ndarray]
    bootstrap: Bootstrap

    def interval(self, difference: float, replicate_D: np.ndarray) -> Interval:
        return t_interval(Number(float(difference)), replicate_D, self.bootstrap, scale="real", paired=True)


def _measure(tables: Sequence[pd.DataFrame], n_boot: int, seed: int) -> _Measured:
    first = tables[0]
    label = first["label"].to_numpy(float)
    bootstrap = bootstrap_cases(first, n_boot=n_boot, seed=seed)
    values: dict[str, list[float]] = {metric: [] for metric in METRICS}
    replicates: dict[str, list[np.ndarray]] = {metric: [] for metric in METRICS}
    for rows in tables:
        rows = rows.set_index("patch_id").reindex(first["patch_id"])
        if rows["label"].isna().any():
            raise UserError("The runs of an ablation have different patches.", fix="start it in a new folder")
        _, predicted, probability, score = metric_arrays(rows)
        replicate = bootstrap_metrics(list(METRICS), label, predicted, probability, bootstrap, score)
        for metric in METRICS:
            values[metric].append(compute(metric, label, predicted, probability, score).value)
            replicates[metric].append(replicate[metric])
    return _Measured(
        {metric: np.array(value) for metric, value in values.items()},
        {metric: np.stack(replicate) for metric, replicate in replicates.items()},
        bootstrap,
    )


def _values(rows: pd.DataFrame) -> list[float]:
    """Return each of METRICS."""
    label, predicted, probability, score = metric_arrays(rows)
    return [compute(metric, label, predicted, probability, score).value for metric in METRICS]
