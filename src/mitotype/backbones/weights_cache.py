"""WeightsCache: records of the weights files that were used on this machine, by digest and as registered by the user."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mitotype.core import files, records
from mitotype.core.cache import cache_dir, optional
from mitotype.core.errors import UserError
from mitotype.core.records import R, Record


class PretrainedWeights(Record, frozen=True):
    """Weights under a trunk: the sha-256 of their file, where the file lies, and where it came from."""

    backbone: str
    digest: str
    path: str
    source: str  # OWNER/NAME@revision of the hub, or the name of the file or run
    state: str


class RegisteredFile(Record, frozen=True):
    """A file that stands for the published weights of a backbone, and its digest ("" in a record of 0.1.0)."""

    path: str
    source: str
    digest: str = ""


class FileDigest(Record, frozen=True):
    """The sha-256 of a file, as long as it has this state (`files.state_of`)."""

    state: str
    digest: str


class WeightsCache:
    """Records below `folder`: `files/` with the digest of every file, and per backbone one record for each digest.

    A damaged record counts as absent, since it can be made again.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_dir("weights")

    def record(self, name: str, path: Path, source: str) -> PretrainedWeights:
        """Return the weights in a file and record them. The digest is computed once for a state of the file."""
        path = path.absolute()  # not resolved: the hub's cache links a name to a file without a suffix
        weights = PretrainedWeights(name, self._digest(path), str(path), source, files.state_of(path))
        record = self._record_path(name, weights.digest)
        if _read(record, PretrainedWeights) != weights:
            with optional():
                records.write(record, weights)
        return weights

    def lookup(self, name: str, digest: str) -> PretrainedWeights | None:
        """Return the recorded weights with a digest if their file is still there and unchanged, else None."""
        weights = _read(self._record_path(name, digest), PretrainedWeights)
        if weights is None or not (path := Path(weights.path)).is_file():
            return None
        is_unchanged = self._digest(path) == digest
        return self.record(name, path, weights.source) if is_unchanged else None

    def register(self, weights: PretrainedWeights) -> None:
        """Record a file as the published weights of its backbone."""
        entry = RegisteredFile(weights.path, weights.source, weights.digest)
        records.write(self._registered_path(weights.backbone), entry)

    def registered(self, name: str) -> tuple[Path, str] | None:
        """Return file and source of the registered weights of a backbone, None if there are none or the file is gone.

        Raises a UserError for a file that was changed since it was registered.
        """
        entry = _read(self._registered_path(name), RegisteredFile)
        if entry is None or not (path := Path(entry.path)).is_file():
            return None
        if entry.digest and self._digest(path) != entry.digest:
            what = f"The weights '{path}' were changed since they were registered for {name}."
            raise UserError(what, fix=f"restore the file, or register one again: mitotype weights {name} --from FILE")
        return path, entry.source

    def _digest(self, path: Path) -> str:
        record, state = self.folder / "files" / f"{files.digest_of(os.fsencode(path))[:24]}.json", files.state_of(path)
        entry = _read(record, FileDigest)
        if entry is None or entry.state != state:
            entry = FileDigest(state, files.sha256(path))
            with optional():
                records.write(record, entry)
        return entry.digest

    def _record_path(self, name: str, digest: str) -> Path:
        return self.folder / name / f"{digest[:24]}.json"

    def _registered_path(self, name: str) -> Path:
        return self.folder / name / "brought.json"


def _read(path: Path, record: type[R]) -> R | None:
    """Return the record in a file, None for an absent or damaged one."""
    with suppress(UserError):
        return records.read(path, record)
    return None
