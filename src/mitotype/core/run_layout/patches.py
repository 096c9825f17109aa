"""patches.parquet and scores.parquet of a run or of a folder of scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import tables
from mitotype.core.run_layout.names import PATCHES, SCORES, is_run

if TYPE_CHECKING:
    import pandas as pd


def read_patches(run_dir: Path) -> pd.DataFrame:
    """Return the table of patches. Raises a UserError for a damaged one, see `tables.read_stored`."""
    text, numbers = ["patch_id", "dataset", "case_id", "domain", "digest"], ["label", "votes_for", "votes"]
    if is_run(run_dir):
        text, numbers = [*text, "path"], [*numbers, "fold", "mpp_um"]
    return tables.read_stored(run_dir / PATCHES, text, numbers, what="table of patches")


def read_scores(run_dir: Path) -> pd.DataFrame:
    """Return the table of scores, its text as categorical columns. Raises a UserError for a damaged one, see `tables.read_stored`."""
    text, numbers = ("patch_id", "part", "member", "view"), ("fold", "logit")
    return tables.read_stored(run_dir / SCORES, text, numbers, what="table of scores", categories=text)
