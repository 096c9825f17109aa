"""Kinds of trials on what is fetched: archives, and a server on this machine that answers wrongly."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from zipfile import ZipFile, ZipInfo

from mitotype.datasets.dataset import Source
from mitotype.datasets.download import archives, fetch
from tests.robustness.mutations import TEXTS, mutate_bytes, mutate_json
from tests.robustness.trial import Sandbox, Trial

NAMES = (
    "a/../../x", "/etc/x", "a\\b", "C:x", "x" * 300, "x/" * 3000 + "y", "a", "a/", "a/b", "A", "é" * 150, ".", "..",
    "./a", "a//b", "\x1b[2J", " ", "con", "a\nb",
    "\u202e", "-rf", "a/b/c", "top/Normal", "top", "",
)  # fmt: skip


def archive(box: Sandbox) -> Trial:
    path, rng = box.folder / "a.zip", box.rng
    if rng.random() < 0.6:
        path.write_bytes(mutate_bytes(box.pick("archives/*").read_bytes(), rng))
    else:
        _write_odd(path, rng)
    strip = rng.choice((0, 0, 1, 2))
    if rng.random() < 0.8:
        return Trial(call=lambda: archives.unpack(path, box.out, strip=strip), out=(box.out,))
    return Trial(["audit", str(path)])


def _write_odd(path: Path, rng: Random) -> None:
    """Write an archive whose names are hostile, too long, doubled, or need a folder where a file is."""
    with ZipFile(path, "w", rng.choice((0, 8, 12, 14))) as opened:
        for _ in range(rng.choice((1, 2, 4))):
            info = ZipInfo(rng.choice(NAMES) or "x")
            info.external_attr = rng.choice((0, 0, 0, 0o120777, 0o020666, 0o040755)) << 16
            info.date_time = rng.choice(((1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)))
            opened.writestr(info, rng.choice((b"", b"x", bytes(3000))))


def server(box: Sandbox) -> Trial:
    """`fetch` from a server that sends wrong lengths, ranges, redirects, listings, digests or archives."""
    rng = box.rng
    body = box.pick("archives/*").read_bytes()
    unpack, listing = rng.random() < 0.5, rng.random() < 0.3
    body = mutate_bytes(body, rng) if rng.random() < 0.3 else body
    digest = hashlib.sha256(body).hexdigest() if rng.random() < 0.7 else None
    seed = rng.randrange(2**32)

    def call() -> None:
        with _serve(body, seed) as address:
            source = Source(
                urls=(f"{address}/x",),
                save_as=rng.choice(("x.zip", "Data/x")),
                sha256=digest,
                unpack=unpack,
                listing=listing,
            )
            fetch.fetch("amibr", box.out, sources=[source])
            fetch.fetch("amibr", box.out, sources=[source])

    return Trial(call=call, out=(box.out,))


@contextmanager
def _serve(body: bytes, seed: int) -> Iterator[str]:
    rng = Random(seed)
    mode = rng.randrange(14)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.close_connection = True
            with suppress(OSError):
                self._answer()

        def _raw(self, text: bytes) -> None:
            self.wfile.write(text)

        def _answer(self) -> None:
            if "/api/" in self.path or mode == 0:
                listing = b'{"files": [{"key": "x.zip", "checksum": "md5:00"}, {"key": "y.csv", "checksum": "md5:11"}]}'
                return self._plain(mutate_json(listing, rng))
            if mode == 1:
                return self._raw(
                    b"HTTP/1.1 302 Found\r\nLocation: "
                    + rng.choice(
                        (
                            b"",
                            b"x",
                            b"file:///etc/passwd",
                            b"ftp://x/y",
                            b"http://[",
                            b"//",
                            b"http://127.0.0.1:1/",
                            b"http://\xff/",
                            b"http://x:99999999/",
                            b"/x",
                        )
                    )
                    + b"\r\n\r\n"
                )
            if mode == 2:
                size = rng.choice((b"zz", b"-5", b"fffffffffffffffff", b"", b"5;x", b"1" * 100_000, b"8"))
                return self._raw(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\nabc\r\n0\r\n\r\n"
                )
            if mode == 3:
                length = rng.choice(
                    (
                        b"-1",
                        b"abc",
                        b"0",
                        b"1e9",
                        b"9" * 30,
                        str(len(body) - 3).encode(),
                        str(len(body) + 3).encode(),
                        b"\xb2",
                        "\u0663".encode("latin-1", "replace"),
                    )
                )
                return self._raw(b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\n" + body)
            if mode == 4:
                return self._raw(
                    rng.choice(
                        (
                            b"",
                            b"garbage\r\n\r\n",
                            b"HTTP/1.1\r\n\r\n",
                            b"HTTP/9.9 200 OK\r\n\r\n",
                            b"HTTP/1.1 abc OK\r\n\r\n",
                            b"HTTP/1.1 99999 OK\r\n\r\n",
                            b"x" * 100_000,
                        )
                    )
                )
            if mode == 5:
                return self._raw(
                    b"HTTP/1.1 "
                    + rng.choice(
                        (
                            b"404 No",
                            b"500 No",
                            b"401 No",
                            b"429 No",
                            b"204 No",
                            b"304 No",
                            b"100 No",
                            b"416 No",
                            b"206 No",
                        )
                    )
                    + b"\r\nContent-Length: 0\r\n\r\n"
                )
            if mode == 6:
                ranges = rng.choice(
                    (
                        b"bytes 5-9/3",
                        b"bytes 0-1/*",
                        b"x",
                        b"bytes */9",
                        b"bytes 0-99999999999999999999999/99999999999999999999999999",
                        b"bytes 0-1/" + b"9" * 5000,
                    )
                )
                return self._raw(
                    b"HTTP/1.1 206 Partial\r\nContent-Range: " + ranges + b"\r\nContent-Length: 3\r\n\r\nabc"
                )
            if mode == 7:
                return self._raw(
                    b"HTTP/1.1 200 OK\r\nETag: "
                    + rng.choice((b'"' + b"e" * 60_000 + b'"', b"\xff\xfe", b"a\tb", b""))
                    + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
                    + body[: rng.randrange(len(body) + 1)]
                )
            if mode == 8:
                return self._raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n" + body)
            if mode == 9:
                return self._raw(
                    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )
            return self._plain(body)

        def _plain(self, raw: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.send_header(
                "ETag", rng.choice(('"a"', "W/x", *[t for t in TEXTS if t.isascii() and t.isprintable()][:12]))
            )
            self.end_headers()
            self.wfile.write(raw if rng.random() < 0.7 else raw[: len(raw) // 2])

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    before, fetch.TIMEOUT_S = fetch.TIMEOUT_S, 2
    try:
        yield f"http://127.0.0.1:{running.server_address[1]}"
    finally:
        fetch.TIMEOUT_S = before
        running.shutdown()
        running.server_close()
