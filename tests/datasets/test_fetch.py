"""Fetching, against a server of our own: whole, resumed, broken off, changed, evil; nothing half is taken for whole."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mitotype import datasets
from mitotype.core.mistakes import Mistake
from mitotype.datasets import Source
from mitotype.datasets import fetch as fetching
from mitotype.datasets.fetch import fetch
from tests.datasets import made

CONTENT = bytes(range(256)) * 8000  # 2 MB


class Served:
    """What the server holds and how it behaves; `asked` are (path, Range header) of every request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/data.bin": CONTENT}
        self.ranges = True
        self.etag: str | None = '"one"'
        self.cut_at: list[int] = []  # bytes after which the next answers break off
        self.length = True
        self.status: list[int] = []  # status codes to answer first
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""


@pytest.fixture
def served() -> Iterator[Served]:
    state = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            content = state.files.get(self.path)
            if state.status or content is None:
                self.send_error(state.status.pop(0) if state.status else 404)
                return
            start = 0
            if wanted and state.ranges and self.headers.get("If-Range") == state.etag:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if state.length:
                self.send_header("Content-Length", str(len(content) - start))
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            end = start + state.cut_at.pop(0) if state.cut_at else len(content)
            self.wfile.write(content[start:end])

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching.time, "sleep", lambda seconds: None)


