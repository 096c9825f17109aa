"""Published results on the same test sets, and a baseline that any model should pass. Each number with its source."""

from __future__ import annotations

from dataclasses import dataclass

from mitotype.core.run_layout.evaluation import PublishedResult

BENCHMARK = (
    "Banerjee et al., arXiv 2506.21444, read in the study's notebooks: "
    "the best of 17 nets on this very test set, mean of five single models"
)
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
    """Mean and population SD over five fold models, each evaluated at 0.5 on all files of a test set.

    `fold_balanced_accuracy` are the models of folds 1 … 5; those of linear probes were not collected and are left out.
    """

    balanced_accuracy: float
    balanced_accuracy_sd: float
    auroc: float
    auroc_sd: float
    fold_balanced_accuracy: tuple[float, ...] = ()


STUDY_SOURCE = (
    "Banerjee et al., arXiv 2506.21444: read in the outputs of the study's notebooks, "
    "github.com/DeepMicroscopy/AMi-Br_Benchmark"
)
STUDY_SETS = ("amibr", "atnorm-br", "atnorm-md")
# As printed by the study's notebooks, by what was trained and the name of the backbone: of each test set balanced accuracy, SD,
# AUROC and SD, in ten-thousandths.
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

# Balanced accuracy of the models of folds 1 … 5 on each test set, from the same notebooks.
STUDY_FOLDS: dict[tuple[str, str], tuple[tuple[int, ...], ...]] = {
    ("full", "efficientnetv2-m"): ((7474, 7423, 7276, 7415, 7781), (7155, 7484, 7443, 7042, 7291), (7214, 7116, 6554, 6741, 7250)),
    ("full", "swin-base"): ((8235, 8141, 7972, 7882, 8031), (7660, 7943, 7801, 7802, 7552), (7823, 7952, 7579, 7647, 7613)),
    ("full", "vit-l16"): ((8212, 7630, 7696, 7720, 8239), (7985, 7698, 7674, 7472, 8108), (7778, 7408, 7249, 7051, 7984)),
    ("lora", "virchow"): ((7580, 7704, 7895, 8316, 7894), (7552, 7426, 7928, 7912, 7662), (7567, 7304, 7623, 8142, 7887)),
    ("lora", "virchow2"): ((7914, 8100, 8135, 8367, 8162), (7455, 7490, 7942, 7767, 7507), (7123, 7128, 7641, 7325, 7903)),
    ("lora", "h-optimus-0"): ((7599, 7933, 7824, 7766, 8107), (6703, 7022, 7611, 6573, 7313), (6172, 6359, 6700, 6527, 6989)),
    ("lora", "h-optimus-1"): ((7875, 7854, 7622, 7824, 7638), (7234, 7845, 7572, 8112, 7529), (7350, 7409, 7384, 7102, 7734)),
    ("lora", "gigapath"): ((7750, 7501, 7677, 7443, 7637), (7245, 6983, 6920, 7450, 7717), (7320, 6812, 6866, 7246, 6791)),
    ("lora", "uni"): ((8069, 7793, 7995, 7923, 7979), (7188, 7153, 7178, 7553, 6840), (6887, 7234, 6779, 7535, 6912)),
    ("lora", "uni2-h"): ((7176, 7021, 7025, 7118, 7351), (7087, 7226, 7508, 7436, 7249), (6889, 6635, 6750, 6759, 7535)),
}  # fmt: skip


def study_result(trained: str, backbone: str, dataset: str, part: str, files: int) -> StudyResult | None:
    """Return the benchmark's numbers for a backbone on a test set; `trained` is "full", "probe" or "lora". None without."""
    if (trained, backbone) not in STUDY or published_result(dataset, part, files) is None:
        return None
    number = STUDY_SETS.index(dataset.removesuffix("-test"))
    ba, ba_sd, auroc, auroc_sd = (value / 10_000 for value in STUDY[trained, backbone][4 * number : 4 * number + 4])
    folds = STUDY_FOLDS.get((trained, backbone), ((),) * len(STUDY_SETS))[number]
    return StudyResult(ba, ba_sd, auroc, auroc_sd, tuple(value / 10_000 for value in folds))


def study_backbones() -> tuple[str, ...]:
    """Return the backbones of the benchmark, each once."""
    return tuple(dict.fromkeys(backbone for _, backbone in STUDY))
