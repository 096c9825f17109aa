"""WeightsCache: records of the weights files that were used on this machine, by digest and as registered by the user."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mitotype.core import files, records
from mitotype.core.cache import cache_dir
from mitotype.core.errors import UserError
from mitotype.core.records import R, Record


class PretrainedWeights(Record, frozen=True):
    """Weights under a trunk: the sha-256 of their file, where the file lies, and where it came from."""

    backbone: str
    digest: str
    path: str
    source: str  # OWNER/NAME@revision of the hub, or the name of the file or run
    size: int
    changed_ns: int


class RegisteredFile(Record, frozen=True):
    """A file that stands for the published weights of a backbone."""

    path: str
    source: str


class FileDigest(Record, frozen=True):
    """The sha-256 of a file, as long as it has this size and time of change."""

    size: int
    changed_ns: int
    digest: str


class WeightsCache:
    """Records below `folder`: `files/` with the digest of every file, and per backbone one record for each digest.

    A damaged record counts as absent, since it can be made again.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_dir() / "weights"

    def record(self, name: str, path: Path, source: str) -> PretrainedWeights:
        """Return the weights in a file and record them. The digest is computed once for a size and time of change."""
        path = path.absolute()  # not resolved: the hub's cache links a name to a file without a suffix
        stat = path.stat()
        weights = PretrainedWeights(name, self._digest(path, stat), str(path), source, stat.st_size, stat.st_mtime_ns)
        record = self._record_path(name, weights.digest)
        if _read(record, PretrainedWeights) != weights:
            records.write(record, weights)
        return weights

    def lookup(self, name: str, digest: str) -> PretrainedWeights | None:
        """Return the recorded weights with a digest if their file is still there and unchanged, else None."""
        weights = _read(self._record_path(name, digest), PretrainedWeights)
        if weights is None or not (path := Path(weights.path)).is_file():
            return None
        is_unchanged = self._digest(path, path.stat()) == digest
        return self.record(name, path, weights.source) if is_unchanged else None

    def register(self, weights: PretrainedWeights) -> None:
        """Record a file as the published weights of its backbone."""
        records.write(self._registered_path(weights.backbone), RegisteredFile(weights.path, weights.source))

    def registered(self, name: str) -> tuple[Path, str] | None:
        """Return file and source of the registered weights of a backbone, None if there are none or the file is gone."""
        entry = _read(self._registered_path(name), RegisteredFile)
        return (Path(entry.path), entry.source) if entry and Path(entry.path).is_file() else None

    def _digest(self, path: Path, stat: os.stat_result) -> str:
        record = self.folder / "files" / f"{files.digest_of(os.fspath(path))[:24]}.json"
        entry = _read(record, FileDigest)
        if entry is None or (entry.size, entry.changed_ns) != (stat.st_size, stat.st_mtime_ns):
            entry = FileDigest(stat.st_size, stat.st_mtime_ns, files.sha256(path))
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
