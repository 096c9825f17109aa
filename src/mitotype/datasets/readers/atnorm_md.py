"""AtNorM-MD: 2,107 figures of six tumours and three scanners (MIDOG++) with votes of five experts; an external test set."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.schema import Cohort
from mitotype.datasets import fingerprints, layout
from mitotype.datasets.assemble import assemble, find_root, note_counts
from mitotype.datasets.dataset import Dataset, datasets
from mitotype.datasets.readers.amibr import BENCHMARK_SOURCE

TITLE = "AtNorM-MD"
VOTES_CSV = "AtNorM-MD_expert_votes.csv"
EXPERTS = tuple(f"Expert_{k}" for k in range(1, 6))
VOTES = {"atypical": "A", "normal": "N"}


def detect(path: Path) -> bool:
    return find_root(path, TITLE, fingerprints.table("atnorm-md")) is not None


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read the folder with Atypical/ and Normal/, or the benchmark's root. All patches for every part.

    Slides, tumours, scanners and centres are from the shipped table; 15 slides are uncertain. The csv of the votes is in the
    folder or beside it.
    """
    root = find_root(path, TITLE, None) or path
    images = layout.images_by_stem(root, TITLE)
    rows, notes = _rows(layout.find_file([root, root.resolve().parent], VOTES_CSV))
    cohort = assemble("atnorm-md", rows, images, source=root, mpp_um=mpp_um, notes=notes)
    return note_counts(cohort, DATASET.counts["all"])


def read_table(csv: Path) -> Cohort:
    """Return the cohort without images (`path` is ""), for counts, agreement and hold-out."""
    rows, notes = _rows(csv)
    return assemble("atnorm-md", rows, None, source=csv, notes=notes)


def _rows(csv: Path | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows of the shipped table as columns of a cohort, with the votes of the csv if there is one, and notes."""
    table = fingerprints.table("atnorm-md")
    rows = table[["label", "scanner", "tumour", "species"]].copy()
    rows["case_id"], rows["domain"] = fingerprints.case_ids("atnorm-md", table), table["tumour"]
    rows["x_px"], rows["y_px"] = table["x"].astype(float), table["y"].astype(float)
    if csv is None:
        return rows, (f"atnorm-md: no votes: '{VOTES_CSV}' is neither in the folder nor beside it",)
    stated = layout.read_csv(csv, ("Filename", *EXPERTS, "Majority"), what="votes of AtNorM-MD")
    stated = layout.index_rows(stated, stated["Filename"].str.removesuffix(".png"), csv)
    votes = stated[list(EXPERTS)].apply(lambda column: column.str.lower().map(VOTES))
    majority = stated["Majority"].str.lower().map(VOTES)
    count = (votes == "A").sum(axis=1)
    invalid = votes.isna().any(axis=1) | majority.isna()
    errors = ErrorCollector(max_shown=10)
    for stem in stated.index[invalid]:
        errors.add(UserError(f"'{csv}' has a vote for '{stem}' other than Normal or Atypical.", fix="fix that row"))
    for stem in stated.index[~invalid & ((count >= 3) != (majority == "A"))]:
        errors.add(UserError(f"In '{csv}' the majority of '{stem}' is not that of its votes.", fix="fix that row"))
    for stem in stated.index[~stated.index.isin(rows.index)]:
        errors.add(UserError(f"'{csv}' has '{stem}', which {TITLE} does not have.", fix="restore the published csv"))
    errors.raise_if_any()
    rows["label"] = majority.map({"A": 1.0, "N": 0.0}).reindex(rows.index).fillna(rows["label"])
    rows["votes_for"] = count.astype(float).reindex(rows.index)
    rows["votes"] = rows["votes_for"].where(rows["votes_for"].isna(), float(len(EXPERTS)))
    rows["expert_votes"] = votes.sum(axis=1).reindex(rows.index).fillna("")
    return rows, ()


DATASET = datasets.add("atnorm-md")(
    Dataset(
        title=TITLE,
        url="https://github.com/DeepMicroscopy/AMi-Br_Benchmark",
        license="MIT",
        citation="Banerjee et al., Benchmarking Deep Learning and Vision Foundation Models for Atypical vs. Normal Mitosis "
        "Classification with Cross-Dataset Evaluation, arXiv 2506.21444",
        mpp_um=0.25,
        counts={"all": (1888, 219)},
        known_overlaps=("MIDOG 2025 Track 2 holds all of it: 60 slides of MIDOG++",),
        sources=(BENCHMARK_SOURCE,),
        detect=detect,
        read=read,
        test_only=True,
    )
)
