"""AtNorM-MD: 2,107 figures of six tumours and three scanners (MIDOG++) with votes of five experts; an external test set."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mitotype.core import tables
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.run_layout.evaluation import PublishedResult
from mitotype.core.schema import Cohort
from mitotype.datasets import fingerprints, layout, published
from mitotype.datasets.assemble import add_votes, assemble, find_root
from mitotype.datasets.dataset import Dataset, Part, datasets
from mitotype.datasets.readers.amibr import BENCHMARK_SOURCE

TITLE = "AtNorM-MD"
VOTES_CSV = "AtNorM-MD_expert_votes.csv"
EXPERTS = tuple(f"Expert_{k}" for k in range(1, 6))

BEST = PublishedResult(
    title="AtNorM-MD",
    files=2107,
    balanced_accuracy=0.7723,
    auroc=0.881,
    net="Swin-B",
    auroc_net="Swin-B",
    floor_single=0.737,
    floor_balanced_accuracy=0.733,
    floor_auroc=0.803,
    source=published.BEST_SOURCE,
    floor_source=published.BASELINE_SOURCE,
)
STUDY: published.StudyTable = {  # see published.from_table
    "full": {
        "efficientnetv2-m": (6975, 277, 7604, 217, 7214, 7116, 6554, 6741, 7250),
        "swin-base": (7723, 142, 8806, 87, 7823, 7952, 7579, 7647, 7613),
        "vit-l16": (7494, 342, 8720, 117, 7778, 7408, 7249, 7051, 7984),
    },
    "probe": {
        "virchow": (5623, 235, 6184, 566),
        "virchow2": (5694, 173, 6046, 324),
        "h-optimus-0": (5821, 195, 6142, 207),
        "h-optimus-1": (5966, 317, 6462, 461),
        "gigapath": (5601, 153, 5818, 129),
        "uni": (5510, 123, 5892, 118),
        "uni2-h": (5773, 212, 6119, 357),
    },
    "lora": {
        "virchow": (7705, 287, 8641, 247, 7567, 7304, 7623, 8142, 7887),
        "virchow2": (7424, 305, 8503, 171, 7123, 7128, 7641, 7325, 7903),
        "h-optimus-0": (6549, 281, 7879, 163, 6172, 6359, 6700, 6527, 6989),
        "h-optimus-1": (7396, 202, 8389, 104, 7350, 7409, 7384, 7102, 7734),
        "gigapath": (7007, 228, 8073, 259, 7320, 6812, 6866, 7246, 6791),
        "uni": (7069, 278, 8222, 224, 6887, 7234, 6779, 7535, 6912),
        "uni2-h": (6914, 321, 7616, 415, 6889, 6635, 6750, 6759, 7535),
    },
}


def table() -> pd.DataFrame:
    """Return the shipped table. A slide has the same id in every dataset: 'MIDOG++/002.tiff'."""
    rows = fingerprints.read_table(fingerprints.TABLES / "atnorm_md.csv.gz")
    return rows.assign(case_id="MIDOG++/" + rows["slide"])


def detect(path: Path) -> bool:
    return find_root(path, TITLE, table()) is not None


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
    known = table()
    rows = known[["label", "scanner", "tumour", "species", "case_id"]].copy()
    rows["domain"], rows["x_px"], rows["y_px"] = known["tumour"], known["x"].astype(float), known["y"].astype(float)
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
        parts={
            "atnorm-md": Part(
                split="all",
                is_test_set=True,
                published=BEST,
                study=published.from_table(STUDY),
                study_source=published.STUDY_SOURCE,
            ),
        },
        fingerprints=table,
        in_benchmark=True,
        sources=(BENCHMARK_SOURCE,),
        detect=detect,
        read=read,
    )
)
