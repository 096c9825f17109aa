"""AtNorM-Br: 746 figures of TCGA breast cancer, an external test set without slide ids or votes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mitotype.core.run_layout.evaluation import PublishedResult
from mitotype.core.schema import Cohort
from mitotype.datasets import fingerprints, layout, published
from mitotype.datasets.assemble import assemble, find_root
from mitotype.datasets.dataset import Dataset, Part, datasets
from mitotype.datasets.readers.amibr import BENCHMARK_SOURCE

TITLE = "AtNorM-Br"
NOTES = (
    "atnorm-br: slides are unknown; case_id holds 95 pseudo-slides (segments by colour along the file number), which are "
    "good for a bootstrap only",
    "atnorm-br: 746 files are 711 distinct images; two groups of copies have contradicting labels (mitotype audit)",
)

BEST = PublishedResult(
    title="AtNorM-Br",
    files=746,
    balanced_accuracy=0.7788,
    auroc=0.871,
    net="ViT-L",
    auroc_net="ViT-L",
    floor_single=0.783,
    floor_balanced_accuracy=0.788,
    floor_auroc=0.858,
    source=published.BEST_SOURCE,
    floor_source=published.BASELINE_SOURCE,
)
STUDY: published.StudyTable = {  # see published.from_table
    "full": {
        "efficientnetv2-m": (7283, 168, 8110, 84, 7155, 7484, 7443, 7042, 7291),
        "swin-base": (7752, 134, 8683, 113, 7660, 7943, 7801, 7802, 7552),
        "vit-l16": (7788, 229, 8710, 75, 7985, 7698, 7674, 7472, 8108),
    },
    "probe": {
        "virchow": (5969, 155, 6733, 266),
        "virchow2": (6236, 296, 6795, 344),
        "h-optimus-0": (6369, 147, 7090, 163),
        "h-optimus-1": (6271, 168, 6777, 275),
        "gigapath": (6005, 91, 6323, 125),
        "uni": (6406, 339, 7028, 310),
        "uni2-h": (6482, 214, 7059, 230),
    },
    "lora": {
        "virchow": (7696, 198, 8540, 200, 7552, 7426, 7928, 7912, 7662),
        "virchow2": (7632, 190, 8579, 117, 7455, 7490, 7942, 7767, 7507),
        "h-optimus-0": (7044, 383, 7921, 271, 6703, 7022, 7611, 6573, 7313),
        "h-optimus-1": (7658, 298, 8524, 100, 7234, 7845, 7572, 8112, 7529),
        "gigapath": (7263, 296, 8077, 184, 7245, 6983, 6920, 7450, 7717),
        "uni": (7183, 226, 7979, 142, 7188, 7153, 7178, 7553, 6840),
        "uni2-h": (7301, 152, 8228, 143, 7087, 7226, 7508, 7436, 7249),
    },
}


def table() -> pd.DataFrame:
    """Return the shipped table with pseudo-slides as cases."""
    rows = fingerprints.read_table(fingerprints.TABLES / "atnorm_br.csv.gz")
    return rows.assign(case_id="AtNorM-Br/" + rows["pseudo_slide"])


def detect(path: Path) -> bool:
    return find_root(path, TITLE, table()) is not None


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read the folder with Atypical/ and Normal/, or the benchmark's root. All patches for every part."""
    root = find_root(path, TITLE, None) or path
    images = layout.images_by_stem(root, TITLE)
    rows = table()[["label", "case_id"]].copy()
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
        parts={
            "atnorm-br": Part(
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
