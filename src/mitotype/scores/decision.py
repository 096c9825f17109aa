"""Decision: calibration, threshold and abstention as one record that remembers which pictures it was fitted on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotype.core.mistakes import Mistake
from mitotype.core.words import CLASS_NAMES, OUT_OF_FOLD
from mitotype.scores import abstain as abstention_rules
from mitotype.scores import calibrate
from mitotype.scores import threshold as threshold_rules
from mitotype.scores.abstain import Abstention
from mitotype.scores.calibrate import Calibration
from mitotype.scores.folds import case_folds
from mitotype.scores.threshold import Threshold

if TYPE_CHECKING:
    import pandas as pd

DIGEST_SIGNS = 16  # of a picture's sha-256 that are kept: 64 bits tell any two pictures apart
CERTAIN = ("normal", "atypical")
UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class Decision:
    """From a raw logit to probability, class and decision. `digests` name the pictures it was fitted on, sorted.

    `members` is the median number of members behind each row that it was fitted on: a mean over more members is less
    over-confident, so that a calibration made for one does not fit the other. `target` names the column of targets.
    """

    calibration: Calibration = field(default_factory=Calibration)
    threshold: Threshold = field(default_factory=Threshold)
    abstention: Abstention = field(default_factory=Abstention)
    digests: tuple[str, ...] = ()
    members: int = 0
    rows: int = 0
    target: str = "label"
    asked: tuple[str, str, str] = ("identity", "half", "none")

    def apply(self, rows: pd.DataFrame, *, guard: bool = True) -> pd.DataFrame:
        """A copy of `rows` with `probability`, `class` ("normal" or "atypical") and `decision` (the class or "uncertain").

        `rows` has `logit`; with `part` and `digest` the guard refuses (M004) any row outside the out-of-fold part whose
        picture the decision was fitted on. `guard=False` is for classifying without judging.
        """
        if guard and self.digests and {"part", "digest"} <= set(rows.columns):
            self._refuse_seen(rows[rows["part"] != OUT_OF_FOLD])
        probability = self.calibration.probability(rows["logit"].to_numpy(float))
        return with_classes(rows, probability, self.threshold.value, self.abstention.uncertain(probability))

    def _refuse_seen(self, rows: pd.DataFrame) -> None:
        seen = set(self.digests)
        mine = rows[np.array([short(d) in seen for d in rows["digest"]], bool)]
        if len(mine):
            raise Mistake(
                f"The decision was fitted on {len(mine)} of these pictures; the first: '{mine.iloc[0].get('patch_id', '?')}'.",
                code="M004",
                fix="judge it on other pictures, or on part 'out-of-fold', where it is cross-fitted",
            )

    def to_dict(self) -> dict[str, Any]:
        return {
            "calibration": self.calibration.to_dict(),
            "threshold": self.threshold.to_dict(),
            "abstention": self.abstention.to_dict(),
            "fitted_on": {"rows": self.rows, "members": self.members, "target": self.target},
            "asked": list(self.asked),
            "digests": list(self.digests),
        }

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Decision:
        """The record of `to_dict`, read with care: what is missing or out of range is a Mistake."""
        try:
            fitted, asked = dict(told["fitted_on"]), tuple(str(a) for a in told["asked"])
            if len(asked) != 3:
                raise ValueError("'asked' must name calibration, threshold and abstention")
            return cls(
                Calibration.from_dict(told["calibration"]),
                Threshold.from_dict(told["threshold"]),
                Abstention.from_dict(told["abstention"]),
                tuple(sorted(str(d) for d in told["digests"])),
                int(fitted["members"]),
                int(fitted["rows"]),
                str(fitted["target"]),
                (asked[0], asked[1], asked[2]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Mistake(f"The decision cannot be read: {error!r}.", fix="restore it from a copy") from error


def with_classes(rows: pd.DataFrame, probability: np.ndarray, threshold: float, uncertain: np.ndarray) -> pd.DataFrame:
    """`rows` with probability, class and decision; atypical where probability >= threshold."""
    classes = np.array(CLASS_NAMES)[(probability >= threshold).astype(int)]
    return rows.assign(
        **{"probability": probability, "class": classes, "decision": np.where(uncertain, UNCERTAIN, classes)}
    )


def also_seen(decision: Decision, digests: Iterable[str]) -> Decision:
    """The decision that refuses further pictures: those that the weights under it were pre-trained on."""
    more = {short(digest) for digest in digests} - {""}
    return replace(decision, digests=tuple(sorted(more.union(decision.digests))))


def short(digest: Any) -> str:
    """A picture's digest as a decision keeps it; the empty text where there is none."""
    return digest[:DIGEST_SIGNS] if isinstance(digest, str) else ""


