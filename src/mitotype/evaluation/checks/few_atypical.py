"""M003: domains with few atypical figures."""

from __future__ import annotations

from mitotype.evaluation.checks.check import Evidence, add_check, split_rows

MIN_ATYPICAL = 10


@add_check("M003", "fewer than 10 atypical figures in a domain", "warning")
def few_positives(evidence: Evidence) -> str | None:
    """A domain of a test set has fewer than ten atypical figures.

    With seven, one figure more or less is seven points of balanced accuracy: the number is printed with its interval, but it
    decides nothing, and a mean over domains follows it.

    To fix it: read the interval, pool domains that belong together, or label more.
    """
    _, test = split_rows(evidence)
    counts = test.dropna(subset=["label", "domain"]).groupby(["dataset", "domain"])["label"].sum()
    few = counts[counts < MIN_ATYPICAL]
    if len(few):
        shown = few.reset_index().head(6)
        names = ", ".join(f"{row['domain']} ({row['dataset']}) {int(row['label'])}" for _, row in shown.iterrows())
        return f"{names}; {len(few)} in all." if len(few) > 6 else f"{names}."
    return None
