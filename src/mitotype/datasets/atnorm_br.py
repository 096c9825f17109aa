"""AtNorM-Br: 746 figures of TCGA breast cancer, an external test set without slide ids or votes."""

from __future__ import annotations

from pathlib import Path

from mitotype.core.words import Cohort
from mitotype.datasets import Dataset, datasets, known, layout
from mitotype.datasets.amibr import BENCHMARK_SOURCE
from mitotype.datasets.published import assemble, count_note, own_folder

TITLE = "AtNorM-Br"
PSEUDO = (
    "atnorm-br: slides are unknown; case_id holds 95 pseudo-slides (segments by colour along the file number), which serve "
    "a bootstrap and nothing else"
)
TWICE = "atnorm-br: 746 files are 711 distinct pictures; two groups of copies contradict themselves (mitotype audit)"


def recognises(path: Path) -> bool:
    return own_folder(path, TITLE, known.table("atnorm-br")) is not None


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """`path`: the folder with Atypical/ and Normal/, or the benchmark's root. The whole set in every part."""
    folder = own_folder(path, TITLE, None) or path
    pictures = layout.by_stem(folder, TITLE)
    table = known.table("atnorm-br")
    rows = table[["label"]].copy()
    rows["case_id"] = known.case_of("atnorm-br", table)
    rows["domain"], rows["tumour"], rows["species"] = "TCGA breast cancer", "human breast cancer", "human"
    cohort = assemble("atnorm-br", rows, pictures, where=folder, mpp_um=mpp_um, notes=(PSEUDO, TWICE))
    return count_note(cohort, DATASET.counts["all"])


DATASET = datasets.add("atnorm-br")(
    Dataset(
        title=TITLE,
        url="https://github.com/DeepMicroscopy/AMi-Br_Benchmark",
        licence="MIT",
        citation="Banerjee et al., Benchmarking Deep Learning and Vision Foundation Models for Atypical vs. Normal Mitosis "
        "Classification with Cross-Dataset Evaluation, arXiv 2506.21444",
        mpp_um=0.25,
        counts={"all": (618, 128)},
        known_overlaps=(),
        sources=(BENCHMARK_SOURCE,),
        recognises=recognises,
        read=read,
        test_only=True,
    )
)
