"""Public datasets from their published addresses: resumed, checked, unpacked safely, whole or absent."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from mitotype import __version__
from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.datasets import Source, archives, datasets

Progress = Callable[[str, int, int | None], None]
"""Called with (file, bytes so far, bytes in all or None)."""

RECORD = "fetched.json"
CHUNK = 1 << 18
TRIES = 3
TIMEOUT_S = 60
MAX_BYTES = 128 * 2**30
MAX_LISTING_BYTES = 4 * 2**20


def fetch(
    name: str, folder: Path, *, sources: Sequence[Source] | None = None, progress: Progress | None = None
) -> list[Path]:
    """Fetch the dataset `name` into `folder` and return the files and folders that it became.

    What is there already is left alone. A broken transfer leaves a `.part` and goes on from there when the server allows
    (HTTP Range), at once up to three times and again when the command is repeated. A file whose sha256 is known is checked
    against it; of others the digest is recorded in `folder`/fetched.json at first use and checked ever after. Archives are
    unpacked inside their folder only (see archives) and then removed. `sources` replaces the published addresses (a
    mirror).

    Raises a Mistake: an unknown name or one without a public address, no answer, a transfer that stays short, another
    digest than known or recorded, an archive that is refused, a full disk.
    """
    dataset = datasets.get(name)
    wanted = list(dataset.sources if sources is None else sources)
    if not wanted:
        fetchable = ", ".join(n for n in datasets.names() if datasets.get(n).sources)
        raise Mistake(f"'{name}' is not published anywhere.", allowed=fetchable)
    say = progress or (lambda file, done, total: None)
    with files.told_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / ".fetch.lock"):
        return [_one(item, folder, say) for source in wanted for item in _listed(source)]


@dataclass(frozen=True)
class _Item:
    """One file to fetch: where from, what it becomes, and what its digest must be ("sha256:…" or "md5:…", or None)."""

    urls: tuple[str, ...]
    save_as: str
    digest: str | None
    unpack: bool
    strip: int = 0
    members: tuple[tuple[str, str], ...] = ()


def _listed(source: Source) -> list[_Item]:
    """The files of a source: itself, or every file of the Zenodo record that it names."""
    if not source.listing:
        digest = f"sha256:{source.sha256}" if source.sha256 else None
        return [_Item(source.urls, source.save_as, digest, source.unpack, source.strip, source.members)]
    address = source.urls[0]
    try:
        with _opened(address, {}) as answer:
            raw = answer.read(MAX_LISTING_BYTES + 1)
    except (OSError, HTTPException) as error:
        raise Mistake(f"The record at {address} does not answer: {_why(error)}.", fix="try again later") from error
    try:
        entries = json.loads(raw)["files"]
        found = [(str(entry["key"]), str(entry["checksum"])) for entry in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise Mistake(f"The record at {address} has no list of files.", fix="look at it in a browser") from error
    items = []
    for key, checksum in found:
        if not re.fullmatch(r"[\w. ()+-]{1,200}", key) or key.startswith("."):
            raise Mistake(f"The record at {address} lists a file called '{key[:80]}'.", fix="look at it in a browser")
        archive = source.unpack and key.lower().endswith(".zip")
        place = f"{source.save_as}/{key[:-4] if archive else key}"
        digest = checksum if re.fullmatch(r"(md5|sha256):[0-9a-f]+", checksum) else None
        items.append(_Item((f"{address}/files/{quote(key)}/content",), place, digest, archive, source.strip))
    return items


def _one(item: _Item, folder: Path, say: Progress) -> Path:
    """Fetch one file, unless it is there: recorded, and of the recorded digest where it was kept."""
    target = folder / PurePosixPath(item.save_as)
    record = _recorded(folder)
    known = record.get(item.save_as, {})
    if target.exists():
        if known and (item.unpack or files.sha256(target) == known["sha256"]):
            return target
        if known:
            raise Mistake(f"'{target}' has changed since it was fetched.", fix="move it away and fetch again")
        if not item.unpack and item.digest and _digest(target, item.digest) == item.digest:
            return target
        raise Mistake(
            f"'{target}' is already there and was not fetched by mitotype.", fix="move it away, or fetch elsewhere"
        )
    part = target.with_name(f"{target.name}.part")
    url = _transferred(item, part, say)
    sha256 = _checked(item, part, str(known["sha256"]) if known else None, url)
    size = part.stat().st_size
    if item.unpack:
        archives.unpack(part, target, strip=item.strip)
        _members(item, target, url)
        part.unlink()
    else:
        part.replace(target)
    _state(part).unlink(missing_ok=True)
    record[item.save_as] = {"url": url, "sha256": sha256, "bytes": size, "date": time.strftime("%Y-%m-%d")}
    files.write_json(folder / RECORD, record)
    return target


def _members(item: _Item, folder: Path, url: str) -> None:
    """Check the files of known digest in an unpacked archive; a wrong one removes the folder and is a Mistake."""
    for name, sha256 in item.members:
        if not (folder / name).is_file() or files.sha256(folder / name) != sha256:
            shutil.rmtree(folder)
            raise Mistake(
                f"The archive from {url} does not hold '{name}' as it was published.",
                fix="fetch again; if it stays so, the archive was changed at its address: do not use it",
            )


def _recorded(folder: Path) -> dict[str, dict[str, str | int]]:
    path = folder / RECORD
    value = files.read_json(path, what="record of what was fetched") if path.is_file() else {}
    if not isinstance(value, dict) or not all(isinstance(v, dict) and "sha256" in v for v in value.values()):
        raise Mistake(f"'{path}' is not a record of what was fetched.", fix="move it away")
    return value


def _checked(item: _Item, part: Path, recorded: str | None, url: str) -> str:
    """The sha256 of what came; a wrong one removes it and is a Mistake."""
    sha256 = files.sha256(part)
    wrong = recorded is not None and sha256 != recorded
    if item.digest is not None and not wrong:
        wrong = _digest(part, item.digest) != item.digest
    if wrong:
        part.unlink()
        _state(part).unlink(missing_ok=True)
        expected = f"sha256:{recorded}" if recorded and not item.digest else item.digest
        raise Mistake(
            f"What came from {url} has sha256 {sha256[:16]}…; expected is {str(expected)[:24]}….",
            fix="fetch again; if it stays so, the file was changed at its address: do not use it",
        )
    return sha256


def _digest(path: Path, like: str) -> str:
    """The digest of a file by the method that `like` names: "md5:…" or "sha256:…"."""
    method = like.partition(":")[0]
    with path.open("rb") as file:
        return f"{method}:{hashlib.file_digest(file, method).hexdigest()}"


def _state(part: Path) -> Path:
    """Beside a `.part`: whose beginning it is (address and the server's ETag or date)."""
    return part.with_name(f"{part.name}.json")


def _transferred(item: _Item, part: Path, say: Progress) -> str:
    """Bring `part` to its full length from the first address that answers; return that address."""
    troubles = []
    for url in item.urls:
        for attempt in range(TRIES):
            try:
                if _transfer(url, part, say):
                    return url
                troubles.append(f"{url}: the transfer broke off")
            except (OSError, HTTPException) as error:
                troubles.append(f"{url}: {_why(error)}")
                if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429:
                    break
            time.sleep(0.2 * attempt)
    so_far = part.stat().st_size if part.exists() else 0
    raise Mistake(
        f"'{item.save_as}' did not come through ({so_far} bytes did). {'; '.join(dict.fromkeys(troubles))}.",
        fix="repeat the command: it goes on from what is there",
    )


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    return str(getattr(error, "reason", None) or error or type(error).__name__)


def _transfer(url: str, part: Path, say: Progress) -> bool:
    """One request, from where `part` ends if the server goes on there. True when every byte has come."""
    have = part.stat().st_size if part.exists() else 0
    state = files.read_json(_state(part), what="state of a transfer") if _state(part).is_file() else {}
    if have and not (isinstance(state, dict) and state.get("url") == url and state.get("validator")):
        have = 0
    if have and have == state.get("total"):
        return True
    headers = {"Range": f"bytes={have}-", "If-Range": str(state["validator"])} if have else {}
    with _opened(url, headers, resuming=bool(have)) as answer:
        start = 0
        if answer.status == 206:
            start, total = _span(answer)
            if start != have:
                raise HTTPException(f"asked from byte {have}, answered from {start}")
        else:
            length = answer.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
        if total is not None and total > MAX_BYTES:
            raise Mistake(f"{url} has {total} bytes; at most {MAX_BYTES} are fetched.")
        etag = answer.headers.get("ETag", "")
        validator = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")
        with files.told_disk(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(_state(part), {"url": url, "validator": validator, "total": total})
            done = start
            with part.open("ab" if start else "wb") as file:
                say(part.name.removesuffix(".part"), done, total)
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    if done > (MAX_BYTES if total is None else total):
                        raise HTTPException("more bytes than announced")
                    say(part.name.removesuffix(".part"), done, total)
    return total is None or done == total


def _span(answer: HTTPResponse) -> tuple[int, int | None]:
    """(first byte, bytes in all) of a partial answer."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if not match:
        raise HTTPException("a partial answer without its range")
    return int(match[1]), int(match[2]) if match[2] != "*" else None


def _opened(url: str, headers: dict[str, str], *, resuming: bool = False) -> HTTPResponse:
    """The answer to a GET. Only http and https; a beginning that the server no longer knows (416) is asked for anew."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise Mistake(f"'{url[:80]}' is not fetched.", allowed="http and https addresses")
    agent = {"User-Agent": f"mitotype/{__version__}", "Accept-Encoding": "identity"}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers={**agent, **headers}), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if resuming and error.code == 416:
            return _opened(url, {})
        raise