def fit(
    rows: pd.DataFrame,
    *,
    calibration: str = "temperature",
    threshold: str = "balanced_accuracy",
    abstention: str = "none",
    target: str = "label",
    seed: int = 0,
) -> Decision:
    """Fit calibration, threshold and abstention on labelled out-of-fold rows that are like what is deployed.

    `rows` is `scores.joined(combine.apply(scores))`: patch_id, part, logit, members, label, case_id, digest. `target` names
    the column that the calibration fits (labels, or soft targets in 0..1); threshold and band always fit `label`.

    Raises M002 for a row that is not out-of-fold, and a Mistake for rows without labels of both classes.
    """
    rows = _fit_for(rows, target)
    made = calibrate.fit(rows["logit"].to_numpy(float), rows[target].to_numpy(float), calibration)
    probability = made.probability(rows["logit"].to_numpy(float))
    label, case = rows["label"].to_numpy(float), cases(rows)
    cut = threshold_rules.fit(probability, label, case, threshold, seed=seed)
    band = abstention_rules.fit(probability, label, cut.value, abstention)
    digests = sorted({short(d) for d in rows["digest"]} - {""}) if "digest" in rows.columns else []
    members = int(rows["members"].median()) if "members" in rows.columns else 0
    return Decision(made, cut, band, tuple(digests), members, len(rows), target, (calibration, threshold, abstention))


def _fit_for(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    outside = rows[rows["part"] != OUT_OF_FOLD]
    if len(outside):
        raise Mistake(
            f"A decision was to be fitted on {len(outside)} rows of part '{outside.iloc[0]['part']}'.",
            code="M002",
            fix="fit it on part 'out-of-fold'",
        )
    if target not in rows.columns:
        raise Mistake(f"The rows have no column '{target}' to calibrate on.", allowed="label, or a column you add")
    rows = rows[rows["label"].notna() & rows[target].notna()].reset_index(drop=True)
    if rows["label"].nunique() < 2:
        what = f"A decision needs out-of-fold rows of both classes; {len(rows)} labelled rows were found."
        raise Mistake(what, fix="train with cross-validation, so that every training patch has an out-of-fold row")
    return rows


def cases(rows: pd.DataFrame) -> np.ndarray:
    """One name per row for the case it belongs to; a patch without a case is a case of its own."""
    own = rows["case_id"].isna() | (rows["case_id"].astype(str) == "")
    named = rows["dataset"].astype(str) + "\x1f" + rows["case_id"].astype(str)
    return named.where(~own, "patch\x1f" + rows["patch_id"].astype(str)).to_numpy(str)


def cross_fitted(
    rows: pd.DataFrame, like: Decision, *, target: str | None = None, folds: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Labelled out-of-fold rows, each case decided by a decision (fitted as `like` was) that other cases gave.

    This is the honest view of a decision on the rows that it was fitted on. Where a fold cannot be fitted (a class or a
    band out of reach) `like` itself decides there.
    """
    rows = _fit_for(rows, target or like.target)
    fold = case_folds(cases(rows), rows["label"].to_numpy(float), folds=folds, seed=seed)
    calibration, threshold, abstention = like.asked
    done = []
    for index in range(int(fold.max()) + 1):
        mine, rest = rows[fold == index], rows[fold != index]
        try:
            made = fit(
                rest, calibration=calibration, threshold=threshold, abstention=abstention, target=target or like.target
            )
        except Mistake:
            made = like
        done.append(made.apply(mine))
    import pandas as pd

    return pd.concat(done).sort_index().reset_index(drop=True)
