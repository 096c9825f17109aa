"""A synthetic cohort (see synthesis.cohort): H&E-like patches generated from a seed, without a pixel of a real image."""

from __future__ import annotations

from pathlib import Path

from mitotype.core import files
from mitotype.core.errors import UserError
from mitotype.core.schema import MPP_UM, Cohort
from mitotype.datasets import layout
from mitotype.datasets.dataset import Dataset, datasets
from mitotype.datasets.readers import folder

CSV = "cohort.csv"
MARKER = "synthetic.json"  # written last: a folder without it is incomplete


def detect(path: Path) -> bool:
    return path.is_dir() and (path / MARKER).is_file()


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read a synthetic cohort, or its part "train" or "test". Raises a UserError if it is incomplete or was changed."""
    csv = path / CSV
    if not csv.is_file() or files.sha256(csv) != read_marker(path).get("csv_sha256"):
        raise UserError(
            f"'{csv}' is not the list that was written with this synthetic cohort.",
            fix="remove the folder and generate it again",
        )
    cohort = folder.read(csv, part, mpp_um)
    table = layout.read_csv(csv, ("path", "expert_votes", "part"), what="list of synthetic patches")
    rows = cohort.rows.assign(
        patch_id=[f"synthetic/{Path(name).stem}" for name in table["path"]],
        dataset="synthetic",
        expert_votes=list(table["expert_votes"]),
        part=list(table["part"]),
    )
    cohort = Cohort("synthetic", rows, cohort.notes)
    return cohort if part == "all" else cohort.take(rows["part"] == part)


def read_marker(path: Path) -> dict[str, object]:
    """Return the parameters that the cohort in this folder was generated with, and the digest of its list."""
    marker = files.read_json(path / MARKER, what="synthetic cohort's marker")
    if not isinstance(marker, dict):
        raise UserError(f"'{path / MARKER}' is not a marker of a synthetic cohort.", fix="remove the folder")
    return marker


DATASET = datasets.add("synthetic")(
    Dataset(
        title="Synthetic cohort",
        url="",
        license="Apache-2.0",
        citation="",
        mpp_um=MPP_UM,
        counts={},
        known_overlaps=("none: it is generated from a seed and holds no pixel of a real image",),
        sources=(),
        detect=detect,
        read=read,
    )
)
