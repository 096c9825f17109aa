"""What others reached on the same test sets, and the floor that any model should pass. Each number with its source."""

from __future__ import annotations

from dataclasses import dataclass

BENCHMARK = "Banerjee et al., arXiv 2506.21444: the best of 17 nets on this very test set, mean of five single models"
FLOOR = (
    "shape descriptors of the central 64 px with logistic regression, five folds of the 2,894 AMi-Br training patches"
)


@dataclass(frozen=True)
class Published:
    """The published best and the floor on one test set: balanced accuracy at 0.5 and AUROC, over all `files`.

    `floor_single` is the mean of five single models, as the published best is; `floor_*` are of the mean of the five.
    """

    title: str
    files: int
    balanced_accuracy: float
    auroc: float
    net: str
    auroc_net: str
    floor_single: float
    floor_balanced_accuracy: float
    floor_auroc: float


PUBLISHED = {
    "amibr": Published("AMi-Br test", 826, 0.8135, 0.903, "Virchow2, LoRA", "Swin-B", 0.781, 0.788, 0.865),
    "atnorm-br": Published("AtNorM-Br", 746, 0.7788, 0.871, "ViT-L", "ViT-L", 0.783, 0.788, 0.858),
    "atnorm-md": Published("AtNorM-MD", 2107, 0.7723, 0.881, "Swin-B", "Swin-B", 0.737, 0.733, 0.803),
}


def published(dataset: str, part: str, files: int) -> Published | None:
    """The numbers for a test set, known by its name and its number of files; None for any other, or part of one."""
    found = PUBLISHED.get(dataset.removesuffix("-test")) if part == "test" else None
    return found if found is not None and found.files == files else None
