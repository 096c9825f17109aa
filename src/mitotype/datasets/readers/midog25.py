"""MIDOG 2025 Track 2, training set: 11,937 figures of ten domains (MIDOG++) with votes of two or three experts. Folder or zip."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from mitotype.core import labels, tables, walk
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort
from mitotype.datasets import layout
from mitotype.datasets.assemble import assemble
from mitotype.datasets.dataset import Dataset, Source, datasets
from mitotype.datasets.download import archives

TITLE = "MIDOG 2025 Track 2"
EXPERTS = ("expert1", "expert2", "expert3")
COLUMNS = (
    "image_id", "filename", "coordinateX", "coordinateY", "Tumor", "Scanner", "Origin", "Species", *EXPERTS, "majority",
)  # fmt: skip
VOTES = {"AMF": "A", "NMF": "N", "": "-"}
SCANNERS = {"Hamammatsu XR": "Hamamatsu XR"}  # two spellings of one device
OF_TWO_LABORATORIES = "canine soft tissue sarcoma"  # every other tumour has one
RECORD = "https://zenodo.org/records/16044804/files/"
CSV_NAME = "MIDOG25_Atypical_Classification_Train_Set.csv"


def detect(path: Path) -> bool:
    return _find_csv(path) is not None


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read the zip, or the folder of N.png (at any depth), with the csv inside or beside it. All patches for every part.

    `label` is the csv's majority, also in rows whose votes contradict it; those are noted. `scanner` has one spelling per
    device, `scanner_original` that of the csv. `domain` is the tumour, for breast cancer the scanner as in AMi-Br, and for the
    tumour of two laboratories tumour and laboratory.
    """
    csv = _find_csv(path)
    if csv is None:
        raise UserError(
            f"No csv of {TITLE} (with the columns {', '.join(COLUMNS[:4])} …) is in '{path}' or beside it.",
            fix=f"put {CSV_NAME} there, or: mitotype fetch midog25 DIR",
        )
    rows, notes = read_rows(csv)
    folder = archives.unpack_cached(path) if path.suffix.lower() == ".zip" else path if path.is_dir() else csv.parent
    images = layout.index_by_stem((file, float("nan")) for file in layout.iter_images(folder))
    return assemble("midog25", rows, images, source=path, mpp_um=mpp_um, notes=notes)


def _find_csv(path: Path) -> Path | None:
    """Return the csv: `path` itself, inside the folder or zip, or beside a zip or a folder of numbered images."""
    required = COLUMNS[:4]
    if path.is_dir():
        folders = [path, *(layout.parent(path) if _is_numbered(path) else [])]
        return next((csv for folder in folders if (csv := layout.find_csv(folder, required))), None)
    if path.suffix.lower() != ".zip" or not path.is_file():
        return layout.find_csv(path, required)
    outside = next((csv for folder in layout.parent(path) if (csv := layout.find_csv(folder, required))), None)
    if outside is not None:
        return outside
    inside = walk.iter_files(archives.unpack_cached(path), (".csv",))
    return next((csv for file in inside if (csv := layout.find_csv(file, required))), None)


def _is_numbered(folder: Path) -> bool:
    """Return whether images directly inside have numbers as names, like the published ones."""
    return any(entry.stem.isdigit() and entry.suffix.lower() == ".png" for entry in walk.children(folder))


def read_rows(csv: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows of the csv as columns of a cohort, indexed by file stem, and notes."""
    table = tables.read(csv, COLUMNS, numbers=("coordinateX", "coordinateY"), what=f"table of {TITLE}")
    label_N = labels.parse_labels(table["majority"], f"'{csv}', column majority,")
    table = layout.index_rows(table, table["image_id"].str.removesuffix(".png"), csv)
    votes = table[list(EXPERTS)].apply(lambda column: column.str.upper().map(VOTES))
    invalid = votes.isna().any(axis=1)
    if invalid.any():
        raise UserError(
            f"'{csv}' has unknown votes, '{table.index[invalid][0]}.png' first.",
            allowed="AMF, NMF or empty",
            fix="restore the published csv",
        )
    label = pd.Series(label_N, index=table.index)
    if label.isna().any():
        raise UserError(f"'{csv}' has no majority for '{table.index[label.isna()][0]}.png'.", fix="restore that cell")
    is_midog21 = table["Tumor"].str.lower() == "human breast cancer"  # the same figures and domains as in AMi-Br
    scanner = table["Scanner"].replace(SCANNERS)
    domain = table["Tumor"].where(~is_midog21, "MIDOG21 " + scanner)
    has_two = table["Tumor"].str.lower() == OF_TWO_LABORATORIES
    rows = pd.DataFrame(
        {
            "label": label,
            "votes_for": (votes == "A").sum(axis=1).astype(float),
            "votes": (votes != "-").sum(axis=1).astype(float),
            "expert_votes": votes.sum(axis=1),
            "case_id": "MIDOG++/" + table["filename"],
            "domain": domain.where(~has_two, table["Tumor"] + ", " + table["Origin"]),
            "scanner": scanner,
            "scanner_original": table["Scanner"],
            "tumour": table["Tumor"],
            "species": table["Species"].str.lower(),
            "x_px": table["coordinateX"],
            "y_px": table["coordinateY"],
        }
    )
    return rows, (*_spelling_notes(table["Scanner"]), *_contradiction_notes(rows))


def _spelling_notes(scanner: pd.Series) -> tuple[str, ...]:
    counts = scanner.value_counts()
    return tuple(
        f"midog25: the scanner '{name}' ({counts[name]} rows) is read as '{right}'; scanner_original has the spelling of the csv"
        for name, right in SCANNERS.items()
        if name in counts
    )


def _contradiction_notes(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return a note on the rows whose majority is not that of their votes, by pattern: 'AAN → N'. Ties contradict nothing."""
    balance = 2 * rows["votes_for"] - rows["votes"]
    against = rows[((balance > 0) & (rows["label"] == 0)) | ((balance < 0) & (rows["label"] == 1))]
    if not len(against):
        return ()
    patterns = Counter(zip(against["expert_votes"], against["label"].map({0.0: "N", 1.0: "A"}), strict=True))
    shown = ", ".join(f"{count} {votes} → {majority}" for (votes, majority), count in sorted(patterns.items()))
    return (
        f"midog25: {len(against)} rows have a majority against their votes ({shown}), '{against.index[0]}.png' first; the "
        "majority is used as the label",
    )


datasets.add("midog25")(
    Dataset(
        title=TITLE,
        url="https://doi.org/10.5281/zenodo.16044804",
        license="as the Zenodo record states",
        citation="Weiss et al., A Dataset of Atypical vs Normal Mitoses Classification for MIDOG 2025, Zenodo 2025, "
        "doi:10.5281/zenodo.16044804",
        counts={"all": (10189, 1748)},
        overlaps=("amibr", "atnorm-md"),
        known_overlaps=(
            "holds all of AtNorM-MD (60 slides): --hold-out atnorm-md",
            "holds all 1,721 MIDOG21 figures of AMi-Br, 429 of them in its test part: --hold-out amibr-test",
        ),
        sources=(
            Source(urls=(f"{RECORD}{CSV_NAME}?download=1",), save_as=f"MIDOG25/{CSV_NAME}"),
            Source(
                urls=(f"{RECORD}MIDOG25_Binary_Classification_Train_Set.zip?download=1",),
                save_as="MIDOG25/MIDOG25_Binary_Classification_Train_Set",
                unpack=True,
            ),
        ),
        detect=detect,
        read=read,
    )
)
