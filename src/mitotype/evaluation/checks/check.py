"""Check: a code, a title, a severity, a page, and a function that returns what is wrong; the registry, and the run of all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.registry import Registry
from mitotype.core.run_layout.evaluation import Finding, Severity
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.scores.decision import Decision
from mitotype.scores.table import Scores


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


checks: Registry[Check] = Registry("check", "checks", "mitotype.evaluation.checks")


def add_check(code: str, title: str, severity: Severity) -> Callable[[Function], Function]:
    """Return a decorator that adds a function as a check; its docstring is the page: why it matters and how to fix it."""

    def add(function: Function) -> Function:
        checks.add(code)(Check(code, title, severity, function))
        return function

    return add


def run(evidence: Evidence) -> list[Finding]:
    """Return every check's finding, in the order of the codes."""
    ordered = (checks.get(code) for code in checks)
    return [Finding(c.code, c.title, c.severity, c.function(evidence) or "") for c in ordered]


def raise_if_any(findings: Iterable[Finding]) -> None:
    """Raise the leaks among the findings as UserErrors; warnings pass."""
    errors = ErrorCollector()
    for finding in findings:
        if finding.text and finding.severity == "leak":
            fix = f"why, and how to fix it: mitotype checks {finding.code}"
            errors.add(UserError(finding.text, code=finding.code, fix=fix))
    errors.raise_if_any()


def split_rows(evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
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


def with_digest(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose image has a digest."""
    return rows[rows["digest"].notna() & (rows["digest"].astype(str) != "")]
