"""Checks on method: each has a code, a severity, a page, and a function that explains what it found, or None."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.words import OUT_OF_FOLD
from mitotype.scores.decision import Decision, short
from mitotype.scores.table import Scores

if TYPE_CHECKING:
    import pandas as pd

LEAK, WARNING = "leak", "warning"
FEW_POSITIVES = 10
WRONG_WAY = 0.4


@dataclass(frozen=True)
class Evidence:
    """What the checks look at. `overlaps` names, for a dataset, those it is known to share slides with; `held_out` are the
    datasets that were taken out of training by slide and by picture."""

    scores: Scores
    decision: Decision = field(default_factory=Decision)
    overlaps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    code: str
    title: str
    severity: str
    find: Callable[[Evidence], str | None]

    @property
    def page(self) -> str:
        """Why it matters and how to mend it, as Markdown."""
        return (self.find.__doc__ or "").strip()


@dataclass(frozen=True)
class Finding:
    """A check's answer: `text` explains what it found; empty where all is well."""

    code: str
    title: str
    severity: str
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


CHECKS: dict[str, Check] = {}


def _check(code: str, title: str, severity: str) -> Callable[[Callable[[Evidence], str | None]], Callable[..., Any]]:
    def add(find: Callable[[Evidence], str | None]) -> Callable[[Evidence], str | None]:
        CHECKS[code] = Check(code, title, severity, find)
        return find

    return add


def run(evidence: Evidence) -> tuple[Finding, ...]:
    """Every check's finding, in the order of the codes."""
    return tuple(
        Finding(c.code, c.title, c.severity, c.find(evidence) or "")
        for c in sorted(CHECKS.values(), key=lambda c: c.code)
    )


def settle(findings: tuple[Finding, ...]) -> None:
    """Raise the leaks among the findings as Mistakes; warnings pass."""
    trouble = Collector()
    for finding in findings:
        if finding.text and finding.severity == LEAK:
            trouble.add(
                Mistake(
                    finding.text,
                    code=finding.code,
                    fix=f"why, and how to mend it: {finding.code} in docs/reference/checks.md",
                )
            )
    trouble.settle()


def _rows(evidence: Evidence) -> pd.DataFrame:
    """One row per patch and part, with the patch's columns."""
    scores = evidence.scores.scores
    return evidence.scores.joined(scores[["patch_id", "part"]].drop_duplicates())


def _among(rows: pd.DataFrame, digests: set[str]) -> np.ndarray:
    """Which rows show one of the pictures; a mask even where there is no row."""
    return np.array([short(d) in digests for d in rows["digest"]], bool)


def _case(rows: pd.DataFrame) -> pd.Series:
    """The case under its dataset's own name: the parts of one published dataset share their slides."""
    dataset = rows["dataset"].astype(str).str.replace(r"-(train|test)$", "", regex=True)
    named = dataset + ": " + rows["case_id"].astype(str)
    return named.where(rows["case_id"].notna() & (rows["case_id"].astype(str) != ""))


@_check("M001", "case in two splits", LEAK)
def case_in_two_splits(evidence: Evidence) -> str | None:
    """A case (slide or patient) has patches on both sides of a split.

    Figures of one slide share stain, scanner and tumour, and neighbours share pixels. A net that has seen the slide is not
    asked about a new one, and the score is too good.

    To mend it: split by case (`mitotype train` does) and read the split from the stored file. For your own data fill the
    column `case_id`; patients, not blocks, where a patient has several slides.
    """
    rows = _rows(evidence)
    rows = rows.assign(case=_case(rows)).dropna(subset=["case"])
    trained = set(rows.loc[rows["part"] == OUT_OF_FOLD, "case"])
    both = sorted(trained & set(rows.loc[rows["part"] != OUT_OF_FOLD, "case"]))
    if both:
        return f"{len(both)} cases have patches in training and in a test set; the first: '{both[0]}'."
    folds = evidence.scores.scores[evidence.scores.scores["part"] == OUT_OF_FOLD]
    folds = (
        folds[["patch_id", "member"]]
        .drop_duplicates()
        .merge(rows[["patch_id", "case"]].drop_duplicates(), on="patch_id")
    )
    have = folds.groupby(["member", "case"])["patch_id"].nunique()
    whole = folds.groupby("case")["patch_id"].nunique()
    torn = have[have.to_numpy() < whole.reindex(have.index.get_level_values("case")).to_numpy()]
    if len(torn):
        member, case = torn.index[0]
        count = torn.index.get_level_values("case").nunique()
        return f"{count} cases lie in two folds; the first: '{case}', held out of '{member}' in part only."
    return None


@_check("M002", "decision fitted on test rows", LEAK)
def fitted_on_test(evidence: Evidence) -> str | None:
    """Calibration, threshold or abstention were fitted on pictures of a test set.

    The threshold alone moves balanced accuracy by several points; chosen on the test set it makes any model look tuned.

    To mend it: fit the decision on out-of-fold rows of the training patches, which is what `mitotype evaluate` does.
    """
    seen = set(evidence.decision.digests)
    rows = _rows(evidence)
    test = rows[rows["part"] != OUT_OF_FOLD]
    mine = test[_among(test, seen)]
    # A picture that was also trained on is told by M004; here only those that the decision saw without training.
    trained = {short(d) for d in rows.loc[rows["part"] == OUT_OF_FOLD, "digest"]}
    mine = mine[~_among(mine, trained)]
    if len(mine):
        return (
            f"The decision was fitted on {len(mine)} pictures of a test set; the first: '{mine.iloc[0]['patch_id']}'."
        )
    return None


