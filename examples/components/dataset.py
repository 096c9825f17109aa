"""A dataset: a laboratory's own layout, `annotations.csv` beside `images/`.

mitotype --plugin dataset.py train default --data lab=FOLDER
"""

from __future__ import annotations

from pathlib import Path

from mitotype.core import tables
from mitotype.core.labels import parse_labels
from mitotype.core.schema import MPP_UM, Cohort
from mitotype.datasets.dataset import Dataset, datasets

CSV = "annotations.csv"  # file, class (AMF or NMF), slide, scanner


def detect(path: Path) -> bool:
    return (path / CSV).is_file() and (path / "images").is_dir()


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read all figures; the dataset has no published split, so that every part holds all of them."""
    table = tables.read(path / CSV, ("file", "class", "slide", "scanner"), what="annotations")
    rows = table.assign(
        patch_id=[f"lab/{Path(name).stem}" for name in table["file"]],
        path=[str((path / "images" / name).absolute()) for name in table["file"]],
        label=parse_labels(table["class"], f"'{path / CSV}'"),
        votes_for=float("nan"),
        votes=float("nan"),
        case_id=table["slide"],
        domain=table["scanner"],
        tumour="canine mast cell tumour",
        species="dog",
        mpp_um=MPP_UM if mpp_um is None else mpp_um,
        dataset="lab",
    )
    return Cohort("lab", rows.drop(columns=["file", "class", "slide"]).reset_index(drop=True))


datasets.add("lab")(
    Dataset(
        title="Canine mast cell tumours of our laboratory",
        license="ours",
        known_overlaps=("none known",),
        detect=detect,
        read=read,
    )
)
