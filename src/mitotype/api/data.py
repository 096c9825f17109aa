"""Read, audit, download and generate datasets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast, overload

from mitotype import datasets
from mitotype.api.progress import Progress
from mitotype.core import html_text
from mitotype.core.cpu_limit import use_threads
from mitotype.core.schema import Cohort, join
from mitotype.datasets.audit import findings
from mitotype.datasets.audit.findings import Finding
from mitotype.datasets.download import fetch as downloads
from mitotype.datasets.readers import folder as folders
from mitotype.datasets.synthesis import cohort as synthesis

if TYPE_CHECKING:
    import pandas as pd

Source: TypeAlias = "str | os.PathLike[str] | pd.DataFrame | Cohort"
Data: TypeAlias = "Source | Iterable[Source]"


def as_sources(data: Data) -> list[Source]:
    """Return the paths, data frames and cohorts in what the caller gave, which may be a single one."""
    if isinstance(data, str | os.PathLike | Cohort) or hasattr(data, "columns"):
        return [cast(Source, data)]
    return list(data)


def source_names(data: Data) -> list[str]:
    """Return each source as run.json stores it: a path as it was given, a data frame and a cohort by its size."""
    return [
        os.fspath(source) if isinstance(source, str | os.PathLike) else f"{len(source)} rows in memory"
        for source in as_sources(data)
    ]


def read_cohorts(data: Data, part: str = "all", mpp_um: float | None = None) -> list[Cohort]:
    """Return one part of data ("train", "test" or "all"), one cohort or several for each source."""
    return [cohort for source in as_sources(data) for cohort in _read(source, part, mpp_um)]


def _read(source: Source, part: str, mpp_um: float | None) -> list[Cohort]:
    if isinstance(source, str | os.PathLike):
        return datasets.read(os.fspath(source), part=part, mpp_um=mpp_um)
    cohort = source if isinstance(source, Cohort) else folders.read_frame(source, "rows", mpp_um)
    if part != "all" and "part" in cohort.rows and cohort.rows["part"].isin(("train", "test")).all():
        cohort = cohort.take(cohort.rows["part"] == part)
    return [cohort]


def read_cohort(data: Data, *, part: str = "all", mpp_um: float | None = None) -> Cohort:
    """Read data as one table of patches.

    Parameters
    ----------
    data : str, Path, DataFrame, Cohort, or several of these
        A folder, a csv with the column ``path``, ``NAME=PATH`` for a published dataset, or a data frame with the columns of
        such a csv: ``path``, and optionally ``label`` (atypical or 1, normal or 0), ``case_id``, ``votes_for``, ``votes``,
        ``domain``, ``scanner``, ``tumour``, ``species``, ``mpp_um``, ``page``.
    part : {"all", "train", "test"}, default "all"
        Part of a published split. A dataset without one has all its patches in each part.
    mpp_um : float, optional
        The µm/px of the images where it is not stated and not 0.25.

    Returns
    -------
    Cohort
        ``rows`` (pandas.DataFrame, one row per patch), ``name``, and ``notes`` of the reader.

    Raises
    ------
    UserError
        For an absent path, an unknown name or part, cells that are wrong, and a patch that occurs twice.

    See Also
    --------
    audit : Check data for duplicates and leaks.
    fetch : Download a public dataset.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.read_cohort(mitotype.example_images()[0].parent)
    >>> len(cohort), cohort.rows["mpp_um"].unique().tolist()
    (6, [0.25])
    """
    return join(read_cohorts(data, part, mpp_um))


@dataclass(frozen=True, repr=False)
class Audit(Sequence[Finding]):
    """The findings of an audit, errors first; `audit` returns it.

    Parameters
    ----------
    items : tuple of Finding
        Each with ``code``, ``severity`` (error, warning, note), ``text`` and the ids of the ``patches`` that it concerns.

    See Also
    --------
    audit : Check data for duplicates and leaks.

    Examples
    --------
    >>> import mitotype
    >>> audit = mitotype.audit(mitotype.example_images()[0].parent)
    >>> audit.to_frame().columns.tolist()
    ['severity', 'code', 'text', 'patches']
    """

    items: tuple[Finding, ...]

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Finding]: ...
    def __getitem__(self, index: int | slice) -> Finding | Sequence[Finding]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __str__(self) -> str:
        return "\n".join(map(str, self.items))

    def __repr__(self) -> str:
        return (
            f"<Audit with {len(self)} findings, {sum(item.severity == 'error' for item in self.items)} of them errors>"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the findings as a table.

        Returns
        -------
        pandas.DataFrame
            Columns severity, code, text, patches (a tuple of ids, empty where a finding concerns all).
        """
        import pandas as pd

        columns = ["severity", "code", "text", "patches"]
        return pd.DataFrame([[getattr(item, name) for name in columns] for item in self.items], columns=columns)

    def _repr_html_(self) -> str:
        rows = [(item.severity, item.code, item.text, len(item.patches) or "all") for item in self.items]
        return html_text.table(f"{len(self)} findings", rows, ("severity", "code", "finding", "patches"))


