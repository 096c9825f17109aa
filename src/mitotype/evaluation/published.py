"""Published results on the same test sets, and a baseline that any model should pass. Each number with its source."""

from __future__ import annotations

from dataclasses import dataclass

from mitotype.core.run_layout.evaluation import PublishedResult

BENCHMARK = "Banerjee et al., arXiv 2506.21444: the best of 17 nets on this very test set, mean of five single models"
BASELINE = (
    "shape descriptors of the central 64 px with logistic regression, five folds of the 2,894 AMi-Br training patches"
)


PUBLISHED = {
    "amibr": PublishedResult("AMi-Br test", 826, 0.8135, 0.903, "Virchow2, LoRA", "Swin-B", 0.781, 0.788, 0.865),
    "atnorm-br": PublishedResult("AtNorM-Br", 746, 0.7788, 0.871, "ViT-L", "ViT-L", 0.783, 0.788, 0.858),
    "atnorm-md": PublishedResult("AtNorM-MD", 2107, 0.7723, 0.881, "Swin-B", "Swin-B", 0.737, 0.733, 0.803),
}


def published_result(dataset: str, part: str, files: int) -> PublishedResult | None:
    """Return the numbers for a test set, identified by its name and its number of files; None for any other."""
    result = PUBLISHED.get(dataset.removesuffix("-test")) if part == "test" else None
    return result if result is not None and result.files == files else None


@dataclass(frozen=True)
class StudyResult:
    """Mean and population SD over five fold models, each evaluated at 0.5 on all files of a test set."""

    balanced_accuracy: float
    balanced_accuracy_sd: float
    auroc: float
    auroc_sd: float


STUDY_SOURCE = "Banerjee et al., arXiv 2506.21444, Table 1"
STUDY_SETS = ("amibr", "atnorm-br", "atnorm-md")
# Table 1 of the benchmark, by what was trained and the name of the backbone: of each test set balanced accuracy, SD, AUROC
# and SD, in ten-thousandths.
STUDY: dict[tuple[str, str], tuple[int, ...]] = {
    ("full", "efficientnetv2-m"): (7474, 167, 8315, 168, 7283, 168, 8110, 84, 6975, 277, 7604, 217),
    ("full", "swin-base"): (8052, 124, 9029, 112, 7752, 134, 8683, 113, 7723, 142, 8806, 87),
    ("full", "vit-l16"): (7899, 268, 8872, 107, 7788, 229, 8710, 75, 7494, 342, 8720, 117),
    ("probe", "virchow"): (6029, 132, 6520, 168, 5969, 155, 6733, 266, 5623, 235, 6184, 566),
    ("probe", "virchow2"): (6089, 192, 6637, 214, 6236, 296, 6795, 344, 5694, 173, 6046, 324),
    ("probe", "h-optimus-0"): (6319, 153, 6801, 181, 6369, 147, 7090, 163, 5821, 195, 6142, 207),
    ("probe", "h-optimus-1"): (5943, 132, 6518, 152, 6271, 168, 6777, 275, 5966, 317, 6462, 461),
    ("probe", "gigapath"): (6091, 140, 6569, 132, 6005, 91, 6323, 125, 5601, 153, 5818, 129),
    ("probe", "uni"): (6339, 189, 6949, 275, 6406, 339, 7028, 310, 5510, 123, 5892, 118),
    ("probe", "uni2-h"): (6220, 95, 6765, 157, 6482, 214, 7059, 230, 5773, 212, 6119, 357),
    ("lora", "virchow"): (7878, 250, 8891, 150, 7696, 198, 8540, 200, 7705, 287, 8641, 247),
    ("lora", "virchow2"): (8135, 145, 9026, 51, 7632, 190, 8579, 117, 7424, 305, 8503, 171),
    ("lora", "h-optimus-0"): (7846, 169, 8721, 148, 7044, 383, 7921, 271, 6549, 281, 7879, 163),
    ("lora", "h-optimus-1"): (7762, 110, 8611, 83, 7658, 298, 8524, 100, 7396, 202, 8389, 104),
    ("lora", "gigapath"): (7602, 113, 8682, 122, 7263, 296, 8077, 184, 7007, 228, 8073, 259),
    ("lora", "uni"): (7952, 92, 8839, 59, 7183, 226, 7979, 142, 7069, 278, 8222, 224),
    ("lora", "uni2-h"): (7138, 121, 8153, 211, 7301, 152, 8228, 143, 6914, 321, 7616, 415),
}  # fmt: skip


def study_result(trained: str, backbone: str, dataset: str, part: str, files: int) -> StudyResult | None:
    """Return the benchmark's numbers for a backbone on a test set; `trained` is "full", "probe" or "lora". None without."""
    if (trained, backbone) not in STUDY or published_result(dataset, part, files) is None:
        return None
    start = 4 * STUDY_SETS.index(dataset.removesuffix("-test"))
    return StudyResult(*(value / 10_000 for value in STUDY[trained, backbone][start : start + 4]))


def study_backbones() -> tuple[str, ...]:
    """Return the backbones of the benchmark, each once."""
    return tuple(dict.fromkeys(backbone for _, backbone in STUDY))
