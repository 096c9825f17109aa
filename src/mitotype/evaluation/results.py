"""Results of an evaluation: the records of evaluation.json with what is not in the file, decided rows and image digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Self

import pandas as pd
from msgspec.structs import replace

from mitotype.core import records
from mitotype.core.run_layout.evaluation import EntryRecord, EvaluationRecord, PublishedResult, Variant
from mitotype.core.schema import TEST
from mitotype.scores.decision import Decision

DECIDED, HALF, MEAN_PROBABILITY = "decided", "half", "mean_probability"
SINGLE, ALL_FILES, SINGLE_ALL_FILES = "single", "all_files", "single_all_files"


class Entry(EntryRecord, frozen=True, kw_only=True, eq=False):
    """One part of a dataset with the decided `rows` behind the numbers."""

    rows: pd.DataFrame

    @property
    def headline(self) -> Variant:
        return self.variants[0]

    @property
    def files(self) -> int:
        """The number of labelled files, with repeats of an image."""
        return self.all_files.patches

    @property
    def like_for_like(self) -> Variant | None:
        """The variant to compare with published single models: single members at 0.5, over all files; None for one member."""
        return self.variant(SINGLE_ALL_FILES, SINGLE)

    @property
    def all_files(self) -> Variant:
        """The decided variant over all files."""
        return self.variant(ALL_FILES) or self.headline

    def over_domains(self, metric: str) -> tuple[float | None, float | None]:
        """Return the mean and the sample SD of a metric over the domains in which it is defined; None where there are too few."""
        values = [group.metrics[metric].value for group in self.domains]
        defined = [value for value in values if value is not None]
        return (mean(defined) if defined else None, stdev(defined) if len(defined) > 1 else None)


class Evaluation(EvaluationRecord, frozen=True, kw_only=True, eq=False):
    """The results of one evaluation. `decision` has the digests of the images that it was fitted on."""

    entries: Sequence[Entry]
    decision: Decision

    def entry(self, dataset: str, part: str = "test") -> Entry | None:
        return next((e for e in self.entries if e.dataset == dataset and e.part == part), None)

    def with_published(self, results: Mapping[str, PublishedResult]) -> Self:
        """Return the evaluation with published results, by the name of the test set: "atnorm-br", or dataset and part.

        A set with another number of files than the published one has no published results.
        """
        entries = []
        for entry in self.entries:
            result = results.get(entry.dataset) or results.get(f"{entry.dataset}-{TEST}")
            is_same = entry.part == TEST and result is not None and result.files == entry.files
            entries.append(replace(entry, published=result if is_same else None))
        return replace(self, entries=entries)

    def to_record(self) -> EvaluationRecord:
        """Return the record of evaluation.json."""
        return records.convert(self, EvaluationRecord)
