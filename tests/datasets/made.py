"""Small made copies of the published layouts: real names, invented pixels and votes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mitotype.core.words import COHORT_COLUMNS, Cohort
from mitotype.datasets import known

FOLDERS = {0.0: "Normal", 1.0: "Atypical"}
AMIBR_HEADER = "slide,dataset,uid,x,y,expert1_label,expert2_label,expert1_atypical,expert2_atypical,expert3_atypical,majority_atypical"
MIDOG_HEADER = "image_id,filename,coordinateX,coordinateY,Tumor,Scanner,Origin,Species,expert1,expert2,expert3,majority"


def picture(path: Path, seed: int, px: int = 128) -> Path:
    """A smooth random RGB picture: no two seeds alike, and neighbours in detail as different as two figures are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, px)).save(path)
    return path


def pixels(seed: int, px: int = 128) -> np.ndarray:
    small = np.random.default_rng(seed).integers(40, 250, (px // 4, px // 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((px, px), Image.Resampling.BICUBIC))


def some(name: str, *, train: int = 0, test: int = 0) -> pd.DataFrame:
    """A few rows of a shipped table, both classes in each part."""
    table = known.table(name)
    if "part" not in table:
        table["part"] = "test"
    taken = []
    for part, count in (("train", train), ("test", test)):
        for label in (0.0, 1.0):
            rows = table[(table["part"] == part) & (table["label"] == label)]
            taken.append(rows.iloc[:: max(1, len(rows) // max(1, count))].head(count))
    return pd.concat(taken)


def fill(folder: Path, rows: pd.DataFrame, seed: int = 0, lower: bool = False) -> None:
    """Pictures of the rows in Atypical/ and Normal/, with the hidden files that public copies carry."""
    for number, (stem, label) in enumerate(rows["label"].items()):
        name = FOLDERS[label].lower() if lower else FOLDERS[label]
        picture(folder / name / f"{stem}.png", seed + number)
        (folder / name / ".DS_Store").write_bytes(b"\0")
        (folder / name / f"._{stem}.png").write_bytes(b"\0")


def amibr_csv(rows: pd.DataFrame) -> str:
    """AMI-BR.csv for the rows: atypical patches get votes True, False, True; normal ones False, True, False."""
    lines = ["," + AMIBR_HEADER]
    for number, (stem, row) in enumerate(rows.iterrows()):
        dataset, uid = str(stem).split("_")
        votes = "True,False,True,True" if row["label"] == 1 else "False,True,False,False"
        lines.append(f"{number},{row['slide']},{dataset},{uid},{100 + number},50,AMF other,NMF metaphase,{votes}")
    return "\n".join(lines) + "\n"


def split_csv(rows: pd.DataFrame) -> str:
    """amibr_train_split.csv: the same columns and dataset_uid, of the training rows."""
    head, *lines = amibr_csv(rows[rows["part"] == "train"]).splitlines()
    stems = rows.index[rows["part"] == "train"]
    out = [f"{head},dataset_uid"] + [f"{line},{stem}.png" for line, stem in zip(lines, stems, strict=True)]
    return "\n".join(out) + "\n"


def benchmark(root: Path) -> Path:
    """The benchmark's root with AMi-Br (12 patches), AtNorM-Br (6), AtNorM-MD (8) and both csv files."""
    amibr, br, md = some("amibr", train=4, test=2), some("atnorm-br", test=3), some("atnorm-md", test=4)
    for seed, (title, rows) in enumerate((("AMi-Br", amibr), ("AtNorM-Br", br), ("AtNorM-MD", md))):
        fill(root / title, rows, seed=100 * seed)
    (root / "amibr_train_split.csv").write_text(split_csv(amibr))
    votes = {
        1.0: "Atypical,Normal,Atypical,Atypical,Normal,Atypical",
        0.0: "Normal,Normal,Normal,Atypical,Normal,Normal",
    }
    lines = ["Filename,Expert_1,Expert_2,Expert_3,Expert_4,Expert_5,Majority"]
    lines += [f"{stem}.png,{votes[label]}" for stem, label in md["label"].items()]
    (root / "AtNorM-MD_expert_votes.csv").write_text("\n".join(lines) + "\n")
    return root


def cohort(name: str, columns: dict[str, Sequence[object]]) -> Cohort:
    """A cohort of the given columns, the rest empty; cases are the patches where not given."""
    rows = pd.DataFrame(columns)
    for column in ("path", "domain", "scanner", "tumour", "species"):
        if column not in rows:
            rows[column] = ""
    for column in ("label", "votes_for", "votes"):
        if column not in rows:
            rows[column] = float("nan")
    rows["mpp_um"] = 0.25
    if "dataset" not in rows:
        rows["dataset"] = name
    if "case_id" not in rows:
        rows["case_id"] = rows["patch_id"]
    assert set(COHORT_COLUMNS) <= set(rows.columns)
    return Cohort(name, rows)
