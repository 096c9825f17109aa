"""A bundle of the Hugging Face Hub, hf://OWNER/NAME@REVISION: fetched once, and checked against its own digests.

Its bundle.json lists the files and their digests; no other file is downloaded, and none of a format that could hold code.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mitotype.core import cache, extras, records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import BundleRecord, names, read_bundle
from mitotype.deploy.hub_errors import translated_refusals

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PART = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}"
ADDRESS = re.compile(rf"hf://({PART}/{PART})@([A-Za-z0-9][A-Za-z0-9_./-]{{0,199}})")
COMMIT = re.compile(r"[0-9a-f]{40}")
SUFFIXES = (".safetensors", ".onnx", ".json", ".md")


def fetch(address: str) -> Path:
    """Return the folder of a bundle in the cache, downloaded if it is not there. A commit that is there needs no network.

    Raises a UserError for an address without a revision, what the hub refuses, files of other formats, and a file that is not
    as its digest.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        what = f"'{address}' is no address of a bundle on the hub."
        raise UserError(what, allowed="hf://OWNER/NAME@REVISION, with a commit for the same bundle every time")
    repository, revision = match.groups()
    with extras.translated():
        from huggingface_hub import HfApi
    api = HfApi()
    with translated_refusals(f"'{address}' could not be fetched", "check the name, the network and hf auth login"):
        commit = revision if COMMIT.fullmatch(revision) else api.repo_info(repository, revision=revision).sha or ""
    if not COMMIT.fullmatch(commit):  # it becomes the name of a folder
        raise UserError(f"The hub gives no commit for '{address}'.", fix="name a commit: hf://OWNER/NAME@COMMIT")
    with cache.held("bundles", f"{repository.replace('/', '--')}--{commit}") as folder:
        if not names.is_bundle(folder):
            with tempfile.TemporaryDirectory(dir=folder.parent) as directory:
                part = Path(directory) / "bundle"
                _download(api, repository, commit, part, address)
                read_bundle(part)
                shutil.rmtree(folder, ignore_errors=True)
                part.rename(folder)
        try:
            read_bundle(folder)
        except UserError as error:
            raise UserError(error.what, fix=f"remove the folder '{folder}', then repeat the command") from error
    return folder


def _download(api: HfApi, repository: str, commit: str, folder: Path, address: str) -> None:
    """Download bundle.json and the files that it lists."""

    def download(file: str) -> Path:
        with translated_refusals(
            f"'{file}' of '{address}' could not be fetched", "check the network and hf auth login"
        ):
            return Path(api.hf_hub_download(repository, file, revision=commit, local_dir=folder))

    record = records.read(download(names.BUNDLE), BundleRecord, what="bundle")
    foreign = next((file for file in record.files if PurePosixPath(file).suffix not in SUFFIXES), None)
    if foreign:
        what = f"The bundle '{address}' lists '{foreign}', which may hold code."
        raise UserError(what, allowed=", ".join(SUFFIXES), fix="use a bundle that mitotype wrote")
    for file in record.files:
        path = download(file)
        if path.suffix == ".safetensors" and not _is_safetensors(path):
            raise UserError(f"'{file}' of '{address}' is no safetensors file.", fix="use a bundle that mitotype wrote")
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's notes


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins with the length of a JSON header and that header."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size
