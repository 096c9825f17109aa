"""The patches that a member of a run was trained on, those of its initial weights and teachers included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import files, records, walk
from mitotype.core.errors import UserError
from mitotype.core.run_layout import names
from mitotype.core.run_layout.bundle import BundleRecord
from mitotype.core.run_layout.member import read_member
from mitotype.core.run_layout.patches import read_patches
from mitotype.core.run_layout.run import RunRecord, read_run

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED = "published"  # `init_from` of the weights that a backbone's publisher offers


@dataclass(frozen=True)
class RunReference:
    """A run of ours that a recipe names, and its member where one is named ("" for the run itself)."""

    dir: Path
    member: str = ""


@dataclass(frozen=True)
class TrainedOn:
    """Patches that influenced a member with their labels: rows of a run, or only the `digests` of a bundle's images.

    `by` is for messages: runs in different places may have one name.
    """

    by: str
    member_dir: Path | None = None
    patches: pd.DataFrame | None = None
    digests: frozenset[str] = frozenset()


def find_run(source: str) -> RunReference | None:
    """Return the run that `source` names: its folder, `RUN/members/NAME`, or a path below. None where it is no run."""
    if source in ("", PUBLISHED):
        return None
    path = walk.expanded(source).resolve()
    if names.is_run(path):
        return RunReference(path)
    for folder in (path, *path.parents):
        if folder.parent.name == names.MEMBERS and names.is_run(folder.parent.parent):
            return RunReference(folder.parent.parent, folder.name)
    return None


def bundle_digests(source: str) -> set[str]:
    """Return the shortened digests of a bundle's training images, if `source` is in a bundle."""
    if source in ("", PUBLISHED):
        return set()
    path = walk.expanded(source).resolve()
    for folder in (path, *list(path.parents)[:3]):
        if names.is_bundle(folder):
            return set(records.read(folder / names.BUNDLE, BundleRecord, what="bundle").decision.digests)
    return set()


def trained_on(run_dir: Path, member: str) -> Iterator[TrainedOn]:
    """Yield what a member was trained on, then the same for its initial weights and teachers, and for theirs.

    Runs that read no label are left out. Raises a UserError where a run of the lineage is absent or has changed.
    """
    run = read_run(run_dir)
    if run.reads_labels is False:
        return
    member_dir = names.member_dir(run_dir, member).resolve()
    rows = training_patches(run_dir)
    yield TrainedOn(f"{run_dir.name}/{member}", member_dir, rows[rows["fold"] != read_member(member_dir).fold])
    yield from _initial_weights(run, run_dir, member)
    yield from _teachers(run, run_dir, member)


def training_patches(run_dir: Path) -> pd.DataFrame:
    """Return the training patches of a run; the table also contains the test sets that were scored, in fold 0."""
    rows = read_patches(run_dir)
    return rows[rows["fold"] > 0]


def lineage_patches(run_dir: Path) -> pd.DataFrame:
    """Return the training patches of a run, and those of its initial weights and teachers that read labels."""
    import pandas as pd

    run, tables = read_run(run_dir), [training_patches(run_dir)]
    for source in (find_run(run.recipe_text(field)) for field in ("init_from", "teacher")):
        if source and read_run(source.dir).reads_labels is not False:
            tables.append(lineage_patches(source.dir))
    return pd.concat(tables, ignore_index=True)


def _initial_weights(run: RunRecord, run_dir: Path, member: str) -> Iterator[TrainedOn]:
    source = run.recipe_text("init_from")
    digest = (run.bases or {}).get(member)
    if source in ("", PUBLISHED):
        return
    reference = find_run(source)
    if reference is None:
        if not walk.exists(walk.expanded(source)):
            raise _unverified(run_dir, f"its initial weights '{source}' are not there")
        digests = bundle_digests(source)
        if digests:
            yield TrainedOn(Path(source).name, digests=frozenset(digests))
        return
    if read_run(reference.dir).reads_labels is False:
        return
    same = [
        path.name
        for path in names.member_dirs(reference.dir)
        if (not reference.member or path.name == reference.member)
        and (path / names.WEIGHTS).is_file()
        and files.sha256(path / names.WEIGHTS) == digest
    ]
    if not same:
        raise _unverified(run_dir, f"the initial weights of '{member}' are no longer those of '{source}'")
    yield from trained_on(reference.dir, same[0])


def _teachers(run: RunRecord, run_dir: Path, member: str) -> Iterator[TrainedOn]:
    source = run.recipe_text("teacher")
    if not source:
        return
    reference = find_run(source)
    teachers = (run.teachers or {}).get(member)
    if reference is None or not teachers:
        raise _unverified(run_dir, f"its teacher '{source}' is not there")
    for name, digest in teachers.items():
        path = names.member_dir(reference.dir, name)
        if not (path / names.MEMBER).is_file() or read_member(path).digest != digest:
            raise _unverified(run_dir, f"the teacher '{name}' is no longer that of '{source}'")
        yield from trained_on(reference.dir, name)


def _unverified(run_dir: Path, reason: str) -> UserError:
    what = f"What the run '{run_dir}' was trained on cannot be verified: {reason}."
    return UserError(what, fix="restore it, or train anew", code="M001")
