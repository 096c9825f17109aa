"""The words of the house: the positive class, the column names, the notice, and the Cohort (a table of patches)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotype.core.mistakes import Mistake

if TYPE_CHECKING:
    import pandas as pd

ATYPICAL = 1
NORMAL = 0
CLASS_NAMES = ("normal", "atypical")  # indexed by the label

MPP_UM = 0.25  # µm/px of every packed picture
PATCH_PX = 128  # the published patches; a pack is never larger

NOTICE = "For Research Use Only. Not for use in diagnostic procedures."
NOTICE_LONG = (
    f"{NOTICE} Not CE-marked under IVDR/MDR. No clinical decision may rest on an output; "
    "use outside the studied species, tumours and scanners is out of scope."
)

# A cohort's columns. `label` is empty where nobody has labelled; votes_for of votes experts said atypical.
COHORT_COLUMNS = (
    "patch_id", "path", "label", "votes_for", "votes", "case_id", "domain", "scanner", "tumour", "species", "mpp_um",
)  # fmt: skip
# Columns a reader may add: the dataset's name, the page of a multi-page file, the part a published split puts a patch in
# ("train" or "test"), the picture's centre on its slide, the experts' own votes ("NAN" in the order of the experts) and
# their sub-classes.
OPTIONAL_COLUMNS = ("dataset", "page", "part", "x_px", "y_px", "expert_votes", "sub_label_1", "sub_label_2")

# The score table: one raw logit per patch × view × member; and the patches it speaks of.
SCORE_COLUMNS = ("patch_id", "part", "fold", "member", "view", "logit")
PATCH_COLUMNS = ("patch_id", "dataset", "case_id", "domain", "label", "votes_for", "votes", "digest")
OUT_OF_FOLD = "out-of-fold"
TEST = "test"


@dataclass(frozen=True)
class Cohort:
    """A table of patches, one row each, with COHORT_COLUMNS and any of OPTIONAL_COLUMNS.

    `notes` are what a reader found worth telling (rows against their votes, a scanner spelled two ways); they are shown
    and written down, and nothing is repaired in silence.
    """

    name: str
    rows: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        missing = [column for column in COHORT_COLUMNS if column not in self.rows.columns]
        if missing:
            raise ValueError(f"cohort '{self.name}' lacks the columns {missing}")
        twice = self.rows["patch_id"][self.rows["patch_id"].duplicated()]
        if len(twice):
            raise Mistake(
                f"In '{self.name}' the patch '{twice.iloc[0]}' stands in {len(twice) + 1} rows or more.",
                fix="give every patch one row",
            )

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, keep: pd.Series) -> Cohort:
        """The cohort of the rows where the boolean `keep` is true, in the same order."""
        return Cohort(self.name, self.rows[keep].reset_index(drop=True), self.notes)


def join(cohorts: list[Cohort]) -> Cohort:
    """Several cohorts as one, named 'a+b'. Patch ids must not collide."""
    import pandas as pd

    if len(cohorts) == 1:
        return cohorts[0]
    notes = tuple(note for cohort in cohorts for note in cohort.notes)
    return Cohort("+".join(c.name for c in cohorts), pd.concat([c.rows for c in cohorts], ignore_index=True), notes)
