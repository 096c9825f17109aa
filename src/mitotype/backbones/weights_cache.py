"""WeightsCache: records of the weights files that were used on this machine, by digest and as registered by the user."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from mitotype.core import files
from mitotype.core.cache import cache_dir


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights under a trunk: the sha-256 of their file, where the file lies, and where it came from.

    The fields are the keys of a record on disk.
    """

    backbone: str
    digest: str
    path: str
    source: str  # OWNER/NAME@revision of the hub, or the name of the file or run
    size: int
    changed_ns: int


class WeightsCache:
    """Records below `folder`: `files/` with the digest of every file, and per backbone one record for each digest."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_dir() / "weights"

    def record(self, name: str, path: Path, source: str) -> PretrainedWeights:
        """Return the weights in a file and record them. The digest is computed once for a size and time of change."""
        path = path.absolute()  # not resolved: the hub's cache links a name to a file without a suffix
        stat = path.stat()
        weights = PretrainedWeights(name, self._digest(path, stat), str(path), source, stat.st_size, stat.st_mtime_ns)
        record = self._record_path(name, weights.digest)
        if not record.is_file() or files.read_json(record) != asdict(weights):
            files.write_json(record, asdict(weights))
        return weights

    def lookup(self, name: str, digest: str) -> PretrainedWeights | None:
        """Return the recorded weights with a digest if their file is still there and unchanged, else None."""
        record = self._record_path(name, digest)
        if not record.is_file():
            return None
        weights = PretrainedWeights(**files.read_json(record, what="record of weights"))
        path = Path(weights.path)
        if path.is_file() and (path.stat().st_size, path.stat().st_mtime_ns) == (weights.size, weights.changed_ns):
            return weights
        if path.is_file() and files.sha256(path) == digest:
            return self.record(name, path, weights.source)
        return None

    def register(self, weights: PretrainedWeights) -> None:
        """Record a file as the published weights of its backbone."""
        files.write_json(self._registered_path(weights.backbone), {"path": weights.path, "source": weights.source})

    def registered(self, name: str) -> tuple[Path, str] | None:
        """Return file and source of the registered weights of a backbone, None if there are none or the file is gone."""
        record = self._registered_path(name)
        if not record.is_file():
            return None
        entry = files.read_json(record, what="record of weights")
        return (Path(entry["path"]), str(entry["source"])) if Path(entry["path"]).is_file() else None

    def _digest(self, path: Path, stat: os.stat_result) -> str:
        record = self.folder / "files" / f"{files.digest_of(os.fspath(path))[:24]}.json"
        entry = files.read_json(record) if record.is_file() else {}
        if (entry.get("size"), entry.get("changed_ns")) == (stat.st_size, stat.st_mtime_ns):
            return str(entry["digest"])
        digest = files.sha256(path)
        files.write_json(record, {"size": stat.st_size, "changed_ns": stat.st_mtime_ns, "digest": digest})
        return digest

    def _record_path(self, name: str, digest: str) -> Path:
        return self.folder / name / f"{digest[:24]}.json"

    def _registered_path(self, name: str) -> Path:
        return self.folder / name / "brought.json"
