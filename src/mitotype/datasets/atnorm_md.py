"""AtNorM-MD: 2,107 figures of six tumours and three scanners (MIDOG++), five experts; an external test set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.words import Cohort
from mitotype.datasets import Dataset, datasets, known, layout
from mitotype.datasets.amibr import BENCHMARK_SOURCE
from mitotype.datasets.published import assemble, count_note, own_folder

if TYPE_CHECKING:
    import pandas as pd

TITLE = "AtNorM-MD"
VOTES_CSV = "AtNorM-MD_expert_votes.csv"
EXPERTS = tuple(f"Expert_{k}" for k in range(1, 6))
SIGNS = {"atypical": "A", "normal": "N"}


def recognises(path: Path) -> bool:
    return own_folder(path, TITLE, known.table("atnorm-md")) is not None


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """`path`: the folder with Atypical/ and Normal/, or the benchmark's root. The whole set in every part.

    Slides, tumours, scanners and centres are those of the shipped table; 15 slides are uncertain. The votes lie in the
    folder or beside it.
    """
    folder = own_folder(path, TITLE, None) or path
    pictures = layout.by_stem(folder, TITLE)
    votes_csv = layout.first([folder, folder.resolve().parent], VOTES_CSV)
    rows, notes = table_rows(votes_csv)
    cohort = assemble("atnorm-md", rows, pictures, where=folder, mpp_um=mpp_um, notes=notes)
    return count_note(cohort, DATASET.counts["all"])


def read_votes(csv: Path) -> Cohort:
    """The table without its pictures (`path` is ""): for counts, agreement and hold-out."""
    rows, notes = table_rows(csv)
    return assemble("atnorm-md", rows, None, where=csv, notes=notes)


def table_rows(votes_csv: Path | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The shipped table's rows in a cohort's words, with the votes of the csv where there is one."""
    table = known.table("atnorm-md")
    rows = table[["label", "scanner", "tumour", "species"]].copy()
    rows["case_id"], rows["domain"] = known.case_of("atnorm-md", table), table["tumour"]
    rows["x_px"], rows["y_px"] = table["x"].astype(float), table["y"].astype(float)
    if votes_csv is None:
        return rows, (f"atnorm-md: no votes: '{VOTES_CSV}' lies neither in the folder nor beside it",)
    said = layout.read_csv(votes_csv, ("Filename", *EXPERTS, "Majority"), what="votes of AtNorM-MD")
    said.index = said["Filename"].str.removesuffix(".png")
    trouble = Collector(show=10)
    if said.index.has_duplicates:
        twice = said.index[said.index.duplicated()][0]
        raise Mistake(f"'{votes_csv}' has two rows for '{twice}'.", fix="restore the published csv")
    signs = said[list(EXPERTS)].apply(lambda column: column.str.lower().map(SIGNS))
    majority = said["Majority"].str.lower().map(SIGNS)
    count = (signs == "A").sum(axis=1)
    strange = signs.isna().any(axis=1) | majority.isna()
    for stem in said.index[strange]:
        trouble.add(
            Mistake(f"'{votes_csv}' has for '{stem}' a vote other than Normal or Atypical.", fix="mend that row")
        )
    for stem in said.index[~strange & ((count >= 3) != (majority == "A"))]:
        trouble.add(
            Mistake(f"In '{votes_csv}' the majority of '{stem}' is not that of its votes.", fix="mend that row")
        )
    for stem in said.index[~said.index.isin(rows.index)]:
        trouble.add(
            Mistake(f"'{votes_csv}' names '{stem}', which {TITLE} does not have.", fix="restore the published csv")
        )
    trouble.settle()
    rows["label"] = majority.map({"A": 1.0, "N": 0.0}).reindex(rows.index).fillna(rows["label"])
    rows["votes_for"] = count.astype(float).reindex(rows.index)
    rows["votes"] = rows["votes_for"].where(rows["votes_for"].isna(), float(len(EXPERTS)))
    rows["expert_votes"] = signs.sum(axis=1).reindex(rows.index).fillna("")
    return rows, ()


DATASET = datasets.add("atnorm-md")(
    Dataset(
        title=TITLE,
        url="https://github.com/DeepMicroscopy/AMi-Br_Benchmark",
        licence="MIT",
        citation="Banerjee et al., Benchmarking Deep Learning and Vision Foundation Models for Atypical vs. Normal Mitosis "
        "Classification with Cross-Dataset Evaluation, arXiv 2506.21444",
        mpp_um=0.25,
        counts={"all": (1888, 219)},
        known_overlaps=("MIDOG 2025 Track 2 holds all of it: 60 slides of MIDOG++",),
        sources=(BENCHMARK_SOURCE,),
        recognises=recognises,
        read=read,
        test_only=True,
    )
)