@_check("M003", "fewer than 10 atypical figures in a domain", WARNING)
def few_positives(evidence: Evidence) -> str | None:
    """A domain of a test set has fewer than ten atypical figures.

    With seven, one figure more or less is seven points of balanced accuracy: the number is printed with its interval, but it
    decides nothing, and a mean over domains follows it.

    To mend it: read the interval, pool domains that belong together, or label more.
    """
    rows = _rows(evidence)
    rows = rows[(rows["part"] != OUT_OF_FOLD) & rows["label"].notna() & rows["domain"].notna()]
    counts = rows.groupby(["dataset", "domain"])["label"].sum()
    few = counts[counts < FEW_POSITIVES]
    if len(few):
        places = few.reset_index().head(6)
        named = ", ".join(f"{p['domain']} ({p['dataset']}) {int(p['label'])}" for _, p in places.iterrows())
        return f"{named}; {len(few)} in all." if len(few) > 6 else f"{named}."
    return None


@_check("M004", "same picture in training and test", LEAK)
def picture_in_both(evidence: Evidence) -> str | None:
    """A picture of a test set, pixel for pixel, is among the training patches.

    To mend it: train with `--hold-out` naming the test set, which takes out what it shares by slide and by picture digest.
    """
    rows = _rows(evidence)
    rows = rows[rows["digest"].notna() & (rows["digest"].astype(str) != "")]
    trained = set(rows.loc[rows["part"] == OUT_OF_FOLD, "digest"])
    both = rows[(rows["part"] != OUT_OF_FOLD) & rows["digest"].isin(trained)]
    if len(both):
        return f"{len(both)} test pictures are training pictures too; the first: '{both.iloc[0]['patch_id']}'."
    return None


@_check("M005", "conflicting labels for one picture", WARNING)
def conflicting_labels(evidence: Evidence) -> str | None:
    """The same picture, pixel for pixel, carries different labels.

    No model can be right on both. Evaluation counts each picture once and leaves such groups out; the count over all files
    stands beside it.

    To mend it: look at the picture, and correct the label or drop it at its source.
    """
    import pandas as pd

    patches = evidence.scores.patches
    known = patches[patches["digest"].notna() & (patches["digest"].astype(str) != "")].copy()
    known["label"] = pd.to_numeric(known["label"], errors="coerce")
    labels = known.groupby("digest")["label"].nunique()
    bad = known[known["digest"].isin(labels.index[labels > 1])]
    if len(bad):
        groups = [", ".join(g["patch_id"].astype(str)) for _, g in bad.groupby("digest", sort=False)]
        return f"{len(groups)} pictures: {'; '.join(groups[:5])}{' …' if len(groups) > 5 else ''}."
    return None


@_check("M006", "dataset known to overlap a test set", LEAK)
def known_overlap(evidence: Evidence) -> str | None:
    """A dataset that was trained on is known to share slides with one that is tested on.

    MIDOG 2025's training set holds all of AtNorM-MD and 1,721 patches of AMi-Br, 429 of them in its test split. Pictures
    that were cut anew differ in their pixels, so that M004 cannot see them.

    To mend it: train with `--hold-out` naming the test set, or test on a set that is external (AtNorM-Br is).
    """
    rows = _rows(evidence)
    trained = rows.loc[rows["part"] == OUT_OF_FOLD, "dataset"].astype(str).unique()
    tested = set(rows.loc[rows["part"] != OUT_OF_FOLD, "dataset"].astype(str))
    for name in trained:
        shared = [
            o for o in evidence.overlaps.get(name, ()) if o in tested and o not in evidence.held_out and o != name
        ]
        if shared:
            return f"'{name}' was trained on and shares slides with {', '.join(repr(s) for s in shared)}."
    return None


@_check("M007", "scores may be of the other class", WARNING)
def wrong_way_round(evidence: Evidence) -> str | None:
    """On a test set the scores rank normal figures above atypical ones.

    A score here is that of the atypical class, whatever was decided. P(normal), or the confidence in the winning class (one
    submission to MIDOG 2025 wrote that and reached AUROC .21), gives a value far below one half.

    To mend it: write P(atypical) into the column `score`.
    """
    from mitotype.evaluation.metrics import auroc
    from mitotype.scores.ensemble import mean_logit

    test = evidence.scores.take(part="test")
    if not len(test):
        return None
    rows = test.joined(mean_logit(test)).dropna(subset=["label"])
    for dataset, mine in rows.groupby("dataset", sort=False):
        number = auroc(mine["label"].to_numpy(float), mine["logit"].to_numpy(float))
        if not np.isnan(number.value) and number.value < WRONG_WAY:
            return f"AUROC is {number.value:.3f} on '{dataset}'."
    return None
