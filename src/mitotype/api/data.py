"""Read, audit and download datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mitotype import datasets
from mitotype.core.schema import Cohort, join
from mitotype.datasets.audit import findings
from mitotype.datasets.audit.findings import Finding
from mitotype.datasets.download import fetch as downloads
from mitotype.datasets.download.fetch import OnProgress


def read_cohorts(data: Sequence[str], part: str = "all", mpp_um: float | None = None) -> list[Cohort]:
    """Return one part of data ("train", "test" or "all")."""
    return [cohort for source in data for cohort in datasets.read(source, part=part, mpp_um=mpp_um)]


def read_cohort(data: Sequence[str], *, part: str = "all", mpp_um: float | None = None) -> Cohort:
    """Return one part of data ("train", "test" or "all") as one cohort."""
    return join(read_cohorts(data, part, mpp_um))


def audit(data: Sequence[str]) -> list[Finding]:
    """Return duplicates, conflicting labels, cases across parts, published overlaps and the agreement of the experts."""
    return findings.audit(read_cohorts(data))


def fetch(dataset: str, folder: Path, *, on_progress: OnProgress | None = None) -> list[Path]:
    """Download a public dataset into `folder` and return its files and folders; interrupted downloads are resumed.

    `on_progress` is called with the name of a file, the bytes so far and the bytes in all (None where unknown).
    """
    return downloads.fetch(dataset, folder, on_progress=on_progress)
