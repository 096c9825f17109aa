"""Checks on method: each has a code, a severity, a page, and a function that returns what is wrong, or None."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.run_layout.evaluation import Finding, Severity
from mitotype.core.schema import OUT_OF_FOLD, TEST
from mitotype.evaluation.metrics import compute
from mitotype.scores.decision import Decision, has_digest, short_digest
from mitotype.scores.ensemble import mean_logit
from mitotype.scores.table import Scores

MIN_ATYPICAL = 10
MIN_AUROC = 0.4


@dataclass(frozen=True)
class Evidence:
    """The input of the checks. `overlaps` names, for a dataset, those it is known to share slides with; `held_out` are the
    datasets that were taken out of training by slide and by image."""

    scores: Scores
    decision: Decision = field(default_factory=Decision)
    overlaps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    held_out: Sequence[str] = ()


Function = Callable[[Evidence], str | None]


@dataclass(frozen=True)
class Check:
    code: str
    title: str
    severity: Severity
    function: Function

    @property
    def page(self) -> str:
        """Why it matters and how to fix it, as Markdown."""
        return inspect.getdoc(self.function) or ""


CHECKS: dict[str, Check] = {}


def _check(code: str, title: str, severity: Severity) -> Callable[[Function], Function]:
    def add(function: Function) -> Function:
        CHECKS[code] = Check(code, title, severity, function)
        return function

    return add


def run(evidence: Evidence) -> list[Finding]:
    """Return every check's finding, in the order of the codes."""
    checks = (CHECKS[code] for code in sorted(CHECKS))
    return [Finding(c.code, c.title, c.severity, c.function(evidence) or "") for c in checks]


def raise_if_any(findings: Iterable[Finding]) -> None:
    """Raise the leaks among the findings as UserErrors; warnings pass."""
    errors = ErrorCollector()
    for finding in findings:
        if finding.text and finding.severity == "leak":
            fix = f"why, and how to fix it: {finding.code} in docs/reference/checks.md"
            errors.add(UserError(finding.text, code=finding.code, fix=fix))
    errors.raise_if_any()


