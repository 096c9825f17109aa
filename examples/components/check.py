"""A check on method: domains of one class in training.

mitotype --plugin check.py evaluate runs/mine
"""

from mitotype.evaluation.checks.check import Evidence, add_check, split_rows


@add_check("LAB01", "a training domain has one class only", "warning")
def domain_of_one_class(evidence: Evidence) -> str | None:
    """A domain of the training patches has figures of one class only.

    A net may then learn the scanner in place of the figure.

    To fix it: add figures of the other class from that domain, or leave the domain out.
    """
    training, _ = split_rows(evidence)
    classes = training.dropna(subset=["label", "domain"]).groupby("domain")["label"].nunique()
    single = classes[classes < 2]
    return f"{', '.join(map(str, single.index))}." if len(single) else None
