"""Download public datasets from their published addresses: resumed, checked, unpacked safely, complete or absent."""

from __future__ import annotations

import hashlib
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

import msgspec

from mitotype import __version__
from mitotype.core import files, outputs, records
from mitotype.core.errors import UserError
from mitotype.core.folder_lock import exclusive
from mitotype.core.interrupts import continued_by
from mitotype.datasets.dataset import Source, datasets
from mitotype.datasets.download import archives

OnProgress = Callable[[str, int, int | None], None]
"""Called with (file, bytes so far, total bytes or None)."""

FETCHED = "fetched.json"
CHUNK = 1 << 18
TRIES = 3
TIMEOUT_S = 60
MAX_BYTES = 128 * 2**30
MAX_LISTING_BYTES = 4 * 2**20
TRANSFER_ERRORS = (
    OSError,
    HTTPException,
    ValueError,
    OverflowError,
)  # the last two: for an address or length that is none
STORED = "Complete files are stored, and what was transferred of the last one."


def fetch(
    name: str, folder: Path, *, sources: Sequence[Source] | None = None, on_progress: OnProgress | None = None
) -> list[Path]:
    """Download the dataset `name` into `folder` and return the files and folders that it became.

    Files that are present are left alone. An interrupted transfer leaves a `.part` and is resumed from there if the server
    allows (HTTP Range), immediately up to three times and again when the command is repeated. A file of known sha256 is
    checked against it; for others the digest of the first download is recorded in `folder`/fetched.json and checked from
    then on. Archives are unpacked inside their folder only (see archives) and then removed. `sources` replaces the
    published addresses (a mirror).

    Raises a UserError for an unknown name or one without a public address, no response, an incomplete transfer, a digest
    other than the known or recorded one, an archive that is rejected, and a full disk.
    """
    dataset = datasets.get(name)
    sources = dataset.sources if sources is None else sources
    if not sources:
        fetchable = ", ".join(n for n in datasets.names() if datasets.get(n).sources)
        raise UserError(f"'{name}' has no public address.", allowed=fetchable)
    on_progress = on_progress or (lambda file, done, total: None)
    outputs.check_folder(folder)
    with exclusive(folder, ".fetch.lock"), continued_by("repeat the command", STORED):
        return [_fetch_file(*file, folder, on_progress) for source in sources for file in _files(source)]


class FetchedFile(records.Record, frozen=True, kw_only=True):
    """A complete download in fetched.json."""

    url: str
    sha256: str
    bytes: int
    date: str


class TransferState(records.Record, frozen=True, kw_only=True):
    """The file beside a `.part`: its address, the server's ETag or date, and the bytes of the complete file."""

    url: str = ""
    validator: str | None = None
    total: int | None = None


class ZenodoFile(msgspec.Struct):
    """A file in a Zenodo record, with its digest ("md5:…")."""

    key: str
    checksum: str


class ZenodoRecord(msgspec.Struct):
    """What is read of a Zenodo record."""

    files: list[ZenodoFile]


def _files(source: Source) -> list[tuple[Source, str | None]]:
    """Return the file of a source, or every file of its Zenodo record, with its digest ("sha256:…", "md5:…" or None)."""
    if not source.listing:
        return [(source, f"sha256:{source.sha256}" if source.sha256 else None)]
    address = source.urls[0]
    try:
        with _open(address, {}) as response:
            raw = response.read(MAX_LISTING_BYTES + 1)
    except TRANSFER_ERRORS as error:
        raise UserError(f"The record at {address} is unavailable: {_reason(error)}.", fix="try again later") from error
    try:
        checksums = {entry.key: entry.checksum for entry in msgspec.json.decode(raw, type=ZenodoRecord).files}
    except records.INVALID as error:
        raise UserError(f"The record at {address} has no list of files.", fix="open it in a browser") from error
    result = []
    for key, checksum in checksums.items():
        if not re.fullmatch(r"[\w. ()+-]{1,200}", key) or key.startswith("."):
            raise UserError(f"The record at {address} lists a file called '{key[:80]}'.", fix="open it in a browser")
        unpack = source.unpack and key.lower().endswith(".zip")
        save_as = f"{source.save_as}/{key[:-4] if unpack else key}"
        digest = checksum if re.fullmatch(r"(md5|sha256):[0-9a-f]+", checksum) else None
        urls = (f"{address}/files/{quote(key)}/content",)
        file = replace(source, urls=urls, save_as=save_as, unpack=unpack, listing=False, members=())
        result.append((file, digest))
    return result


def _fetch_file(source: Source, digest: str | None, folder: Path, on_progress: OnProgress) -> Path:
    """Download one file, unless it is present and recorded, with the recorded digest if it is not an archive."""
    target = folder / PurePosixPath(source.save_as)
    part = target.with_name(f"{target.name}.part")
    fetched = _read_fetched(folder)
    recorded = fetched[source.save_as].sha256 if source.save_as in fetched else None
    if target.exists():
        _check_present(source, target, digest, recorded)
        _remove_transfer(part)
        return target
    url = _transfer_from_any(source, part, on_progress)
    sha256 = _check_digest(part, digest, recorded, url)
    entry = FetchedFile(url=url, sha256=sha256, bytes=part.stat().st_size, date=time.strftime("%Y-%m-%d"))

    def record(unpacked: Path) -> None:
        """Record the download before its name makes it complete: a command killed between the two is repeated."""
        _check_members(source, unpacked, url)
        records.write(folder / FETCHED, fetched | {source.save_as: entry})

    if source.unpack:
        archives.unpack(part, target, strip=source.strip, on_unpacked=record)
    else:
        record(part)
        with files.translate_os_errors(target):
            part.replace(target)
    _remove_transfer(part)
    return target