def _rows(evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row per patch, with the patch's columns, of the training part and of the test part."""
    scores = evidence.scores.scores
    rows = evidence.scores.joined(scores[["patch_id", "part"]].drop_duplicates())
    rows = rows.assign(case=_case_names(rows))
    is_training = rows["part"] == OUT_OF_FOLD
    return rows[is_training], rows[~is_training]


def _case_names(rows: pd.DataFrame) -> pd.Series:
    """Return dataset and case of every row, nan without a case. The parts of a published dataset share their slides."""
    dataset = rows["dataset"].astype(str).str.replace(r"-(train|test)$", "", regex=True)
    names = dataset + ": " + rows["case_id"].astype(str)
    return names.where(rows["case_id"].notna() & (rows["case_id"].astype(str) != ""))


@_check("M001", "case in two splits", "leak")
def case_in_two_splits(evidence: Evidence) -> str | None:
    """A case (slide or patient) has patches on both sides of a split.

    Figures of one slide share stain, scanner and tumour, and neighbours share pixels. A net that has seen the slide is not
    tested on a new one, and the score is too good.

    To fix it: split by case (`mitotype train` does) and read the split from the stored file. For your own data fill the
    column `case_id`; use patients, not blocks, if a patient has several slides.
    """
    training, test = (rows.dropna(subset=["case"]) for rows in _rows(evidence))
    both = sorted(set(training["case"]) & set(test["case"]))
    if both:
        return f"{len(both)} cases have patches in training and in a test set; the first: '{both[0]}'."
    scores = evidence.scores.scores
    held_out = scores.loc[scores["part"] == OUT_OF_FOLD, ["patch_id", "member"]].drop_duplicates()
    held_out = held_out.merge(training[["patch_id", "case"]], on="patch_id")
    of_member = held_out.groupby(["member", "case"])["patch_id"].nunique()
    of_case = held_out.groupby("case")["patch_id"].nunique()
    split = of_member[of_member.to_numpy() < of_case.reindex(of_member.index.get_level_values("case")).to_numpy()]
    if len(split):
        member, case = split.index[0]
        count = split.index.get_level_values("case").nunique()
        return f"{count} cases are in two folds; the first: '{case}', held out of '{member}' in part only."
    return None


@_check("M002", "decision fitted on test rows", "leak")
def fitted_on_test(evidence: Evidence) -> str | None:
    """Calibration, threshold or abstention were fitted on images of a test set.

    The threshold alone moves balanced accuracy by several points; chosen on the test set it makes any model look tuned.

    To fix it: fit the decision on out-of-fold rows of the training patches, which is what `mitotype evaluate` does.
    """
    training, test = _rows(evidence)
    seen = test[has_digest(test, evidence.decision.digests)]
    # M004 reports images that are also training images; these are the others.
    seen = seen[~has_digest(seen, map(short_digest, training["digest"]))]
    if len(seen):
        return f"The decision was fitted on {len(seen)} images of a test set; the first: '{seen.iloc[0]['patch_id']}'."
    return None


@_check("M003", "fewer than 10 atypical figures in a domain", "warning")
def few_positives(evidence: Evidence) -> str | None:
    """A domain of a test set has fewer than ten atypical figures.

    With seven, one figure more or less is seven points of balanced accuracy: the number is printed with its interval, but it
    decides nothing, and a mean over domains follows it.

    To fix it: read the interval, pool domains that belong together, or label more.
    """
    _, test = _rows(evidence)
    counts = test.dropna(subset=["label", "domain"]).groupby(["dataset", "domain"])["label"].sum()
    few = counts[counts < MIN_ATYPICAL]
    if len(few):
        shown = few.reset_index().head(6)
        names = ", ".join(f"{row['domain']} ({row['dataset']}) {int(row['label'])}" for _, row in shown.iterrows())
        return f"{names}; {len(few)} in all." if len(few) > 6 else f"{names}."
    return None


@_check("M004", "same image in training and test", "leak")
def image_in_both(evidence: Evidence) -> str | None:
    """An image of a test set, pixel for pixel, is among the training patches.

    To fix it: train with `--hold-out` naming the test set, which takes out what it shares by slide and by image digest.
    """
    training, test = (rows[_has_any_digest(rows)] for rows in _rows(evidence))
    both = test[test["digest"].isin(set(training["digest"]))]
    if len(both):
        return f"{len(both)} test images are training images too; the first: '{both.iloc[0]['patch_id']}'."
    return None


def _has_any_digest(rows: pd.DataFrame) -> pd.Series:
    return rows["digest"].notna() & (rows["digest"].astype(str) != "")


@_check("M005", "conflicting labels for one image", "warning")
def conflicting_labels(evidence: Evidence) -> str | None:
    """The same image, pixel for pixel, has different labels.

    No model can be correct on both. Evaluation counts each image once and leaves such groups out; the count over all files
    is printed too.

    To fix it: look at the image, and correct the label or drop it at its source.
    """
    patches = evidence.scores.patches
    patches = patches[_has_any_digest(patches)]
    patches = patches.assign(label=pd.to_numeric(patches["label"], errors="coerce"))
    labels = patches.groupby("digest")["label"].nunique()
    conflicting = patches[patches["digest"].isin(labels.index[labels > 1])]
    if len(conflicting):
        groups = [", ".join(g["patch_id"].astype(str)) for _, g in conflicting.groupby("digest", sort=False)]
        return f"{len(groups)} images: {'; '.join(groups[:5])}{' …' if len(groups) > 5 else ''}."
    return None


@_check("M006", "dataset known to overlap a test set", "leak")
def known_overlap(evidence: Evidence) -> str | None:
    """A training dataset is known to share slides with a test dataset.

    MIDOG 2025's training set contains all of AtNorM-MD and 1,721 patches of AMi-Br, 429 of them in its test split. Images
    that were cropped again differ in their pixels, so that M004 cannot find them.

    To fix it: train with `--hold-out` naming the test set, or test on a set that is external (AtNorM-Br is).
    """
    training, test = _rows(evidence)
    held_out = {name.removesuffix(f"-{TEST}") for name in evidence.held_out} | set(evidence.held_out)
    tested = set(test["dataset"].astype(str)) - held_out
    for name in training["dataset"].astype(str).unique():
        shared = [other for other in evidence.overlaps.get(name, ()) if other in tested and other != name]
        if shared:
            return f"The training dataset '{name}' shares slides with {', '.join(repr(other) for other in shared)}."
    return None


@_check("M007", "scores may be of the other class", "warning")
def inverted_scores(evidence: Evidence) -> str | None:
    """On a test set the scores rank normal figures above atypical ones.

    A score here is that of the atypical class, whatever the decided class. P(normal), or the confidence in the winning class
    (one submission to MIDOG 2025 wrote that and reached AUROC .21), gives a value far below one half.

    To fix it: write P(atypical) into the column `score`.
    """
    test = evidence.scores.take(part=TEST)
    if not len(test):
        return None
    rows = test.joined(mean_logit(test)).dropna(subset=["label"])
    for dataset, group in rows.groupby("dataset", sort=False):
        label, logit = (group[name].to_numpy(float) for name in ("label", "logit"))
        number = compute("auroc", label, logit > 0, logit)
        if not np.isnan(number.value) and number.value < MIN_AUROC:
            return f"AUROC is {number.value:.3f} on '{dataset}'."
    return None
