"""AMi-Br: 3,720 figures of human breast cancer (MIDOG21, TUPAC16), three experts. Reads both public layouts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.words import Cohort
from mitotype.datasets import Dataset, Source, datasets, known, layout
from mitotype.datasets.published import assemble, count_note

if TYPE_CHECKING:
    import pandas as pd

TITLE = "AMi-Br"
LABELS_CSV, SPLIT_CSV = "AMI-BR.csv", "amibr_train_split.csv"
EXPERTS = ("expert1_atypical", "expert2_atypical", "expert3_atypical")
COLUMNS = ("slide", "dataset", "uid", "x", "y", "expert1_label", "expert2_label", *EXPERTS, "majority_atypical")
NAMED = re.compile(r"(MIDOG21|TUPAC16)_\d+")
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


def recognises(path: Path) -> bool:
    """By the names of the pictures (MIDOG21_6.png), or by AMI-BR.csv."""
    folder = _pictures_folder(path)
    if folder is None:
        return layout.first([path], LABELS_CSV) is not None
    firsts = (next(layout.pictures_in(place), None) for place in layout.class_folders(folder).values())
    return any(picture is not None and NAMED.fullmatch(picture.stem) for picture in firsts)


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """`path`: the benchmark's root, its folder AMi-Br, or the folder of AMI-BR.csv with patches/.

    Votes come from AMI-BR.csv (all patches) or the split's csv (training patches); the test patches of a benchmark copy
    without AMI-BR.csv have none, which is noted. Only the rows of `part` are looked at: reading the training part opens
    no test picture, nor its label.
    """
    folder = _pictures_folder(path)
    if folder is None:
        raise Mistake(
            f"'{path}' holds no {TITLE}: no folders Atypical and Normal, and no patches/ with them.",
            fix="give the folder of AMi-Br_Benchmark or of AMI-BR.csv with patches/, or: mitotype fetch amibr DIR",
        )
    table = known.table("amibr")
    labels_csv, split_csv = _csvs(path)
    notes: list[str] = []
    if split_csv is not None:
        _check_split(split_csv, table)
    pictures = {
        stem: picture
        for stem, picture in layout.by_stem(folder, TITLE).items()
        if part == "all" or stem not in table.index or table.at[stem, "part"] == part
    }
    if part != "all":
        table = table[table["part"] == part]
    rows = table[["label", "part", "slide", "domain"]].copy()
    rows["case_id"] = known.case_of("amibr", table)
    midog = rows.index.str.startswith("MIDOG21")
    rows["scanner"] = rows["domain"].where(midog, "").str.removeprefix("MIDOG21 ")
    rows["tumour"], rows["species"] = "human breast cancer", "human"
    votes_csv = labels_csv or split_csv
    rows = _with_votes(rows, votes_csv)
    unvoted = int(rows["votes"].isna().sum())
    if unvoted:
        beside = f"put {LABELS_CSV} beside the folder to have them"
        notes.append(f"amibr: {unvoted} patches come without the experts' votes; {beside}")
    cohort = assemble("amibr", rows.drop(columns="slide"), pictures, where=folder, mpp_um=mpp_um, notes=tuple(notes))
    name = "amibr" if part == "all" else f"amibr-{part}"
    return count_note(Cohort(name, cohort.rows, cohort.notes), DATASET.counts[part])


def _pictures_folder(path: Path) -> Path | None:
    """Where Atypical/ and Normal/ lie: here, in AMi-Br/ or in patches/."""
    places = [path, *(found for name in (TITLE, "patches") if (found := layout.child(path, name)))]
    inner = [found for place in places if (found := layout.child(place, "patches"))]
    return next((place for place in (*places, *inner) if len(layout.class_folders(place)) == 2), None)


def _csvs(path: Path) -> tuple[Path | None, Path | None]:
    """AMI-BR.csv and the split's csv, inside the folder, beside it, or in a folder AMi-Br beside that."""
    above = path.resolve().parent
    near = [path, above, *(found for place in (path, above) if (found := layout.child(place, TITLE)))]
    own = [place for place in (layout.child(above.parent, TITLE),) if place is not None and path.name == TITLE]
    return layout.first([*near, *own], LABELS_CSV), layout.first([path, above], SPLIT_CSV)


