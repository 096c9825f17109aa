"""Small copies of the published layouts with real names and invented pixels and votes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mitotype.core.schema import COHORT_COLUMNS, Cohort
from mitotype.datasets import fingerprints
from mitotype.datasets.assemble import assemble
from mitotype.datasets.readers import atnorm_md, midog25, omg_octo

FOLDERS = {0.0: "Normal", 1.0: "Atypical"}
AMIBR_HEADER = "slide,dataset,uid,x,y,expert1_label,expert2_label,expert1_atypical,expert2_atypical,expert3_atypical,majority_atypical"
MIDOG_HEADER = "image_id,filename,coordinateX,coordinateY,Tumor,Scanner,Origin,Species,expert1,expert2,expert3,majority"


def write_image(path: Path, seed: int, px: int = 128) -> Path:
    """Write a smooth random RGB image; images of different seeds differ as much as two figures do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, px)).save(path)
    return path


def pixels(seed: int, px: int = 128) -> np.ndarray:
    small = np.random.default_rng(seed).integers(40, 250, (px // 4, px // 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((px, px), Image.Resampling.BICUBIC))


def some_rows(name: str, *, train: int = 0, test: int = 0) -> pd.DataFrame:
    """Return a few rows of a shipped table, both classes in each part."""
    table = fingerprints.table(name)
    if "part" not in table:
        table["part"] = "test"
    parts = []
    for part, count in (("train", train), ("test", test)):
        for label in (0.0, 1.0):
            rows = table[(table["part"] == part) & (table["label"] == label)]
            parts.append(rows.iloc[:: max(1, len(rows) // max(1, count))].head(count))
    return pd.concat(parts)


def write_class_folders(folder: Path, rows: pd.DataFrame, seed: int = 0, lower: bool = False) -> None:
    """Write images of the rows into Atypical/ and Normal/, with the hidden files that public copies contain."""
    for number, (stem, label) in enumerate(rows["label"].items()):
        name = FOLDERS[label].lower() if lower else FOLDERS[label]
        write_image(folder / name / f"{stem}.png", seed + number)
        (folder / name / ".DS_Store").write_bytes(b"\0")
        (folder / name / f"._{stem}.png").write_bytes(b"\0")


def amibr_csv(rows: pd.DataFrame) -> str:
    """Return AMI-BR.csv for the rows: atypical patches get votes True, False, True; normal ones False, True, False."""
    lines = ["," + AMIBR_HEADER]
    for number, (stem, row) in enumerate(rows.iterrows()):
        dataset, uid = str(stem).split("_")
        votes = "True,False,True,True" if row["label"] == 1 else "False,True,False,False"
        lines.append(f"{number},{row['slide']},{dataset},{uid},{100 + number},50,AMF other,NMF metaphase,{votes}")
    return "\n".join(lines) + "\n"


def split_csv(rows: pd.DataFrame) -> str:
    """Return amibr_train_split.csv: the same columns and dataset_uid, of the training rows."""
    head, *lines = amibr_csv(rows[rows["part"] == "train"]).splitlines()
    names = rows.index[rows["part"] == "train"]
    rows_text = [f"{line},{stem}.png" for line, stem in zip(lines, names, strict=True)]
    return "\n".join([f"{head},dataset_uid", *rows_text]) + "\n"


def write_benchmark(root: Path) -> Path:
    """Write the benchmark's root with AMi-Br (12 patches), AtNorM-Br (6), AtNorM-MD (8) and both csv files."""
    amibr, br, md = some_rows("amibr", train=4, test=2), some_rows("atnorm-br", test=3), some_rows("atnorm-md", test=4)
    for seed, (title, rows) in enumerate((("AMi-Br", amibr), ("AtNorM-Br", br), ("AtNorM-MD", md))):
        write_class_folders(root / title, rows, seed=100 * seed)
    (root / "amibr_train_split.csv").write_text(split_csv(amibr))
    votes = {
        1.0: "Atypical,Normal,Atypical,Atypical,Normal,Atypical",
        0.0: "Normal,Normal,Normal,Atypical,Normal,Normal",
    }
    lines = ["Filename,Expert_1,Expert_2,Expert_3,Expert_4,Expert_5,Majority"]
    lines += [f"{stem}.png,{votes[label]}" for stem, label in md["label"].items()]
    (root / "AtNorM-MD_expert_votes.csv").write_text("\n".join(lines) + "\n")
    return root


def table_cohort(dataset: str, csv: Path) -> Cohort:
    """Return the cohort of a published csv of midog25, omg-octo or atnorm-md without its images: `path` is ""."""
    rows, notes = {"midog25": midog25, "omg-octo": omg_octo, "atnorm-md": atnorm_md}[dataset].read_rows(csv)
    complete = assemble(dataset, rows, dict.fromkeys(rows.index, (csv, math.nan)), source=csv, notes=notes)
    return Cohort(complete.name, complete.rows.assign(path=""), complete.notes)


def cohort(name: str, columns: dict[str, Sequence[object]]) -> Cohort:
    """Return a cohort of the given columns, the others empty; without case_id each patch is a case."""
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


MIDOG_LINES = (
    "1.png,201.tiff,5047,459,canine lung cancer,3D Histech,VMU Vienna,Canine,NMF,NMF,,NMF",
    "2.png,002.tiff,4422,216,human breast cancer,Hamammatsu XR,UMC Utrecht,Human,AMF,AMF,NMF,NMF",
    "3.png,302.tiff,11,12,human melanoma,Hamamatsu XR,UMC Utrecht,Human,AMF,AMF,,AMF",
)


def write_midog(folder: Path, *lines: str) -> Path:
    (folder / "png").mkdir(parents=True)
    for number in (1, 2, 3):
        write_image(folder / "png" / f"{number}.png", number)
    (folder / midog25.CSV_NAME).write_text("\n".join([MIDOG_HEADER, *(lines or MIDOG_LINES)]) + "\n")
    return folder


def write_octo(folder: Path) -> Path:
    """Write OMG-Octo with three images of two slides and its csv."""
    names = ["ab_x1_y2_3_4_5_6.png", "ab_x9_y2_3_4_5_6.png", "c_x1_y1_3_4_5_6.png"]
    for seed, name in enumerate(names):
        write_image(folder / "png" / name, seed)
    rows = [f"{name},{label}" for name, label in zip(names, ("AMF", "NMF", "AMF"), strict=True)]
    (folder / "labels.csv").write_text("\n".join(["image_id,majority", *rows]) + "\n")
    return folder
