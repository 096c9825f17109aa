"""A synthetic cohort (see synthesis.cohort): H&E-like patches generated from a seed, without a pixel of a real image."""

from __future__ import annotations

from pathlib import Path

from mitotype.core import files, records, tables
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort
from mitotype.datasets.dataset import Dataset, datasets
from mitotype.datasets.readers import folder

CSV = "cohort.csv"
MARKER = "synthetic.json"  # written last: a folder without it is incomplete


class Marker(records.Record, frozen=True, kw_only=True):
    """synthetic.json: the parameters that the cohort was generated from, and the digest of its list."""

    version: int
    patches: int
    cases: int
    seed: int
    domains: int
    csv_sha256: str = ""

    def __str__(self) -> str:
        return f"{self.patches} patches, {self.cases} cases, {self.domains} domains, seed {self.seed}, version {self.version}"


def detect(path: Path) -> bool:
    return path.is_dir() and (path / MARKER).is_file()


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read a synthetic cohort, or its part "train" or "test". Raises a UserError if it is incomplete or was changed."""
    csv = path / CSV
    if not csv.is_file() or files.sha256(csv) != read_marker(path).csv_sha256:
        raise UserError(
            f"'{csv}' is not the list that was written with this synthetic cohort.",
            fix="remove the folder and generate it again",
        )
    cohort = folder.read(csv, part, mpp_um)
    table = tables.read(csv, ("path", "expert_votes", "part"), what="list of synthetic patches")
    rows = cohort.rows.assign(
        patch_id=[f"synthetic/{Path(name).stem}" for name in table["path"]],
        dataset="synthetic",
        expert_votes=list(table["expert_votes"]),
        part=list(table["part"]),
    )
    cohort = Cohort("synthetic", rows, cohort.notes)
    return cohort if part == "all" else cohort.take(rows["part"] == part)


def read_marker(path: Path) -> Marker:
    return records.read(path / MARKER, Marker, what="marker of a synthetic cohort")


datasets.add("synthetic")(
    Dataset(
        title="Synthetic cohort",
        license="Apache-2.0",
        known_overlaps=("none: it is generated from a seed and holds no pixel of a real image",),
        detect=detect,
        read=read,
    )
)
