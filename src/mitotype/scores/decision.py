"""Decision: calibration, threshold and abstention as one record, with the digests of the images it was fitted on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from mitotype.core.case_folds import case_folds
from mitotype.core.errors import UserError
from mitotype.core.run_layout import CrossFitUnit, DecisionRecord, FittedOn
from mitotype.core.schema import CLASS_NAMES, OUT_OF_FOLD
from mitotype.scores import abstain, calibrate
from mitotype.scores import threshold as thresholds
from mitotype.scores.abstain import Abstention
from mitotype.scores.calibrate import Calibration

if TYPE_CHECKING:
    import pandas as pd

DIGEST_CHARS = 16  # of an image's sha-256 that are stored: 64 bits tell any two images apart
UNCERTAIN = "uncertain"
FOLDS = 5  # of cross-fitting by case
WITHOUT_CASE = "patch\x1f"  # before the id of a patch that is its own case


class Decided(NamedTuple):
    """What a decision makes of N logits: `class_N` is "normal" or "atypical", `decision_N` may be "uncertain" too."""

    calibrated_logit_N: np.ndarray
    probability_N: np.ndarray
    class_N: np.ndarray
    decision_N: np.ndarray


class Decision(DecisionRecord, frozen=True, kw_only=True):
    """From a raw logit to probability, class and decision. See the fields of `DecisionRecord`.

    `fitted_on.members` is the median number of members behind each row of the fit: a mean over more members is less
    over-confident, so that a calibration for one does not fit the other.
    """

    calibration: Calibration = Calibration()
    abstention: Abstention = Abstention()

    def apply(self, rows: pd.DataFrame, *, guard: bool = True) -> pd.DataFrame:
        """Return `rows` with `calibrated_logit`, `probability`, `class` ("normal" or "atypical") and `decision` (or "uncertain").

        `rows` has `logit`; with the columns `part` and `digest`, `guard` raises M004 for any row outside the out-of-fold part
        whose image the decision was fitted on. `guard=False` is for classification without evaluation.
        """
        if guard and self.digests and {"part", "digest"} <= set(rows.columns):
            self._check_unseen(rows[rows["part"] != OUT_OF_FOLD])
        decided = self.decide(rows["logit"].to_numpy(float))
        added = {"calibrated_logit": decided.calibrated_logit_N, "probability": decided.probability_N}
        return rows.assign(**added, **{"class": decided.class_N, "decision": decided.decision_N})

    def decide(self, logit_N: np.ndarray) -> Decided:
        """Return calibrated logits, probabilities, classes and decisions for raw logits."""
        probability_N = self.calibration.probability(logit_N)
        class_N = np.array(CLASS_NAMES)[(probability_N >= self.threshold.value).astype(int)]
        decision_N = np.where(self.abstention.uncertain(probability_N), UNCERTAIN, class_N)
        return Decided(self.calibration.calibrated(logit_N), probability_N, class_N, decision_N)

    def _check_unseen(self, rows: pd.DataFrame) -> None:
        seen = rows[has_digest(rows, self.digests)]
        if len(seen):
            raise UserError(
                f"The decision was fitted on {len(seen)} of these images; the first: '{seen.iloc[0].get('patch_id', '?')}'.",
                code="M004",
                fix="evaluate it on other images, or on part 'out-of-fold', where it is cross-fitted",
            )


def with_seen_digests(decision: Decision, digests: Iterable[str]) -> Decision:
    """Return the decision with more digests of seen images: those that the weights of its members were trained on."""
    more = {short_digest(digest) for digest in digests} - {""}
    return replace(decision, digests=tuple(sorted(more.union(decision.digests))))


def short_digest(digest: Any) -> str:
    """Return an image's digest as a decision stores it; empty where there is none."""
    return digest[:DIGEST_CHARS] if isinstance(digest, str) else ""


def has_digest(rows: pd.DataFrame, digests: Iterable[str]) -> np.ndarray:
    """Return the mask of the rows whose image has one of `digests`."""
    stored = frozenset(digests)
    return np.array([short_digest(digest) in stored for digest in rows["digest"]], bool)


