"""Weights: where the base of a trunk comes from, the same way for every backbone, and the digest by which it is known again.

A place is "published" (the hub, or its offline cache), a file (.safetensors, or a .bin/.pt/.pth state dict, which is read
without running anything in it), a folder that holds one, or the folder of a run of our own.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mitotype.backbones.facts import Facts, backbones
from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.pictures import cache_folder

PUBLISHED = "published"
USUAL = ("model.safetensors", "pytorch_model.bin", "pytorch_model.safetensors")
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class Base:
    """The weights under a trunk: their digest (sha-256 of the file), where the file lies, where it came from."""

    backbone: str
    digest: str
    path: str
    source: str  # "published", with the hub's revision where it is known, or the name of the file or run
    size: int
    changed_ns: int


def find(name: str, where: str) -> Base:
    """The base weights of backbone `name` at `where`. What is found is remembered by its digest for later commands.

    Raises a Mistake: no such place, no weights published, gated without access, no network; each with the ways on.
    """
    facts = backbones.get(name).facts
    if where == PUBLISHED:
        path, source = _published(name, facts)
    else:
        path = _file(name, Path(where).expanduser())
        source = Path(where).name
    return _remembered(name, path, source)


def bring(name: str, where: str) -> Base:
    """Take in a file or folder that lies on this machine as the published weights of `name`, for work without a network."""
    base = find(name, where)
    files.write_json(_brought(name), {"path": base.path, "source": base.source})
    return base


def at_hand(name: str) -> tuple[Path, str] | None:
    """File and source of the published weights where no network is needed: in the hub's cache, or brought here by hand."""
    from huggingface_hub import try_to_load_from_cache

    facts = backbones.get(name).facts
    if facts.repository is None:
        return None
    for file in _names(facts):
        cached = try_to_load_from_cache(facts.repository, file)
        if isinstance(cached, str):
            return Path(cached), _revision(facts.repository, Path(cached))
    told = files.read_json(_brought(name), what="note of weights") if _brought(name).is_file() else None
    return (Path(told["path"]), str(told["source"])) if told and Path(told["path"]).is_file() else None


def known(name: str, digest: str, near: Path | None = None) -> Base:
    """The base that a member was trained on, by its digest: in the folder `near`, where a bundle keeps what it may share, or
    wherever it was seen on this machine. Raises a Mistake that says how to bring it here.
    """
    beside = near / f"{digest}.safetensors" if near else None
    if beside is not None and beside.is_file():
        found = _remembered(name, beside, "bundle")
        if found.digest != digest:
            raise Mistake(f"The weights '{beside}' are not those of their name.", fix="restore the file from a copy")
        return found
    note = _note(name, digest)
    if note.is_file():
        base = Base(**files.read_json(note, what="note of weights"))
        path = Path(base.path)
        if path.is_file() and (path.stat().st_size, path.stat().st_mtime_ns) == (base.size, base.changed_ns):
            return base
        if path.is_file() and files.sha256(path) == digest:
            return _remembered(name, path, base.source)
    raise Mistake(
        f"The weights of {name} with digest {digest[:16]}, on which this was trained, are not known on this machine.",
        fix=f"bring them: mitotype weights {name}, or from a file: mitotype weights {name} --from FILE",
    )


def state(base: Base) -> dict[str, Tensor]:
    """The tensors of a base by the names of its trunk, as they lie in the file (half precision stays half)."""
    from mitotype.backbones.keys import renamed

    return renamed(read(Path(base.path)), backbones.get(base.backbone).facts)


