"""M001: a case on both sides of a split."""

from __future__ import annotations

from mitotype.core.schema import OUT_OF_FOLD
from mitotype.evaluation.checks.check import Evidence, add_check, split_rows
from mitotype.scores.table import combinations


@add_check("M001", "case in two splits", "leak")
def case_in_two_splits(evidence: Evidence) -> str | None:
    """A case (slide or patient) has patches on both sides of a split.

    Figures of one slide share stain, scanner and tumour, and neighbours share pixels. A net that has seen the slide is not
    tested on a new one, and the score is too good.

    To fix it: split by case (`mitotype train` does) and read the split from the stored file. For your own data fill the
    column `case_id`; use patients, not blocks, if a patient has several slides.
    """
    training, test = (rows.dropna(subset=["case"]) for rows in split_rows(evidence))
    both = sorted(set(training["case"]) & set(test["case"]))
    if both:
        return f"{len(both)} cases have patches in training and in a test set; the first: '{both[0]}'."
    scores = evidence.scores.scores
    held_out = combinations(scores[scores["part"] == OUT_OF_FOLD], ["patch_id", "member"])
    held_out = held_out.merge(training[["patch_id", "case"]], on="patch_id")
    of_member = held_out.groupby(["member", "case"])["patch_id"].nunique()
    of_case = held_out.groupby("case")["patch_id"].nunique()
    split = of_member[of_member.to_numpy() < of_case.reindex(of_member.index.get_level_values("case")).to_numpy()]
    if len(split):
        member, case = split.index[0]
        count = split.index.get_level_values("case").nunique()
        return f"{count} cases are in two folds; the first: '{case}', held out of '{member}' in part only."
    return None
