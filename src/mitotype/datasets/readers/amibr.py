"""AMi-Br: 3,720 figures of human breast cancer (MIDOG21, TUPAC16) with votes of three experts. Reads both public layouts."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from mitotype.core import tables
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.run_layout.evaluation import PublishedResult
from mitotype.core.schema import Cohort
from mitotype.datasets import fingerprints, layout, published
from mitotype.datasets.assemble import add_votes, assemble
from mitotype.datasets.dataset import Dataset, Part, Source, datasets

TITLE = "AMi-Br"
LABELS_CSV, SPLIT_CSV = "AMI-BR.csv", "amibr_train_split.csv"
EXPERTS = ("expert1_atypical", "expert2_atypical", "expert3_atypical")
COLUMNS = ("slide", "dataset", "uid", "x", "y", "expert1_label", "expert2_label", *EXPERTS, "majority_atypical")
STEM = re.compile(r"(MIDOG21|TUPAC16)_\d+")
REPOSITORY = "https://codeload.github.com/DeepMicroscopy/AMi-Br_Benchmark/zip/"
BENCHMARK_SOURCE = Source(
    urls=(f"{REPOSITORY}3acf4dad", f"{REPOSITORY}refs/heads/main"),
    save_as="AMi-Br_Benchmark",
    unpack=True,
    strip=1,
    members=(
        (SPLIT_CSV, "55b9e82113bea36da10461f6c4be3c8c7e920be86176d7def527507c1d9ec3e1"),
        ("AtNorM-MD_expert_votes.csv", "363db789f5d1814be676d701d89646631703dc963b7f28b8f2c4db76eb543193"),
    ),
)

BEST = PublishedResult(
    title="AMi-Br test",
    files=826,
    balanced_accuracy=0.8135,
    auroc=0.903,
    net="Virchow2, LoRA",
    auroc_net="Swin-B",
    floor_single=0.781,
    floor_balanced_accuracy=0.788,
    floor_auroc=0.865,
    source=published.BEST_SOURCE,
    floor_source=published.BASELINE_SOURCE,
)
STUDY: published.StudyTable = {  # see published.from_table
    "full": {
        "efficientnetv2-m": (7474, 167, 8315, 168, 7474, 7423, 7276, 7415, 7781),
        "swin-base": (8052, 124, 9029, 112, 8235, 8141, 7972, 7882, 8031),
        "vit-l16": (7899, 268, 8872, 107, 8212, 7630, 7696, 7720, 8239),
    },
    "probe": {
        "virchow": (6029, 132, 6520, 168),
        "virchow2": (6089, 192, 6637, 214),
        "h-optimus-0": (6319, 153, 6801, 181),
        "h-optimus-1": (5943, 132, 6518, 152),
        "gigapath": (6091, 140, 6569, 132),
        "uni": (6339, 189, 6949, 275),
        "uni2-h": (6220, 95, 6765, 157),
    },
    "lora": {
        "virchow": (7878, 250, 8891, 150, 7580, 7704, 7895, 8316, 7894),
        "virchow2": (8135, 145, 9026, 51, 7914, 8100, 8135, 8367, 8162),
        "h-optimus-0": (7846, 169, 8721, 148, 7599, 7933, 7824, 7766, 8107),
        "h-optimus-1": (7762, 110, 8611, 83, 7875, 7854, 7622, 7824, 7638),
        "gigapath": (7602, 113, 8682, 122, 7750, 7501, 7677, 7443, 7637),
        "uni": (7952, 92, 8839, 59, 8069, 7793, 7995, 7923, 7979),
        "uni2-h": (7138, 121, 8153, 211, 7176, 7021, 7025, 7118, 7351),
    },
}


def table() -> pd.DataFrame:
    """Return the shipped table. A slide has the same id in every dataset: 'MIDOG++/002.tiff'."""
    rows = fingerprints.read_table(fingerprints.TABLES / "amibr.csv.gz")
    origin = rows.index.str.split("_").str[0]
    return rows.assign(
        case_id=origin.map({"MIDOG21": "MIDOG++/", "TUPAC16": "TUPAC16/"}) + rows["slide"],
        part=rows["fold_study"].isna().map({True: "test", False: "train"}),
    )


def detect(path: Path) -> bool:
    """Return whether the images have AMi-Br's names (MIDOG21_6.png), or AMI-BR.csv is present."""
    root = _root(path)
    if root is None:
        return layout.find_file([path], LABELS_CSV) is not None
    first = [next(layout.iter_images(folder), None) for folder in layout.class_folders(root).values()]
    return any(image is not None and STEM.fullmatch(image.stem) for image in first)


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read the benchmark's root, its folder AMi-Br, or the folder of AMI-BR.csv with patches/.

    Votes are from AMI-BR.csv (all patches) or the csv of the split (training patches); the test patches of a benchmark copy
    without AMI-BR.csv have no votes, which is noted. Only the rows of `part` are used: reading the training part opens no
    image and no label of the test part.
    """
    root = _root(path)
    if root is None:
        raise UserError(
            f"'{path}' holds no {TITLE}: no folders Atypical and Normal, and no patches/ with them.",
            fix="give the folder of AMi-Br_Benchmark or of AMI-BR.csv with patches/, or: mitotype fetch amibr DIR",
        )
    known = table()
    labels_csv, split_csv = _csvs(path)
    if split_csv is not None:
        _check_split(split_csv, known)
    images = layout.images_by_stem(root, TITLE)
    if part != "all":
        other = known.index[known["part"] != part]
        images = {stem: image for stem, image in images.items() if stem not in other}
        known = known[known["part"] == part]
    rows = known[["label", "part", "slide", "domain", "case_id"]].copy()
    rows["scanner"] = rows["domain"].where(rows.index.str.startswith("MIDOG21"), "").str.removeprefix("MIDOG21 ")
    rows["tumour"], rows["species"] = "human breast cancer", "human"
    rows = _with_votes(rows, labels_csv or split_csv)
    unvoted = int(rows["votes"].isna().sum())
    note = f"amibr: {unvoted} patches have no experts' votes; put {LABELS_CSV} beside the folder to add them"
    notes = (note,) if unvoted else ()
    return assemble("amibr", rows.drop(columns="slide"), images, source=root, part=part, mpp_um=mpp_um, notes=notes)


def _root(path: Path) -> Path | None:
    """Return the folder of Atypical/ and Normal/: `path`, AMi-Br/ or patches/."""
    folders = [path, *_children([path], TITLE), *_children([path], "patches")]
    folders += _children(folders, "patches")
    return next((folder for folder in folders if len(layout.class_folders(folder)) == 2), None)


def _children(folders: list[Path], name: str) -> list[Path]:
    return [child for folder in folders if (child := layout.find_child(folder, name))]


def _csvs(path: Path) -> tuple[Path | None, Path | None]:
    """Return AMI-BR.csv and the csv of the split: inside the folder, beside it, or in a folder AMi-Br beside that."""
    around = [path, *layout.parent(path)]
    folders = [*around, *_children(around, TITLE)]
    if path.name == TITLE:
        folders += _children(layout.parent(path.resolve().parent), TITLE)
    return layout.find_file(folders, LABELS_CSV), layout.find_file(around, SPLIT_CSV)


def _check_split(csv: Path, table: pd.DataFrame) -> None:
    names = tables.read(csv, ("dataset_uid",), what="split of AMi-Br")["dataset_uid"].str.removesuffix(".png")
    unknown = names[~names.isin(table.index)]
    leaked = names[names.isin(table.index[table["part"] == "test"])]
    fix = "restore the published csv"
    if len(unknown):
        raise UserError(f"'{csv}' has '{unknown.iloc[0]}', which {TITLE} does not have.", fix=fix)
    if len(leaked):
        message = f"'{csv}' has {len(leaked)} training patches that are test patches of the published split ('{leaked.iloc[0]}' first)."
        raise UserError(message, fix=fix, code="M004")


def _with_votes(rows: pd.DataFrame, csv: Path | None) -> pd.DataFrame:
    """Return `rows` with the votes, sub-labels and centres of the csv; the majority must be that of the three votes."""
    if csv is None:
        return rows.assign(votes=float("nan"))
    table = tables.read(csv, COLUMNS, numbers=("x", "y"), what="table of AMi-Br")
    table = layout.index_rows(table, table["dataset"] + "_" + table["uid"], csv).reindex(rows.index)
    stated = table[table["slide"].notna()]
    errors = ErrorCollector(max_shown=10)
    for stem in stated.index[stated["slide"] != rows.loc[stated.index, "slide"]]:
        errors.add(UserError(f"'{csv}' has '{stem}' on another slide than published.", fix="restore the published csv"))
    rows = add_votes(rows, stated[[*EXPERTS, "majority_atypical"]], csv, ("False", "True"), errors)
    return rows.assign(
        sub_label_1=table["expert1_label"].fillna(""),
        sub_label_2=table["expert2_label"].fillna(""),
        x_px=table["x"],
        y_px=table["y"],
    )


datasets.add("amibr")(
    Dataset(
        title=TITLE,
        url="https://github.com/DeepMicroscopy/AMi-Br_Benchmark",
        license="MIT (AMi-Br_Benchmark); the repository AMi-Br states none",
        citation="Bertram et al., Histologic Dataset of Normal and Atypical Mitotic Figures on Human Breast Cancer "
        "(AMi-Br), BVM 2025, doi:10.1007/978-3-658-47422-5_25; split: Banerjee et al., arXiv 2506.21444",
        counts={"train": (2246, 648), "test": (642, 184), "all": (2888, 832)},
        known_overlaps=(
            "MIDOG 2025 Track 2 holds all 1,721 MIDOG21 figures of AMi-Br, 429 of them in its test part",
            "49 pairs of figures of one slide lie within 64 px of each other",
        ),
        parts={
            "amibr-train": Part(split="train"),
            "amibr-test": Part(
                split="test",
                is_test_set=True,
                published=BEST,
                study=published.from_table(STUDY),
                study_source=published.STUDY_SOURCE,
            ),
        },
        fingerprints=table,
        in_benchmark=True,
        sources=(
            BENCHMARK_SOURCE,
            Source(
                urls=(
                    "https://raw.githubusercontent.com/DeepMicroscopy/AMi-Br/20a217b3/AMI-BR.csv",
                    "https://raw.githubusercontent.com/DeepMicroscopy/AMi-Br/main/AMI-BR.csv",
                ),
                save_as="AMi-Br/AMI-BR.csv",
                sha256="49eb286b4b45f524f34ee2655c4d2e8f1e0c94618424a59b30ff7412fea77690",
            ),
        ),
        detect=detect,
        read=read,
    )
)