def _check_split(csv: Path, table: pd.DataFrame) -> None:
    rows = layout.read_csv(csv, ("dataset_uid",), what="split of AMi-Br")
    named = [name.removesuffix(".png") for name in rows["dataset_uid"]]
    strange = [name for name in named if name not in table.index]
    leaked = [name for name in named if name in table.index and table.at[name, "part"] == "test"]
    if strange:
        raise Mistake(f"'{csv}' names '{strange[0]}', which {TITLE} does not have.", fix="restore the published csv")
    if leaked:
        raise Mistake(
            f"'{csv}' puts {len(leaked)} patches in training that the published split keeps for the test "
            f"('{leaked[0]}' first).",
            fix="restore the published csv",
            code="M004",
        )


def _with_votes(rows: pd.DataFrame, csv: Path | None) -> pd.DataFrame:
    """`rows` with votes, sub-labels and centres of the csv, each row checked: majority = at least two of three votes."""
    import pandas as pd

    if csv is None:
        return rows.assign(votes=float("nan"))
    said = layout.read_csv(csv, COLUMNS, what="table of AMi-Br")
    said.index = pd.Index(said["dataset"] + "_" + said["uid"])
    trouble = Collector(show=10)
    if said.index.has_duplicates:
        twice = said.index[said.index.duplicated()][0]
        raise Mistake(f"'{csv}' has two rows for '{twice}'.", fix="restore the published csv")
    said = said.reindex(rows.index)
    found = said["slide"].notna()
    signs = pd.DataFrame(
        {expert: said.loc[found, expert].str.lower().map({"true": "A", "false": "N"}) for expert in EXPERTS}
    )
    majority = said.loc[found, "majority_atypical"].str.lower().map({"true": 1.0, "false": 0.0})
    unknown = signs.isna().any(axis=1) | majority.isna()
    count = (signs == "A").sum(axis=1).astype(float)
    for stem in majority.index[unknown]:
        trouble.add(Mistake(f"'{csv}' has a vote for '{stem}' that is neither True nor False.", fix="mend that row"))
    for stem in majority.index[~unknown & ((count >= 2) != (majority == 1))]:
        trouble.add(Mistake(f"In '{csv}' the majority of '{stem}' is not that of its votes.", fix="mend that row"))
    for stem in majority.index[said.loc[found, "slide"] != rows.loc[found, "slide"]]:
        trouble.add(Mistake(f"'{csv}' has '{stem}' on another slide than published.", fix="restore the published csv"))
    trouble.settle()
    rows = rows.copy()
    rows["label"] = rows["label"].where(~found, majority.reindex(rows.index))
    rows["votes_for"], rows["votes"] = count.reindex(rows.index), found.map({True: 3.0, False: float("nan")})
    rows["expert_votes"] = signs.sum(axis=1).reindex(rows.index).fillna("")
    for column, name in (("sub_label_1", "expert1_label"), ("sub_label_2", "expert2_label")):
        rows[column] = said[name].fillna("")
    for column, name in (("x_px", "x"), ("y_px", "y")):
        rows[column] = pd.to_numeric(said[name], errors="coerce").astype(float)
    return rows


DATASET = datasets.add("amibr")(
    Dataset(
        title=TITLE,
        url="https://github.com/DeepMicroscopy/AMi-Br_Benchmark",
        licence="MIT (AMi-Br_Benchmark); the repository AMi-Br states none",
        citation="Bertram et al., Histologic Dataset of Normal and Atypical Mitotic Figures on Human Breast Cancer "
        "(AMi-Br), BVM 2025, doi:10.1007/978-3-658-47422-5_25; split: Banerjee et al., arXiv 2506.21444",
        mpp_um=0.25,
        counts={"train": (2246, 648), "test": (642, 184), "all": (2888, 832)},
        known_overlaps=(
            "MIDOG 2025 Track 2 holds all 1,721 MIDOG21 figures of AMi-Br, 429 of them in its test part",
            "49 pairs of figures of one slide lie within 64 px of each other",
        ),
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
        recognises=recognises,
        read=read,
    )
)
