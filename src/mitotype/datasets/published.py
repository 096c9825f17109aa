"""Published results on the test sets: the best one for the report, and a benchmark's by backbone. Each dataset has its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mitotype.core.run_layout.evaluation import PublishedResult
from mitotype.core.schema import TEST
from mitotype.datasets.dataset import StudyResult, datasets, find_part, named_parts

STUDY_SOURCE = (
    "Banerjee et al., arXiv 2506.21444: read in the outputs of the study's notebooks, "
    "github.com/DeepMicroscopy/AMi-Br_Benchmark"
)
BEST_SOURCE = (
    "Banerjee et al., arXiv 2506.21444, read in the study's notebooks: "
    "the best of 17 nets on this very test set, mean of five single models"
)
BASELINE_SOURCE = (
    "shape descriptors of the central 64 px with logistic regression, five folds of the 2,894 AMi-Br training patches"
)


StudyTable = Mapping[str, Mapping[str, tuple[int, ...]]]


def from_table(table: StudyTable) -> dict[str, dict[str, StudyResult]]:
    """Return a study's results by what was trained and by backbone.

    The numbers are ten-thousandths: balanced accuracy, SD, AUROC and SD, then balanced accuracy of the models of folds 1 … 5
    where it was published.
    """

    def result(numbers: tuple[int, ...]) -> StudyResult:
        ba, ba_sd, auroc, auroc_sd, *folds = (number / 10_000 for number in numbers)
        return StudyResult(ba, ba_sd, auroc, auroc_sd, tuple(folds))

    return {trained: {net: result(numbers) for net, numbers in nets.items()} for trained, nets in table.items()}


def results() -> dict[str, PublishedResult]:
    """Return the best published result on every test set, by its name."""
    return {name: part.published for name, (_, part) in named_parts().items() if part.published}


def title(test_set: str, files: int) -> str:
    """Return the title of a test set; its name, if it is not a published one or has another number of files."""
    part = find_part(test_set, TEST)
    is_same = part is not None and part.published is not None and part.published.files == files
    return part.published.title if part and part.published and is_same else test_set


def study_result(trained: str, backbone: str, test_set: str, files: int) -> StudyResult | None:
    """Return a study's numbers for a backbone on all files of a test set; `trained` is "full", "probe" or "lora"."""
    part = find_part(test_set, TEST)
    if part is None or part.published is None or part.published.files != files:
        return None
    return part.study.get(trained, {}).get(backbone)


def study_sources(test_sets: Iterable[str]) -> list[str]:
    """Return the publications of the studies on some test sets, each once."""
    parts = (find_part(name, TEST) for name in test_sets)
    return list(dict.fromkeys(part.study_source for part in parts if part and part.study_source))


def study_backbones() -> tuple[str, ...]:
    """Return the backbones of the study on the benchmark's datasets, each once."""
    known = (datasets.get(name) for name in datasets.names())
    parts = [part for dataset in known if dataset.in_benchmark for part in dataset.parts.values()]
    return tuple(dict.fromkeys(net for part in parts for nets in part.study.values() for net in nets))
