"""Downloads from a local server: complete, resumed, interrupted, changed, malicious; no partial file is accepted."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mitotype import datasets
from mitotype.core import files, records
from mitotype.core.errors import UserError
from mitotype.datasets import Source
from mitotype.datasets.download import fetch as fetching
from mitotype.datasets.download.fetch import fetch
from tests.datasets import example_folders as examples

CONTENT = bytes(range(256)) * 8000  # 2 MB


class Server:
    """Content and behaviour of the server; `requests` are (path, Range header) of every request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/data.bin": CONTENT}
        self.ranges = True
        self.etag: str | None = '"one"'
        self.cut_at: list[int] = []  # bytes after which the next responses are interrupted
        self.length = True
        self.status: list[int] = []  # status codes of the first responses
        self.requests: list[tuple[str, str | None]] = []
        self.url = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            byte_range = self.headers.get("Range")
            state.requests.append((self.path, byte_range))
            content = state.files.get(self.path)
            if state.status or content is None:
                self.send_error(state.status.pop(0) if state.status else 404)
                return
            start = 0
            if byte_range and state.ranges and self.headers.get("If-Range") == state.etag:
                start = int(byte_range.removeprefix("bytes=").removesuffix("-"))
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

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching.time, "sleep", lambda seconds: None)