def audit(data: Data, *, threads: int | None = None) -> Audit:
    """Check data for duplicates, conflicting labels and leaks.

    Also found are cases in several parts, overlaps with published test sets, domains with few atypical figures, and the
    agreement of the experts.

    Parameters
    ----------
    data : str, Path, DataFrame, Cohort, or several of these
        Patches, see `read_cohort`. Several sources are compared with each other.
    threads : int, optional
        Threads to compute with. Default: as many as the CPUs that this process may use.

    Returns
    -------
    Audit
        The findings, errors first.

    Raises
    ------
    UserError
        For data that cannot be read and for damaged images.

    See Also
    --------
    read_cohort : Read data as one table of patches.

    Examples
    --------
    >>> import mitotype
    >>> audit = mitotype.audit(mitotype.example_images()[0].parent)
    >>> sum(finding.severity == "error" for finding in audit)
    0
    """
    use_threads(threads)
    return Audit(tuple(findings.audit(read_cohorts(data))))


def fetch(dataset: str, folder: str | Path, *, quiet: bool = True) -> list[Path]:
    """Download a public dataset; an interrupted download is resumed.

    Parameters
    ----------
    dataset : str
        Its name: see ``mitotype datasets``.
    folder : str or Path
        Folder to put it in.
    quiet : bool, default True
        Show no progress.

    Returns
    -------
    list of Path
        Its files and folders, checked by their digests.

    Raises
    ------
    UserError
        For an unknown dataset, one that is not published for download, a full disk, and files that are not as published.

    See Also
    --------
    read_cohort : Read data as one table of patches.

    Examples
    --------
    >>> import mitotype
    >>> mitotype.fetch("amibr", "data", quiet=False)  # doctest: +SKIP
    [PosixPath('data/AMi-Br')]
    """
    with Progress(quiet=quiet) as progress:
        return downloads.fetch(dataset, Path(folder), on_progress=progress.download())


def synthetic_cohort(
    folder: str | Path, *, patches: int = 800, cases: int = 80, domains: int = 10, seed: int = 0, quiet: bool = True
) -> Cohort:
    """Generate H&E-like patches with labels and votes from a seed, without a pixel of a real image.

    Parameters
    ----------
    folder : str or Path
        Folder to write: `patches/*.png` (128 px, 0.25 µm/px), cohort.csv, synthetic.json. One that holds this cohort is read.
    patches, cases, domains : int
        Their numbers; 1 ≤ domains ≤ cases ≤ patches. The last fifth of the domains is the part "test".
    seed : int, default 0
        The same numbers give the same images.
    quiet : bool, default True
        Show no progress.

    Returns
    -------
    Cohort
        The patches of both parts. Its numbers show the workflow and mean nothing for real figures.

    Raises
    ------
    UserError
        For impossible numbers, a folder that holds something else, and a full disk.

    See Also
    --------
    train : Train a recipe into a run folder.
    example_images : Return six synthetic patches that ship with the package.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=24, cases=8, domains=4)
    >>> cohort.rows["label"].isin([0, 1]).all().item()
    True
    """
    with Progress(quiet=quiet) as progress:
        advance = progress.counter("generate the cohort", patches)
        return synthesis.generate(
            Path(folder), patches=patches, cases=cases, domains=domains, seed=seed, on_progress=advance
        )
