"""Schema: the positive class, the column names, the notice, and the Cohort (a table of patches)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotype.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

ATYPICAL = 1
NORMAL = 0
CLASS_NAMES = ("normal", "atypical")  # indexed by the label

MPP_UM = 0.25  # µm/px of every packed image
PATCH_PX = 128  # the published patches; a pack is never larger

NOTICE = "For Research Use Only. Not for use in diagnostic procedures."
NOTICE_LONG = (
    f"{NOTICE} Not CE-marked under IVDR/MDR. No clinical decision may rest on an output; "
    "use outside the studied species, tumours and scanners is out of scope."
)

# The columns of a cohort. `label` is empty where unknown; `votes_for` of `votes` experts voted atypical.
COHORT_COLUMNS = (
    "patch_id", "path", "label", "votes_for", "votes", "case_id", "domain", "scanner", "tumour", "species", "mpp_um",
)  # fmt: skip
# Columns that a reader may add: the dataset, the page of a multi-page file, the part of a published split ("train" or
# "test"), the centre of the patch on its slide, the votes by expert ("NAN": normal, atypical, normal) and their sub-classes.
OPTIONAL_COLUMNS = ("dataset", "page", "part", "x_px", "y_px", "expert_votes", "sub_label_1", "sub_label_2")

# The score table: one raw logit per patch × view × member, and the table of its patches.
SCORE_COLUMNS = ("patch_id", "part", "fold", "member", "view", "logit")
PATCH_COLUMNS = ("patch_id", "dataset", "case_id", "domain", "label", "votes_for", "votes", "digest")
OUT_OF_FOLD = "out-of-fold"
TEST = "test"


@dataclass(frozen=True)
class Cohort:
    """A table of patches, one row each, with COHORT_COLUMNS and any of OPTIONAL_COLUMNS.

    `notes` are remarks of the reader (labels that contradict votes, a scanner spelled two ways), which are printed and
    stored; nothing is repaired in silence.
    """

    name: str
    rows: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        missing = [column for column in COHORT_COLUMNS if column not in self.rows.columns]
        if missing:
            raise ValueError(f"cohort '{self.name}' has no columns {missing}")
        repeated = self.rows["patch_id"][self.rows["patch_id"].duplicated()]
        if len(repeated):
            raise UserError(
                f"'{self.name}' has several rows of the patch '{repeated.iloc[0]}' ({len(repeated)} repeated rows in all).",
                fix="give every patch one row",
            )

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, mask: pd.Series) -> Cohort:
        """Return the cohort of the rows where the boolean `mask` is true, in the same order."""
        return Cohort(self.name, self.rows[mask].reset_index(drop=True), self.notes)


def join(cohorts: list[Cohort]) -> Cohort:
    """Return several cohorts as one, named 'a+b'. Raises a UserError for a patch id that two of them have."""
    import pandas as pd

    if len(cohorts) == 1:
        return cohorts[0]
    notes = tuple(note for cohort in cohorts for note in cohort.notes)
    return Cohort("+".join(c.name for c in cohorts), pd.concat([c.rows for c in cohorts], ignore_index=True), notes)