def read(path: Path) -> Mapping[str, Tensor]:
    """A state dict from a file: safetensors, or torch's format read with nothing but tensors allowed."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise Mistake(
            f"The weights '{path}' cannot be read: {str(error).splitlines()[0]}.", fix="fetch them again"
        ) from error
    except Exception as error:
        if type(error).__name__ == "UnpicklingError":
            what = f"'{path}' holds more than tensors, which is not read here."
            raise Mistake(what, fix="save the state dict alone, best as safetensors") from error
        raise
    for wrapper in ("state_dict", "model", "teacher"):
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise Mistake(f"'{path}' is no state dict.", fix="save the tensors by name, best as safetensors")
    return found


def read_tensor(path: Path) -> Tensor:
    """One tensor of a .pt file, read with nothing but tensors allowed."""
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, Tensor):
        raise Mistake(f"'{path}' is no tensor.", fix="fetch it again")
    return found


def _file(name: str, path: Path) -> Path:
    """The weights file at a path: the file itself, the one in a folder, or a run's only member trained on every patch."""
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise Mistake(f"'{path}' is no weights file.", allowed=", ".join(SUFFIXES))
        return path
    if (path / "run.json").is_file():
        path = path / "members" / "all-seed0"
    found = [path / usual for usual in USUAL if (path / usual).is_file()]
    found = found or sorted(p for p in path.glob("*") if p.suffix in SUFFIXES)
    if not found:
        raise Mistake(f"There are no weights of {name} at '{path}'.", fix=f"name a file, or: mitotype weights {name}")
    if len(found) > 1 and found[0].name not in USUAL:
        raise Mistake(
            f"'{path}' holds {len(found)} weights files.", allowed=", ".join(p.name for p in found), fix="name one"
        )
    return found[0]


def _published(name: str, facts: Facts) -> tuple[Path, str]:
    """The publisher's file from the hub's cache or the hub; the token is the hub's own login, never an argument."""
    if facts.repository is None:
        what = f"No weights are published for {name}."
        raise Mistake(what, fix="train from random ones, or name a file or run in init_from")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    found = at_hand(name)
    if found:
        return found
    by_file = f"bring the file: mitotype weights {name} --from FILE"
    names = _names(facts)
    absent = False
    for file in names:
        try:
            path = Path(hf_hub_download(facts.repository, file))
            for shown in facts.example or ():
                with suppress(EntryNotFoundError):
                    hf_hub_download(facts.repository, shown)
            return path, _revision(facts.repository, path)
        except LocalEntryNotFoundError:
            absent = True
            break
        except GatedRepoError as error:
            fix = (
                f"ask for access at {facts.access_url}, then `hf auth login` and mitotype weights {name}; or {by_file}"
            )
            raise Mistake(f"The weights of {name} are gated.", fix=fix) from error
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError) as error:
            what = f"The weights of {name} could not be fetched: {str(error).splitlines()[0]}."
            raise Mistake(what, fix=f"see {facts.access_url}; or {by_file}") from error
    if absent:
        what = f"The weights of {name} are not in the hub's cache, and the hub is not reached."
        fix = f"with a network: mitotype weights {name} (see {facts.access_url}); without: {by_file}"
        raise Mistake(what, fix=fix)
    raise Mistake(f"{facts.access_url} holds none of {', '.join(names)}.", fix=by_file)


def _names(facts: Facts) -> tuple[str, ...]:
    return (facts.weights_file,) if facts.weights_file else USUAL


def _revision(repository: str, path: Path) -> str:
    """OWNER/NAME@revision, the revision being the folder of the hub's cache that the file lies in."""
    inside = path.parts[path.parts.index("snapshots") + 1] if "snapshots" in path.parts else path.parent.name
    return f"{repository}@{inside[:12]}"


def _remembered(name: str, path: Path, source: str) -> Base:
    """The base of a file; its digest is reckoned once and kept with size and time of change."""
    path = path.absolute()  # the hub's cache names a file by a link; what lies behind it has no suffix
    stat = path.stat()
    seen = cache_folder() / "weights" / "files" / f"{files.digest_of(os.fspath(path))[:24]}.json"
    kept = json.loads(seen.read_text(encoding="utf-8")) if seen.is_file() else {}
    if (kept.get("size"), kept.get("changed_ns")) == (stat.st_size, stat.st_mtime_ns):
        digest = str(kept["digest"])
    else:
        digest = files.sha256(path)
        files.write_json(seen, {"size": stat.st_size, "changed_ns": stat.st_mtime_ns, "digest": digest})
    base = Base(name, digest, str(path), source, stat.st_size, stat.st_mtime_ns)
    note = _note(name, digest)
    if not note.is_file() or files.read_json(note) != asdict(base):
        files.write_json(note, asdict(base))
    return base


def _note(name: str, digest: str) -> Path:
    return cache_folder() / "weights" / name / f"{digest[:24]}.json"


def _brought(name: str) -> Path:
    return cache_folder() / "weights" / name / "brought.json"
