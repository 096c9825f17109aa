"""MIDOG 2025 Track 2's training set: 11,937 figures of seven tumours (MIDOG++), two or three experts. Folder or zip."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.datasets import Dataset, Source, archives, datasets, layout
from mitotype.datasets.published import assemble, count_note

if TYPE_CHECKING:
    import pandas as pd

TITLE = "MIDOG 2025 Track 2"
EXPERTS = ("expert1", "expert2", "expert3")
COLUMNS = ("image_id", "filename", "coordinateX", "coordinateY", "Tumor", "Scanner", "Species", *EXPERTS, "majority")
SIGNS = {"AMF": "A", "NMF": "N", "": "-"}
SPELLED = {"Hamammatsu XR": "Hamamatsu XR"}  # one device
RECORD = "https://zenodo.org/records/16044804/files/"
CSV_NAME = "MIDOG25_Atypical_Classification_Train_Set.csv"


def recognises(path: Path) -> bool:
    return _csv(path) is not None


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """`path`: the zip, or the folder of N.png (at any depth), with the csv inside or beside it. The whole in every part.

    `label` is the csv's majority, also in the rows whose votes say otherwise; those are noted. `scanner` spells one
    device one way, `scanner_original` as the csv does.
    """
    csv = _csv(path)
    if csv is None:
        raise Mistake(
            f"No csv of {TITLE} (with the columns {', '.join(COLUMNS[:4])} …) lies in '{path}' or beside it.",
            fix=f"put {CSV_NAME} there, or: mitotype fetch midog25 DIR",
        )
    rows, notes = table_rows(csv)
    folder = path if path.is_dir() else csv.parent
    if path.suffix.lower() == ".zip":
        folder = archives.unpacked(path)
    pictures: dict[str, tuple[Path, float]] = {}
    for file in layout.pictures_in(folder):
        if file.stem in pictures:
            raise Mistake(f"'{file}' and '{pictures[file.stem][0]}' are one patch by name.", fix="remove the wrong one")
        pictures[file.stem] = (file, float("nan"))
    cohort = assemble("midog25", rows, pictures, where=path, mpp_um=mpp_um, notes=notes)
    return count_note(cohort, DATASET.counts["all"])


def read_labels(csv: Path) -> Cohort:
    """The table without its pictures (`path` is ""): for counts, agreement and hold-out."""
    rows, notes = table_rows(csv)
    return count_note(assemble("midog25", rows, None, where=csv, notes=notes), DATASET.counts["all"])


def _csv(path: Path) -> Path | None:
    """The csv: `path` itself, inside the folder or zip, or beside a zip or a folder of numbered pictures."""
    if path.is_file() and path.suffix.lower() != ".zip":
        return layout.csv_with(path, COLUMNS[:4])
    inside = layout.csv_with(path, COLUMNS[:4]) if path.is_dir() else None
    if inside is None and (path.is_file() or (path.is_dir() and _numbered(path))):
        inside = layout.csv_with(path.resolve().parent, COLUMNS[:4])
    if inside is None and path.suffix.lower() == ".zip":
        found = sorted(file for file in archives.unpacked(path).rglob("*.csv") if not layout.hidden(file.name))
        inside = next((csv for file in found if (csv := layout.csv_with(file, COLUMNS[:4]))), None)
    return inside


def _numbered(folder: Path) -> bool:
    """Do the pictures directly inside carry numbers, as the published ones do?"""
    return any(entry.stem.isdigit() and entry.suffix.lower() == ".png" for entry in folder.iterdir())


def table_rows(csv: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The csv's rows in a cohort's words, indexed by file name without ending, and what is worth telling of them."""
    import pandas as pd

    said = layout.read_csv(csv, COLUMNS, what=f"table of {TITLE}")
    said.index = said["image_id"].str.removesuffix(".png")
    if said.index.has_duplicates:
        twice = said.index[said.index.duplicated()][0]
        raise Mistake(f"'{csv}' has two rows for '{twice}'.", fix="restore the published csv")
    signs = said[list(EXPERTS)].apply(lambda column: column.str.upper().map(SIGNS))
    strange = signs.isna().any(axis=1)
    if strange.any():
        raise Mistake(
            f"'{csv}' has votes that are not known here, '{said.index[strange][0]}.png' first.",
            allowed="AMF, NMF or empty",
            fix="restore the published csv",
        )
    label = pd.Series(layout.labels_of(list(said["majority"]), f"'{csv}', column majority,"), index=said.index)
    if label.isna().any():
        raise Mistake(f"'{csv}' has no majority for '{said.index[label.isna()][0]}.png'.", fix="restore that cell")
    votes_for, votes = (signs == "A").sum(axis=1).astype(float), (signs != "-").sum(axis=1).astype(float)
    breast = said["Tumor"].str.lower() == "human breast cancer"  # MIDOG21: the same figures and domains as in AMi-Br
    scanner = said["Scanner"].replace(SPELLED)
    rows = pd.DataFrame(
        {
            "label": label,
            "votes_for": votes_for,
            "votes": votes,
            "expert_votes": signs.sum(axis=1),
            "case_id": "MIDOG++/" + said["filename"],
            "domain": said["Tumor"].where(~breast, "MIDOG21 " + scanner),
            "scanner": scanner,
            "scanner_original": said["Scanner"],
            "tumour": said["Tumor"],
            "species": said["Species"].str.lower(),
            "x_px": pd.to_numeric(said["coordinateX"], errors="coerce").astype(float),
            "y_px": pd.to_numeric(said["coordinateY"], errors="coerce").astype(float),
        }
    )
    return rows, (*_spelling_note(said), *_contradiction_note(rows))


def _spelling_note(said: pd.DataFrame) -> tuple[str, ...]:
    counts = said["Scanner"][said["Scanner"].isin(list(SPELLED))].value_counts()
    return tuple(
        f"midog25: the scanner '{name}' ({counts[name]} rows) is read as '{right}'; scanner_original keeps it"
        for name, right in SPELLED.items()
        if name in counts
    )


def _contradiction_note(rows: pd.DataFrame) -> tuple[str, ...]:
    """The rows whose majority is not that of their votes, by pattern: 'AAN → N'. Ties contradict nothing."""
    twice = 2 * rows["votes_for"] - rows["votes"]
    against = rows[((twice > 0) & (rows["label"] == 0)) | ((twice < 0) & (rows["label"] == 1))]
    if not len(against):
        return ()
    patterns = Counter(zip(against["expert_votes"], against["label"].map({0.0: "N", 1.0: "A"}), strict=True))
    told = ", ".join(f"{count} {votes} → {majority}" for (votes, majority), count in sorted(patterns.items()))
    return (
        f"midog25: {len(against)} rows have a majority against their votes ({told}); the majority is kept as the label, "
        f"'{against.index[0]}.png' first",
    )


DATASET = datasets.add("midog25")(
    Dataset(
        title=TITLE,
        url="https://doi.org/10.5281/zenodo.16044804",
        licence="as the Zenodo record states",
        citation="Weiss et al., A Dataset of Atypical vs Normal Mitoses Classification for MIDOG 2025, Zenodo 2025, "
        "doi:10.5281/zenodo.16044804",
        mpp_um=0.25,
        counts={"all": (10189, 1748)},
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
        recognises=recognises,
        read=read,
    )
)