def source_of(server: Server, *, sha256: str | None = None) -> list[Source]:
    return [Source(urls=(f"{server.url}/data.bin",), save_as="sub/data.bin", sha256=sha256)]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def files_in(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {".fetch.lock"}


def test_a_file_is_downloaded_and_recorded(server: Server, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int | None]] = []
    (path,) = fetch("amibr", tmp_path, sources=source_of(server), on_progress=lambda *call: calls.append(call))
    assert path == tmp_path / "sub" / "data.bin" and path.read_bytes() == CONTENT
    assert calls[0] == ("data.bin", 0, len(CONTENT)) and calls[-1] == ("data.bin", len(CONTENT), len(CONTENT))
    assert files_in(tmp_path) == {"sub/data.bin", "fetched.json"}
    record = json.loads((tmp_path / "fetched.json").read_text())["sub/data.bin"]
    assert record["sha256"] == sha(CONTENT) and record["bytes"] == len(CONTENT)
    fetch("amibr", tmp_path, sources=source_of(server))
    assert len(server.requests) == 1  # a complete file is not requested again


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_transfer_resumes_or_restarts(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.ranges, server.cut_at = ranges, [500_000, 700_000]
    (path,) = fetch("amibr", tmp_path, sources=source_of(server))
    assert path.read_bytes() == CONTENT
    second = 1_200_000 if ranges else 700_000
    assert [byte_range for _, byte_range in server.requests] == [None, "bytes=500000-", f"bytes={second}-"]


def test_an_incomplete_transfer_is_an_error_and_resumes_later(server: Server, tmp_path: Path) -> None:
    server.cut_at = [100_000] * 3
    with pytest.raises(UserError, match=r"300000 bytes were.*interrupted"):
        fetch("amibr", tmp_path, sources=source_of(server))
    assert files_in(tmp_path) == {"sub/data.bin.part", "sub/data.bin.part.json"}
    (path,) = fetch("amibr", tmp_path, sources=source_of(server))
    assert path.read_bytes() == CONTENT and server.requests[-1][1] == "bytes=300000-"
    assert files_in(tmp_path) == {"sub/data.bin", "fetched.json"}


def test_a_file_that_changed_between_two_attempts_restarts(server: Server, tmp_path: Path) -> None:
    server.cut_at = [100_000] * 3
    with pytest.raises(UserError):
        fetch("amibr", tmp_path, sources=source_of(server))
    server.files["/data.bin"], server.etag = CONTENT[::-1], '"two"'
    (path,) = fetch("amibr", tmp_path, sources=source_of(server))
    assert path.read_bytes() == CONTENT[::-1]


def test_without_validator_or_length(server: Server, tmp_path: Path) -> None:
    server.etag, server.cut_at = None, [100_000]
    (path,) = fetch("amibr", tmp_path / "a", sources=source_of(server))
    assert path.read_bytes() == CONTENT and [byte_range for _, byte_range in server.requests] == [None, None]
    server.length = False
    (path,) = fetch("amibr", tmp_path / "b", sources=source_of(server))
    assert path.read_bytes() == CONTENT


def test_a_kill_after_the_last_byte_requests_nothing(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "sub" / "data.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    state = {"url": f"{server.url}/data.bin", "validator": '"one"', "total": len(CONTENT)}
    part.with_name("data.bin.part.json").write_text(json.dumps(state))
    (path,) = fetch("amibr", tmp_path, sources=source_of(server, sha256=sha(CONTENT)))
    assert path.read_bytes() == CONTENT and server.requests == []


@pytest.mark.parametrize("unpack", [False, True])
def test_a_kill_at_any_step_of_the_end_is_repeated(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpack: bool
) -> None:
    """The steps are the calls that write, rename and remove."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a", b"x")
    server.files["/data.bin"] = content.getvalue()
    sources = [Source(urls=(f"{server.url}/data.bin",), save_as="sub/data", unpack=unpack)]
    for step in range(30):
        folder, calls = tmp_path / str(step), [0]

        def killed(
            function: Callable[..., object], calls: list[int] = calls, step: int = step
        ) -> Callable[..., object]:
            def call(*args: object, **kwargs: object) -> object:
                calls[0] += 1
                if calls[0] > step:  # also what cleans up is not done
                    raise KeyboardInterrupt
                return function(*args, **kwargs)

            return call

        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            for name in ("replace", "unlink", "chmod"):
                patch.setattr(Path, name, killed(getattr(Path, name)))
            fetch("amibr", folder, sources=sources)
        files._swept.clear()
        (target,) = fetch("amibr", folder, sources=sources)
        assert (target / "a" if unpack else target).read_bytes() == (b"x" if unpack else content.getvalue())
        assert files_in(folder) == {"sub/data/a" if unpack else "sub/data", "fetched.json"}
        if calls[0] <= step:
            return
    pytest.fail("there are more steps")


def test_a_part_of_another_address_is_not_continued(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a kill when the state of the new transfer was written and nothing of it was received."""
    part = tmp_path / "sub" / "data.bin.part"
    part.parent.mkdir()
    part.write_bytes(b"other")
    write = records.write

    def killed(path: Path, record: object) -> None:
        write(path, record)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(records, "write", killed)
        fetch("amibr", tmp_path, sources=source_of(server))
    assert fetch("amibr", tmp_path, sources=source_of(server))[0].read_bytes() == CONTENT


def test_a_part_longer_than_the_file_restarts(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "sub" / "data.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    state = {"url": f"{server.url}/data.bin", "validator": '"one"', "total": None}
    part.with_name("data.bin.part.json").write_text(json.dumps(state))
    (path,) = fetch("amibr", tmp_path, sources=source_of(server))
    assert path.read_bytes() == CONTENT


def test_a_changed_byte_is_rejected_and_removed(server: Server, tmp_path: Path) -> None:
    server.files["/data.bin"] = CONTENT[:-1] + b"!"
    with pytest.raises(UserError, match="expected is sha256:"):
        fetch("amibr", tmp_path, sources=source_of(server, sha256=sha(CONTENT)))
    assert files_in(tmp_path) == set()


def test_the_digest_of_the_first_download_is_recorded(server: Server, tmp_path: Path) -> None:
    (path,) = fetch("amibr", tmp_path, sources=source_of(server))
    path.write_bytes(b"changed here")
    with pytest.raises(UserError, match="has changed since it was fetched"):
        fetch("amibr", tmp_path, sources=source_of(server))
    path.unlink()
    server.files["/data.bin"] = CONTENT[:-1] + b"!"
    with pytest.raises(UserError, match="expected is sha256:"):
        fetch("amibr", tmp_path, sources=source_of(server))
    server.files["/data.bin"] = CONTENT
    assert fetch("amibr", tmp_path, sources=source_of(server))[0].read_bytes() == CONTENT


def test_a_present_file_is_accepted_only_with_its_digest(server: Server, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "data.bin").write_bytes(CONTENT)
    assert fetch("amibr", tmp_path, sources=source_of(server, sha256=sha(CONTENT)))[0].is_file()
    with pytest.raises(UserError, match="was not fetched by mitotype"):
        fetch("amibr", tmp_path, sources=source_of(server))
    assert server.requests == []


def test_damaged_records_are_errors(server: Server, tmp_path: Path) -> None:
    fetch("amibr", tmp_path, sources=source_of(server))
    for text in ("no json", "[]", '{"sub/data.bin": {}}', '{"sub/data.bin": 1}'):
        (tmp_path / "fetched.json").write_text(text)
        with pytest.raises(UserError, match=r"record of downloads .* is not valid"):
            fetch("amibr", tmp_path, sources=source_of(server))
    (tmp_path / "b" / "sub").mkdir(parents=True)
    (tmp_path / "b" / "sub" / "data.bin.part.json").write_text("[]")
    with pytest.raises(UserError, match=r"state of a transfer .* is not valid"):
        fetch("amibr", tmp_path / "b", sources=source_of(server))


def test_errors_of_the_server(server: Server, tmp_path: Path) -> None:
    server.status = [503]
    assert fetch("amibr", tmp_path / "a", sources=source_of(server))[0].read_bytes() == CONTENT
    server.requests.clear()
    mirrors = (f"{server.url}/absent", f"{server.url}/data.bin")
    assert fetch("amibr", tmp_path / "b", sources=[Source(urls=mirrors, save_as="x")])[0].read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/absent", "/data.bin"]
    with pytest.raises(UserError, match="404"):
        fetch("amibr", tmp_path / "c", sources=[Source(urls=mirrors[:1], save_as="x")])
    with pytest.raises(UserError, match="was not downloaded completely"):
        fetch("amibr", tmp_path / "d", sources=[Source(urls=("http://127.0.0.1:9/x",), save_as="x")])
    with pytest.raises(UserError, match="http and https"):
        fetch("amibr", tmp_path / "e", sources=[Source(urls=("file:///etc/passwd",), save_as="x")])
    with pytest.raises(UserError, match="has no public address"):
        fetch("folder", tmp_path / "f")
    with pytest.raises(UserError, match="Nearest: amibr"):
        fetch("amibrr", tmp_path / "f")


def archive_of(members: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return raw.getvalue()


def test_an_archive_is_unpacked_checked_and_removed(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = archive_of({"repo-3acf/list.csv": b"a,b\n", "repo-3acf/Normal/1.png": b"png"})
    source = Source(
        urls=(f"{server.url}/a.zip",), save_as="Set", unpack=True, strip=1, members=(("list.csv", sha(b"a,b\n")),)
    )
    assert fetch("amibr", tmp_path, sources=[source]) == [tmp_path / "Set"]
    assert files_in(tmp_path) == {"Set/list.csv", "Set/Normal/1.png", "fetched.json"}
    fetch("amibr", tmp_path, sources=[source])
    assert len(server.requests) == 1
    server.files["/a.zip"] = archive_of({"repo-3acf/list.csv": b"a,c\n"})
    with pytest.raises(UserError, match=r"does not hold 'list\.csv' as it was published"):
        fetch("amibr", tmp_path / "other", sources=[source])
    assert not (tmp_path / "other" / "Set").exists() and not (tmp_path / "other" / "fetched.json").exists()


def test_a_download_is_read(server: Server, tmp_path: Path) -> None:
    root = examples.write_benchmark(tmp_path / "benchmark")
    members = {f"repo-3acf/{p.relative_to(root)}": p.read_bytes() for p in root.rglob("*") if p.is_file()}
    server.files["/a.zip"] = archive_of(members)
    source = Source(urls=(f"{server.url}/a.zip",), save_as="AMi-Br_Benchmark", unpack=True, strip=1)
    fetch("amibr", tmp_path / "data", sources=[source])
    assert len(datasets.read(str(tmp_path / "data"), part="train")[0]) == 8


def test_a_malicious_archive_writes_nothing_outside(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = archive_of({"../../evil": b"x"})
    source = Source(urls=(f"{server.url}/a.zip",), save_as="Set", unpack=True)
    with pytest.raises(UserError, match="would leave the folder"):
        fetch("amibr", tmp_path / "data", sources=[source])
    assert {p.name for p in tmp_path.iterdir()} == {"data"} and not (tmp_path / "data" / "Set").exists()


def test_a_record_is_listed_and_checked(server: Server, tmp_path: Path) -> None:
    members = {"labels.csv": b"image_file,label\n", "png s.zip": archive_of({"x.png": b"png"})}
    server.files = {f"/api/records/7/files/{key.replace(' ', '%20')}/content": value for key, value in members.items()}
    entries = [{"key": key, "checksum": f"md5:{hashlib.md5(value).hexdigest()}"} for key, value in members.items()]
    server.files["/api/records/7"] = json.dumps({"files": entries}).encode()
    source = Source(urls=(f"{server.url}/api/records/7",), save_as="OMG", listing=True, unpack=True)
    assert fetch("omg-octo", tmp_path, sources=[source]) == [
        tmp_path / "OMG" / "labels.csv",
        tmp_path / "OMG" / "png s",
    ]
    assert (tmp_path / "OMG" / "png s" / "x.png").read_bytes() == b"png"
    server.files["/api/records/7/files/labels.csv/content"] = b"changed"
    with pytest.raises(UserError, match="expected is md5:"):
        fetch("omg-octo", tmp_path / "b", sources=[source])
    for listing in (b"no json", b"{}", b'{"files": [{"key": "../evil", "checksum": ""}]}'):
        server.files["/api/records/7"] = listing
        with pytest.raises(UserError, match="record at"):
            fetch("omg-octo", tmp_path / "c", sources=[source])
    server.files.clear()
    with pytest.raises(UserError, match="404"):
        fetch("omg-octo", tmp_path / "c", sources=[source])


def test_a_full_disk_is_an_error(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = Path.open

    def open_part(path: Path, mode: str = "r", **more: object) -> object:
        return Full() if path.name == "data.bin.part" and mode == "wb" else opened(path, mode, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", open_part)
    with pytest.raises(UserError, match="disk is full"):
        fetch("amibr", tmp_path, sources=source_of(server))


def test_published_addresses_are_secure() -> None:
    sources = [source for name in datasets.datasets.names() for source in datasets.datasets.get(name).sources]
    assert sources and all(url.startswith("https://") for source in sources for url in source.urls)


ODD_RESPONSES = {
    "a redirect without an address": b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n",
    "a redirect to a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
    "a redirect to port 99999999": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999999/\r\n\r\n",
    "a chunk of length zz": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "a chunk of length -5": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n0\r\n\r\n",
    "a huge chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",
    "a huge range": b"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-1/" + b"9" * 5000 + b"\r\n\r\nabc",
    "no status": b"garbage\r\n\r\n",
}


@pytest.mark.parametrize("response", ODD_RESPONSES.values(), ids=ODD_RESPONSES)
@pytest.mark.parametrize("listing", [False, True])
def test_odd_responses_are_user_errors(response: bytes, listing: bool, tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(response)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{running.server_address[1]}/x"
        with pytest.raises(UserError, match=r"not downloaded completely|is unavailable|no list of files"):
            fetch("amibr", tmp_path / "out", sources=[Source(urls=(address,), save_as="x", listing=listing)])
        running.shutdown()
    assert not (tmp_path / "out" / "x").exists()