def plain(served: Served, *, sha256: str | None = None) -> list[Source]:
    return [Source(urls=(f"{served.url}/data.bin",), save_as="sub/data.bin", sha256=sha256)]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def left(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {".fetch.lock"}


def test_a_file_comes_whole_and_is_recorded(served: Served, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    (path,) = fetch("amibr", tmp_path, sources=plain(served), progress=lambda *now: seen.append(now))
    assert path == tmp_path / "sub" / "data.bin" and path.read_bytes() == CONTENT
    assert seen[0] == ("data.bin", 0, len(CONTENT)) and seen[-1] == ("data.bin", len(CONTENT), len(CONTENT))
    assert left(tmp_path) == {"sub/data.bin", "fetched.json"}
    record = json.loads((tmp_path / "fetched.json").read_text())["sub/data.bin"]
    assert record["sha256"] == sha(CONTENT) and record["bytes"] == len(CONTENT)
    fetch("amibr", tmp_path, sources=plain(served))
    assert len(served.asked) == 1  # what is there is left alone


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_transfer_goes_on_or_begins_anew(served: Served, tmp_path: Path, ranges: bool) -> None:
    served.ranges, served.cut_at = ranges, [500_000, 700_000]
    (path,) = fetch("amibr", tmp_path, sources=plain(served))
    assert path.read_bytes() == CONTENT
    second = 1_200_000 if ranges else 700_000
    assert [wanted for _, wanted in served.asked] == [None, "bytes=500000-", f"bytes={second}-"]


def test_a_transfer_that_stays_short_is_a_mistake_and_goes_on_later(served: Served, tmp_path: Path) -> None:
    served.cut_at = [100_000] * 3
    with pytest.raises(Mistake, match=r"300000 bytes did.*broke off"):
        fetch("amibr", tmp_path, sources=plain(served))
    assert left(tmp_path) == {"sub/data.bin.part", "sub/data.bin.part.json"}
    (path,) = fetch("amibr", tmp_path, sources=plain(served))
    assert path.read_bytes() == CONTENT and served.asked[-1][1] == "bytes=300000-"
    assert left(tmp_path) == {"sub/data.bin", "fetched.json"}


def test_a_file_that_changed_between_two_tries_begins_anew(served: Served, tmp_path: Path) -> None:
    served.cut_at = [100_000] * 3
    with pytest.raises(Mistake):
        fetch("amibr", tmp_path, sources=plain(served))
    served.files["/data.bin"], served.etag = CONTENT[::-1], '"two"'
    (path,) = fetch("amibr", tmp_path, sources=plain(served))
    assert path.read_bytes() == CONTENT[::-1]


def test_without_validator_or_length(served: Served, tmp_path: Path) -> None:
    served.etag, served.cut_at = None, [100_000]
    (path,) = fetch("amibr", tmp_path / "a", sources=plain(served))
    assert path.read_bytes() == CONTENT and [wanted for _, wanted in served.asked] == [None, None]
    served.length = False
    (path,) = fetch("amibr", tmp_path / "b", sources=plain(served))
    assert path.read_bytes() == CONTENT


def test_a_kill_after_the_last_byte_asks_for_nothing(served: Served, tmp_path: Path) -> None:
    part = tmp_path / "sub" / "data.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    state = {"url": f"{served.url}/data.bin", "validator": '"one"', "total": len(CONTENT)}
    part.with_name("data.bin.part.json").write_text(json.dumps(state))
    (path,) = fetch("amibr", tmp_path, sources=plain(served, sha256=sha(CONTENT)))
    assert path.read_bytes() == CONTENT and served.asked == []


def test_a_beginning_longer_than_the_file_begins_anew(served: Served, tmp_path: Path) -> None:
    part = tmp_path / "sub" / "data.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    state = {"url": f"{served.url}/data.bin", "validator": '"one"', "total": None}
    part.with_name("data.bin.part.json").write_text(json.dumps(state))
    (path,) = fetch("amibr", tmp_path, sources=plain(served))
    assert path.read_bytes() == CONTENT


def test_a_changed_byte_is_refused_and_removed(served: Served, tmp_path: Path) -> None:
    served.files["/data.bin"] = CONTENT[:-1] + b"!"
    with pytest.raises(Mistake, match="expected is sha256:"):
        fetch("amibr", tmp_path, sources=plain(served, sha256=sha(CONTENT)))
    assert left(tmp_path) == set()


def test_the_digest_of_first_use_is_kept(served: Served, tmp_path: Path) -> None:
    (path,) = fetch("amibr", tmp_path, sources=plain(served))
    path.write_bytes(b"changed here")
    with pytest.raises(Mistake, match="has changed since it was fetched"):
        fetch("amibr", tmp_path, sources=plain(served))
    path.unlink()
    served.files["/data.bin"] = CONTENT[:-1] + b"!"
    with pytest.raises(Mistake, match="expected is sha256:"):
        fetch("amibr", tmp_path, sources=plain(served))
    served.files["/data.bin"] = CONTENT
    assert fetch("amibr", tmp_path, sources=plain(served))[0].read_bytes() == CONTENT


def test_a_file_that_is_there_is_taken_only_with_its_digest(served: Served, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "data.bin").write_bytes(CONTENT)
    assert fetch("amibr", tmp_path, sources=plain(served, sha256=sha(CONTENT)))[0].is_file()
    with pytest.raises(Mistake, match="was not fetched by mitotype"):
        fetch("amibr", tmp_path, sources=plain(served))
    assert served.asked == []


def test_errors_of_the_server(served: Served, tmp_path: Path) -> None:
    served.status = [503]
    assert fetch("amibr", tmp_path / "a", sources=plain(served))[0].read_bytes() == CONTENT
    served.asked.clear()
    mirrors = (f"{served.url}/absent", f"{served.url}/data.bin")
    assert fetch("amibr", tmp_path / "b", sources=[Source(urls=mirrors, save_as="x")])[0].read_bytes() == CONTENT
    assert [path for path, _ in served.asked] == ["/absent", "/data.bin"]
    with pytest.raises(Mistake, match="404"):
        fetch("amibr", tmp_path / "c", sources=[Source(urls=mirrors[:1], save_as="x")])
    with pytest.raises(Mistake, match="did not come through"):
        fetch("amibr", tmp_path / "d", sources=[Source(urls=("http://127.0.0.1:9/x",), save_as="x")])
    with pytest.raises(Mistake, match="http and https"):
        fetch("amibr", tmp_path / "e", sources=[Source(urls=("file:///etc/passwd",), save_as="x")])
    with pytest.raises(Mistake, match="is not published anywhere"):
        fetch("folder", tmp_path / "f")
    with pytest.raises(Mistake, match="Nearest: amibr"):
        fetch("amibrr", tmp_path / "f")


def archive_of(members: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return raw.getvalue()


def test_an_archive_is_unpacked_checked_and_removed(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = archive_of({"repo-3acf/list.csv": b"a,b\n", "repo-3acf/Normal/1.png": b"png"})
    source = Source(
        urls=(f"{served.url}/a.zip",), save_as="Set", unpack=True, strip=1, members=(("list.csv", sha(b"a,b\n")),)
    )
    assert fetch("amibr", tmp_path, sources=[source]) == [tmp_path / "Set"]
    assert left(tmp_path) == {"Set/list.csv", "Set/Normal/1.png", "fetched.json"}
    fetch("amibr", tmp_path, sources=[source])
    assert len(served.asked) == 1
    served.files["/a.zip"] = archive_of({"repo-3acf/list.csv": b"a,c\n"})
    with pytest.raises(Mistake, match=r"does not hold 'list\.csv' as it was published"):
        fetch("amibr", tmp_path / "other", sources=[source])
    assert not (tmp_path / "other" / "Set").exists() and not (tmp_path / "other" / "fetched.json").exists()


def test_what_is_fetched_is_read(served: Served, tmp_path: Path) -> None:
    root = made.benchmark(tmp_path / "made")
    members = {f"repo-3acf/{p.relative_to(root)}": p.read_bytes() for p in root.rglob("*") if p.is_file()}
    served.files["/a.zip"] = archive_of(members)
    source = Source(urls=(f"{served.url}/a.zip",), save_as="AMi-Br_Benchmark", unpack=True, strip=1)
    fetch("amibr", tmp_path / "data", sources=[source])
    assert len(datasets.read(str(tmp_path / "data"), part="train")[0]) == 8


def test_an_evil_archive_leaves_nothing_outside(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = archive_of({"../../evil": b"x"})
    source = Source(urls=(f"{served.url}/a.zip",), save_as="Set", unpack=True)
    with pytest.raises(Mistake, match="would leave the folder"):
        fetch("amibr", tmp_path / "here", sources=[source])
    assert {p.name for p in tmp_path.iterdir()} == {"here"} and not (tmp_path / "here" / "Set").exists()


def test_a_record_is_listed_and_checked(served: Served, tmp_path: Path) -> None:
    members = {"labels.csv": b"image_file,label\n", "png s.zip": archive_of({"x.png": b"png"})}
    served.files = {f"/api/records/7/files/{key.replace(' ', '%20')}/content": value for key, value in members.items()}
    entries = [{"key": key, "checksum": f"md5:{hashlib.md5(value).hexdigest()}"} for key, value in members.items()]
    served.files["/api/records/7"] = json.dumps({"files": entries}).encode()
    source = Source(urls=(f"{served.url}/api/records/7",), save_as="OMG", listing=True, unpack=True)
    assert fetch("omg-octo", tmp_path, sources=[source]) == [
        tmp_path / "OMG" / "labels.csv",
        tmp_path / "OMG" / "png s",
    ]
    assert (tmp_path / "OMG" / "png s" / "x.png").read_bytes() == b"png"
    served.files["/api/records/7/files/labels.csv/content"] = b"changed"
    with pytest.raises(Mistake, match="expected is md5:"):
        fetch("omg-octo", tmp_path / "b", sources=[source])
    for listing in (b"no json", b"{}", b'{"files": [{"key": "../evil", "checksum": ""}]}'):
        served.files["/api/records/7"] = listing
        with pytest.raises(Mistake, match="record at"):
            fetch("omg-octo", tmp_path / "c", sources=[source])
    served.files.clear()
    with pytest.raises(Mistake, match="404"):
        fetch("omg-octo", tmp_path / "c", sources=[source])


def test_a_full_disk_is_told(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = Path.open

    def open_part(path: Path, mode: str = "r", **more: object) -> object:
        return Full() if path.name == "data.bin.part" and mode == "wb" else opened(path, mode, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", open_part)
    with pytest.raises(Mistake, match="disk is full"):
        fetch("amibr", tmp_path, sources=plain(served))


def test_published_addresses_are_secure() -> None:
    sources = [source for name in datasets.datasets.names() for source in datasets.datasets.get(name).sources]
    assert sources and all(url.startswith("https://") for source in sources for url in source.urls)