def _check_present(source: Source, target: Path, digest: str | None, recorded: str | None) -> None:
    """Check that a file or folder that is there is the recorded download, or has the known digest."""
    if recorded:
        if not source.unpack and files.sha256(target) != recorded:
            raise UserError(f"'{target}' has changed since it was fetched.", fix="move it away and fetch again")
    elif source.unpack or not digest or _digest(target, digest) != digest:
        fix = "move it away, or fetch into another folder"
        raise UserError(f"'{target}' is already there and was not fetched by mitotype.", fix=fix)


def _remove_transfer(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state_path(part).unlink(missing_ok=True)


def _check_members(source: Source, folder: Path, url: str) -> None:
    """Check the files of known digest in an unpacked archive. Raises a UserError for a wrong one."""
    for name, sha256 in source.members:
        if not (folder / name).is_file() or files.sha256(folder / name) != sha256:
            raise UserError(
                f"The archive from {url} does not hold '{name}' as it was published.",
                fix="fetch again; if the error remains, the archive was changed at its address: do not use it",
            )


def _read_fetched(folder: Path) -> dict[str, FetchedFile]:
    """Return the downloads in fetched.json by `save_as`."""
    path = folder / FETCHED
    if not path.is_file():
        return {}
    return records.read(path, dict[str, FetchedFile], what="record of downloads")  # type: ignore[type-var]


def _check_digest(part: Path, digest: str | None, recorded: str | None, url: str) -> str:
    """Return the sha256 of a download. Removes the file and raises a UserError if its digest is wrong."""
    sha256 = files.sha256(part)
    if sha256 == (recorded or sha256) and (digest is None or _digest(part, digest) == digest):
        return sha256
    _remove_transfer(part)
    expected = digest or f"sha256:{recorded}"
    raise UserError(
        f"The file from {url} has sha256 {sha256[:16]}…; expected is {expected[:24]}….",
        fix="fetch again; if the error remains, the file was changed at its address: do not use it",
    )


def _digest(path: Path, like: str) -> str:
    """Return the digest of a file by the method of `like`: "md5:…" or "sha256:…"."""
    method = like.partition(":")[0]
    with path.open("rb") as file:
        return f"{method}:{hashlib.file_digest(file, method).hexdigest()}"


def _state_path(part: Path) -> Path:
    """Return the path beside a `.part` of the address that it is from and the server's ETag or date."""
    return part.with_name(f"{part.name}.json")


def _transfer_from_any(source: Source, part: Path, on_progress: OnProgress) -> str:
    """Download `part` completely from the first address that works, and return that address."""
    errors = []
    for url in source.urls:
        for attempt in range(TRIES):
            try:
                if _transfer(url, part, on_progress):
                    return url
                errors.append(f"{url}: the transfer was interrupted")
            except TRANSFER_ERRORS as error:
                errors.append(f"{url}: {_reason(error)}")
                if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429:
                    break
            time.sleep(0.2 * attempt)
    size = part.stat().st_size if part.exists() else 0
    raise UserError(
        f"'{source.save_as}' was not downloaded completely ({size} bytes were). {'; '.join(dict.fromkeys(errors))}.",
        fix="repeat the command: it resumes the transfer",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    return str(getattr(error, "reason", None) or error or type(error).__name__)


def _transfer(url: str, part: Path, on_progress: OnProgress) -> bool:
    """Make one request, from the end of `part` if the server resumes there. Return whether the file is complete."""
    path, state = _state_path(part), TransferState()
    if path.is_file():
        state = records.read(path, TransferState, what="state of a transfer")
    offset = part.stat().st_size if part.exists() and state.url == url and state.validator else 0
    if offset and offset == state.total:
        return True
    headers = {"Range": f"bytes={offset}-", "If-Range": str(state.validator)} if offset else {}
    with _open(url, headers) as response:
        start = 0
        if response.status == 206:
            start, total = _content_range(response)
            if start != offset:
                raise HTTPException(f"requested from byte {offset}, received from {start}")
        else:
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
        if total is not None and total > MAX_BYTES:
            raise UserError(f"{url} has {total} bytes.", allowed=f"at most {MAX_BYTES}")
        etag = response.headers.get("ETag", "")
        validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
        with files.translate_os_errors(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            if not start:
                part.unlink(missing_ok=True)  # its bytes are of another state
            records.write(path, TransferState(url=url, validator=validator, total=total))
            done = start
            with part.open("ab" if start else "wb") as file:
                on_progress(part.name.removesuffix(".part"), done, total)
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    if done > (MAX_BYTES if total is None else total):
                        raise HTTPException("more bytes than announced")
                    on_progress(part.name.removesuffix(".part"), done, total)
    return total is None or done == total


def _content_range(response: HTTPResponse) -> tuple[int, int | None]:
    """Return (first byte, total bytes) of a partial response."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if not match:
        raise HTTPException("a partial response without its range")
    return int(match[1]), int(match[2]) if match[2] != "*" else None


def _open(url: str, headers: dict[str, str]) -> HTTPResponse:
    """Return the response to a GET over http or https; a range that is not satisfiable (416) is requested from the start."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"'{url[:80]}' is not fetched.", allowed="http and https addresses")
    agent = {"User-Agent": f"mitotype/{__version__}", "Accept-Encoding": "identity"}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers={**agent, **headers}), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if headers and error.code == 416:
            return _open(url, {})
        raise
