"""Pretrained weights: found in the same way for every backbone, on the hub or on this machine, and identified by their digest.

A source is "published" (the hub or its offline cache), a file (.safetensors, or a .bin/.pt/.pth state dict, which is read
without running anything in it), a folder with one such file, or the folder of a finished run.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from mitotype.backbones import state_dicts
from mitotype.backbones.classifier import match_state_dict
from mitotype.backbones.model_spec import ModelSpec, backbones
from mitotype.backbones.weights_cache import PretrainedWeights, WeightsCache
from mitotype.core.errors import UserError
from mitotype.core.run_layout import names, read_weights
from mitotype.core.run_layout.training import PUBLISHED as PUBLISHED
from mitotype.core.walk import children, expanded, is_file, is_folder

FILE_NAMES = ("model.safetensors", "pytorch_model.bin", "pytorch_model.safetensors")
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


def find(name: str, source: str) -> PretrainedWeights:
    """Return the weights of backbone `name` from `source` and record their digest for later commands.

    Raises a UserError with the ways to fix it: no such file, nothing published, gated without access, no network, the
    weights of a member that are not those that were written.
    """
    if source == PUBLISHED:
        path, origin = _find_published(name, backbones.get(name).spec)
    else:
        path, origin = _find_file(name, expanded(source)), Path(source).name
        if (path.parent / names.MEMBER).is_file() and path.name == names.WEIGHTS:
            read_weights(path.parent)
    return WeightsCache().record(name, path, origin)


def register_local(name: str, source: str) -> PretrainedWeights:
    """Register a file or folder on this machine as the published weights of `name`, for work without a network.

    Raises a UserError for a file that does not fit the net; what was registered before then remains.
    """
    weights = find(name, source)
    check_fits(name, Path(weights.path))
    WeightsCache().register(weights)
    return weights


def check_fits(name: str, path: Path) -> None:
    """Check that a file has exactly the tensors of the backbone `name`. Raises a UserError otherwise."""
    backbone = backbones.get(name)
    with torch.device("meta"):
        trunk = backbone.build(backbone.spec, backbone.spec.size_px, {})
    match_state_dict(trunk, state_dicts.to_trunk_names(state_dicts.read_state_dict(path), backbone.spec), name)


def find_local(name: str) -> tuple[Path, str] | None:
    """Return file and source of the published weights if they are on this machine: in the hub's cache or registered."""
    from huggingface_hub import try_to_load_from_cache

    spec = backbones.get(name).spec
    if spec.repository is None:
        return None
    for file in _file_names(spec):
        cached = try_to_load_from_cache(spec.repository, file)
        if isinstance(cached, str):
            return Path(cached), _revision(spec.repository, Path(cached))
    return WeightsCache().registered(name)


def find_by_digest(name: str, digest: str, bases_dir: Path | None = None) -> PretrainedWeights:
    """Return the weights that a member was trained on: from the `bases_dir` of a bundle, or from where they were seen before.

    Raises a UserError if they are not on this machine.
    """
    bundled = bases_dir / f"{digest}.safetensors" if bases_dir else None
    if bundled is not None and bundled.is_file():
        weights = WeightsCache().record(name, bundled, "bundle")
        if weights.digest != digest:
            raise UserError(f"The weights '{bundled}' do not match their digest.", fix="restore the file from a copy")
        return weights
    recorded = WeightsCache().lookup(name, digest)
    if recorded is None:
        raise UserError(
            f"The weights of {name} with digest {digest[:16]}, on which this was trained, are not on this machine.",
            fix=f"download them: mitotype weights {name}, or register a file: mitotype weights {name} --from FILE",
        )
    return recorded


def find_safetensors(name: str, digest: str, *, fix: str) -> Path:
    """Return the file of the weights with a digest. Raises a UserError as `find_by_digest`, and for another format with `fix`."""
    path = Path(find_by_digest(name, digest).path)
    if path.suffix != ".safetensors":
        raise UserError(f"'{path.name}' is not a safetensors file.", fix=fix)
    return path


def read_state_dict(weights: PretrainedWeights) -> dict[str, Tensor]:
    """Return the tensors by the names of their trunk, in the dtypes of the file."""
    spec = backbones.get(weights.backbone).spec
    return state_dicts.to_trunk_names(state_dicts.read_state_dict(Path(weights.path)), spec)


def _find_file(name: str, path: Path) -> Path:
    """Return a weights file: `path` itself, the one in a folder, or that of a run's first member trained on every patch."""
    if is_file(path):
        if path.suffix not in SUFFIXES:
            raise UserError(f"'{path}' is not a weights file.", allowed=", ".join(SUFFIXES))
        return path
    if names.is_run(path):
        path = names.member_dir(path, "all-seed0")
    matches = [path / file for file in FILE_NAMES if is_file(path / file)]
    matches = matches or [p for p in (children(path) if is_folder(path) else []) if p.suffix in SUFFIXES]
    if not matches:
        raise UserError(f"There are no weights of {name} at '{path}'.", fix=f"name a file, or: mitotype weights {name}")
    if len(matches) > 1 and matches[0].name not in FILE_NAMES:
        allowed = ", ".join(p.name for p in matches)
        raise UserError(f"'{path}' contains {len(matches)} weights files.", allowed=allowed, fix="name one")
    return matches[0]


def _find_published(name: str, spec: ModelSpec) -> tuple[Path, str]:
    """Return the publisher's file and its source, downloaded if needed with the hub's own login."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    if spec.repository is None:
        fix = "train from random weights, or set init_from to a file or run"
        raise UserError(f"No weights are published for {name}.", fix=fix)
    local = find_local(name)
    if local:
        return local
    download, register = f"mitotype weights {name}", f"register a file: mitotype weights {name} --from FILE"
    for file in _file_names(spec):
        try:
            path = Path(hf_hub_download(spec.repository, file))
            for example in spec.example or ():
                with suppress(EntryNotFoundError):
                    hf_hub_download(spec.repository, example)
            return path, _revision(spec.repository, path)
        except LocalEntryNotFoundError as error:
            what = f"The weights of {name} are not in the hub's cache, and the hub cannot be reached."
            fix = f"with a network: {download} (see {spec.access_url}); without: {register}"
            raise UserError(what, fix=fix) from error
        except GatedRepoError as error:
            fix = f"request access at {spec.access_url}, then `hf auth login` and {download}; or {register}"
            raise UserError(f"The weights of {name} are gated.", fix=fix) from error
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError) as error:
            what = f"The weights of {name} could not be downloaded: {str(error).splitlines()[0]}."
            raise UserError(what, fix=f"see {spec.access_url}; or {register}") from error
    raise UserError(f"{spec.access_url} contains none of {', '.join(_file_names(spec))}.", fix=register)


def _file_names(spec: ModelSpec) -> tuple[str, ...]:
    return (spec.weights_file,) if spec.weights_file else FILE_NAMES


def _revision(repository: str, path: Path) -> str:
    """Return OWNER/NAME@revision; the revision is the folder of the hub's cache that contains the file."""
    inside = path.parts[path.parts.index("snapshots") + 1] if "snapshots" in path.parts else path.parent.name
    return f"{repository}@{inside[:12]}"
