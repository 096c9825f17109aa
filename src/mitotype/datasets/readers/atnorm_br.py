"""AtNorM-Br: 746 figures of TCGA breast cancer, an external test set without slide ids or votes."""

from __future__ import annotations

from pathlib import Path

from mitotype.core.schema import Cohort
from mitotype.datasets import fingerprints, layout
from mitotype.datasets.assemble import assemble, find_root
from mitotype.datasets.dataset import Dataset, datasets
from mitotype.datasets.readers.amibr import BENCHMARK_SOURCE

TITLE = "AtNorM-Br"
NOTES = (
    "atnorm-br: slides are unknown; case_id holds 95 pseudo-slides (segments by colour along the file number), which are "
    "good for a bootstrap only",
    "atnorm-br: 746 files are 711 distinct images; two groups of copies have contradicting labels (mitotype audit)",
)


def detect(path: Path) -> bool:
    return find_root(path, TITLE, fingerprints.table("atnorm-br")) is not None


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read the folder with Atypical/ and Normal/, or the benchmark's root. All patches for every part."""
    root = find_root(path, TITLE, None) or path
    images = layout.images_by_stem(root, TITLE)
    table = fingerprints.table("atnorm-br")
    rows = table[["label"]].copy()
    rows["case_id"] = fingerprints.case_ids("atnorm-br", table)
    rows["domain"], rows["tumour"], rows["species"] = "TCGA breast cancer", "human breast cancer", "human"
    return assemble("atnorm-br", rows, images, source=root, mpp_um=mpp_um, notes=NOTES)


datasets.add("atnorm-br")(
    Dataset(
        title=TITLE,
        url="https://github.com/DeepMicroscopy/AMi-Br_Benchmark",
        license="MIT",
        citation="Banerjee et al., Benchmarking Deep Learning and Vision Foundation Models for Atypical vs. Normal Mitosis "
        "Classification with Cross-Dataset Evaluation, arXiv 2506.21444",
        counts={"all": (618, 128)},
        sources=(BENCHMARK_SOURCE,),
        detect=detect,
        read=read,
        test_only=True,
    )
)
