"""AtNorM-MD: 2,107 figures of six tumours and three scanners (MIDOG++) with votes of five experts; an external test set."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mitotype.core import tables
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.schema import Cohort
from mitotype.datasets import fingerprints, layout
from mitotype.datasets.assemble import add_votes, assemble, find_root
from mitotype.datasets.dataset import Dataset, datasets
from mitotype.datasets.readers.amibr import BENCHMARK_SOURCE

TITLE = "AtNorM-MD"
VOTES_CSV = "AtNorM-MD_expert_votes.csv"
EXPERTS = tuple(f"Expert_{k}" for k in range(1, 6))


def detect(path: Path) -> bool:
    return find_root(path, TITLE, fingerprints.table("atnorm-md")) is not None


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read the folder with Atypical/ and Normal/, or the benchmark's root. All patches for every part.

    Slides, tumours, scanners and centres are from the shipped table; 15 slides are uncertain. The csv of the votes is in the
    folder or beside it.
    """
    root = find_root(path, TITLE, None) or path
    images = layout.images_by_stem(root, TITLE)
    rows, notes = read_rows(layout.find_file([root, *layout.parent(root)], VOTES_CSV))
    return assemble("atnorm-md", rows, images, source=root, mpp_um=mpp_um, notes=notes)


def read_rows(csv: Path | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows of the shipped table as columns of a cohort, with the votes of the csv if there is one, and notes."""
    table = fingerprints.table("atnorm-md")
    rows = table[["label", "scanner", "tumour", "species"]].copy()
    rows["case_id"], rows["domain"] = fingerprints.case_ids("atnorm-md", table), table["tumour"]
    rows["x_px"], rows["y_px"] = table["x"].astype(float), table["y"].astype(float)
    if csv is None:
        return rows, (f"atnorm-md: no votes: '{VOTES_CSV}' is neither in the folder nor beside it",)
    stated = tables.read(csv, ("Filename", *EXPERTS, "Majority"), what="votes of AtNorM-MD")
    stated = layout.index_rows(stated, stated["Filename"].str.removesuffix(".png"), csv)
    errors = ErrorCollector(max_shown=10)
    for stem in stated.index[~stated.index.isin(rows.index)]:
        errors.add(UserError(f"'{csv}' has '{stem}', which {TITLE} does not have.", fix="restore the published csv"))
    return add_votes(rows, stated[[*EXPERTS, "Majority"]], csv, ("Normal", "Atypical"), errors), ()


datasets.add("atnorm-md")(
    Dataset(
        title=TITLE,
        url="https://github.com/DeepMicroscopy/AMi-Br_Benchmark",
        license="MIT",
        citation="Banerjee et al., Benchmarking Deep Learning and Vision Foundation Models for Atypical vs. Normal Mitosis "
        "Classification with Cross-Dataset Evaluation, arXiv 2506.21444",
        counts={"all": (1888, 219)},
        known_overlaps=("MIDOG 2025 Track 2 holds all of it: 60 slides of MIDOG++",),
        sources=(BENCHMARK_SOURCE,),
        detect=detect,
        read=read,
        test_only=True,
    )
)