def fit(
    rows: pd.DataFrame,
    *,
    calibration: str = "temperature",
    threshold: str = "balanced_accuracy",
    abstention: str = "none",
    target: str = "label",
    unit: CrossFitUnit = "case",
    seed: int = 0,
) -> Decision:
    """Fit calibration, threshold and abstention on labelled out-of-fold rows, which must be like those that are deployed.

    `rows` is `scores.joined(combiner.apply(scores))`: patch_id, part, logit, members, label, case_id, digest. `target` is
    the column of the calibration (labels, or soft targets in 0..1); threshold and band are fitted on `label`. The rows of one
    `unit` share a fold in cross-fitting: "domain" where each domain was left out by a member.

    Raises M002 for a row that is not out-of-fold, and a UserError for rows without labels of both classes.
    """
    rows = _labelled(rows, target)
    calibrated = calibrate.fit(rows["logit"].to_numpy(float), rows[target].to_numpy(float), calibration)
    probability = calibrated.probability(rows["logit"].to_numpy(float))
    label = rows["label"].to_numpy(float)
    key = unit_keys(rows, unit)
    fitted = thresholds.fit(probability, label, key, threshold, folds=_n_folds(key, unit), seed=seed)
    band = abstain.fit(probability, label, fitted.value, abstention)
    digests = sorted({short_digest(d) for d in rows["digest"]} - {""}) if "digest" in rows.columns else []
    members = int(rows["members"].median()) if "members" in rows.columns else 0
    return Decision(
        calibration=calibrated,
        threshold=fitted,
        abstention=band,
        fitted_on=FittedOn(len(rows), members, target, unit),
        rules=(calibration, threshold, abstention),
        digests=tuple(digests),
    )


def _labelled(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return the rows with a label and a target. Raises M002 for test rows, and a UserError for rows of one class."""
    outside = rows[rows["part"] != OUT_OF_FOLD]
    if len(outside):
        raise UserError(
            f"A decision cannot be fitted on {len(outside)} rows of part '{outside.iloc[0]['part']}'.",
            code="M002",
            fix="fit it on part 'out-of-fold'",
        )
    if target not in rows.columns:
        raise UserError(f"The rows have no column '{target}' of targets.", allowed="label, or a column you add")
    rows = rows[rows["label"].notna() & rows[target].notna()].reset_index(drop=True)
    if rows["label"].nunique() < 2:
        raise UserError(
            f"A decision needs out-of-fold rows of both classes; there are {len(rows)} labelled rows.",
            fix="train with cross-validation, so that every training patch has an out-of-fold row",
        )
    return rows


def cross_fit_folds(rows: pd.DataFrame, unit: CrossFitUnit, *, folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """Return the fold 0 … of every labelled row: `folds` of whole cases, or one for each domain."""
    key = unit_keys(rows, unit)
    return case_folds(key, rows["label"].to_numpy(float), folds=_n_folds(key, unit, folds), seed=seed)


def _n_folds(key: np.ndarray, unit: CrossFitUnit, folds: int = FOLDS) -> int:
    return folds if unit == "case" else len(np.unique(key))


def unit_keys(rows: pd.DataFrame, unit: CrossFitUnit) -> np.ndarray:
    """Return the key of the case or of the domain of every row."""
    return case_keys(rows) if unit == "case" else rows["domain"].fillna("").to_numpy(str)


def case_keys(rows: pd.DataFrame) -> np.ndarray:
    """Return a unique key of the case of every row; a patch without a case is a case of its own."""
    unknown = rows["case_id"].isna() | (rows["case_id"].astype(str) == "")
    known = rows["dataset"].fillna("").astype(str) + "\x1f" + rows["case_id"].astype(str)
    return known.where(~unknown, WITHOUT_CASE + rows["patch_id"].astype(str)).to_numpy(str)


def without_case(case: pd.Series) -> pd.Series:
    """Return which keys of `case_keys` are of patches without a case."""
    return case.str.startswith(WITHOUT_CASE)


def cross_fitted(
    rows: pd.DataFrame, decision: Decision, *, target: str | None = None, folds: int = FOLDS, seed: int = 0
) -> pd.DataFrame:
    """Return labelled out-of-fold rows, each case (or domain) decided by a decision with the same rules fitted on the others.

    These are unbiased on the rows that the decision was fitted on. In a fold whose decision cannot be fitted (a class or a
    band out of reach) `decision` itself is applied.
    """
    import pandas as pd  # not at the top: classify imports this file and needs no tables

    target = target or decision.fitted_on.target
    rows = _labelled(rows, target)
    fold = cross_fit_folds(rows, decision.fitted_on.unit, folds=folds, seed=seed)
    calibration, threshold, abstention = decision.rules
    parts = []
    for index in range(int(fold.max()) + 1):
        try:
            fitted = fit(
                rows[fold != index], calibration=calibration, threshold=threshold, abstention=abstention, target=target
            )
        except UserError:
            fitted = decision
        parts.append(fitted.apply(rows[fold == index]))
    return pd.concat(parts).sort_index().reset_index(drop=True)
