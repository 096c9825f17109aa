"""A folder on disk → a Cohort. `datasets` is the shelf; `read` takes PATH or NAME=PATH.

In every cohort `label`, `votes_for`, `votes`, `x_px` and `y_px` are float64 with nan where unknown, and text is "" where
unknown, so that a column keeps its type when cohorts are joined and no group is lost.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from mitotype.core.mistakes import Mistake, unknown
from mitotype.core.shelf import Shelf
from mitotype.core.words import Cohort
from mitotype.datasets.facts import Dataset, Source

__all__ = ["ALIASES", "PARTS", "Dataset", "Source", "datasets", "read"]

PARTS = ("train", "test", "all")
ALIASES = {"amibr-train": ("amibr", "train"), "amibr-test": ("amibr", "test")}
BENCHMARK = ("amibr", "atnorm-br", "atnorm-md")  # what the benchmark's root may hold, in this order

datasets: Shelf[Dataset] = Shelf("dataset", "datasets", "mitotype.datasets")


def read(where: str, *, part: str, mpp_um: float | None = None) -> list[Cohort]:
    """The cohorts at `where`: PATH or NAME=PATH, as in `../AMi-Br_Benchmark` or `amibr-test=../AMi-Br_Benchmark`.

    part: "train" gives what may be trained on, "test" what is measured on, "all" everything. The root of the benchmark
    gives AMi-Br's 2,894 training patches for "train", and every test cohort that is there for "test" (amibr-test,
    atnorm-br, atnorm-md). A dataset without a published split gives the whole for each part. The folder that a dataset
    was fetched into stands for it. Paths of pictures are absolute, so that a run goes on from any folder.
    mpp_um: the µm/px of the pictures where it is not 0.25.

    Raises a Mistake: nothing at the path, an unknown name or part, or what the dataset's reader finds.
    """
    if part not in PARTS:
        raise unknown("part", part, PARTS, "--help")
    name, path = _named(where)
    if name in ALIASES:
        name, own_part = ALIASES[name]
        if part == "train" and own_part == "test":
            raise Mistake(f"'{where}' is a test set and is not trained on.", fix="give amibr-train=… instead")
        return [_read(name, _home(path, name), own_part, mpp_um)]
    if name:
        return [_read(name, _home(path, name), part, mpp_um)]
    path = _home(path)
    members = _benchmark(path)
    if members:
        if part == "train":
            members = members[:1] if members[0] == "amibr" else members
        return [_read(member, path, part, mpp_um) for member in members]
    return [_read(_recognised(path) or "folder", path, part, mpp_um)]


def _named(where: str) -> tuple[str, Path]:
    """The dataset's name ("" where none is given) and the path."""
    name, sign, rest = where.partition("=")
    if sign and not Path(where).exists():
        if name not in datasets and name not in ALIASES:
            raise unknown("dataset", name, [*datasets.names(), *ALIASES], "mitotype datasets")
        where = rest
    path = Path(where).expanduser()
    if not path.exists():
        raise Mistake(f"There is nothing at '{path}'.", fix="mend the path, or get the data: mitotype fetch --help")
    return (name if sign and where == rest else ""), path


def _recognised(path: Path) -> str:
    """The published dataset that `path` holds, "" where it is none."""
    return next((n for n in datasets.names() if n != "folder" and datasets.get(n).recognises(path)), "")


def _home(path: Path, name: str = "") -> Path:
    """`path`, or the one folder directly inside it that `fetch` makes for a dataset (for `name`, where it is given)."""
    from mitotype.datasets import layout

    facts = [datasets.get(n) for n in ([name] if name else datasets.names())]
    homes = {PurePosixPath(source.save_as).parts[0] for fact in facts for source in fact.sources if source.unpack}
    found = [folder for home in sorted(homes) if (folder := layout.child(path, home)) and folder.is_dir()]
    if not found or _benchmark(path) or (facts[0].recognises(path) if name else _recognised(path)):
        return path
    if len(found) > 1:
        shown = ", ".join(str(folder) for folder in found)
        raise Mistake(f"'{path}' holds several datasets.", allowed=shown, fix="name the ones that are meant")
    return found[0]


def _benchmark(path: Path) -> list[str]:
    """The datasets that the benchmark's root holds; empty where `path` is no such root."""
    from mitotype.datasets import layout

    if not path.is_dir() or layout.child(path, "amibr_train_split.csv") is None:
        return []
    titles = {name: layout.child(path, datasets.get(name).title) for name in BENCHMARK}
    return [name for name, folder in titles.items() if folder and len(layout.class_folders(folder)) == 2]


def _read(name: str, path: Path, part: str, mpp_um: float | None) -> Cohort:
    dataset = datasets.get(name)
    cohort = dataset.read(path, part, mpp_um)
    whole = [str(Path(picture).absolute()) if picture else "" for picture in cohort.rows["path"]]
    notes = cohort.notes
    if part == "train" and dataset.test_only:
        notes = (*notes, f"{name}: published as a test set; what is trained on it cannot be tested on it")
    return Cohort(cohort.name, cohort.rows.assign(path=whole), notes)
