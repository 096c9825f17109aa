"""The command as a process: a signal lets it answer what it accepted, a kill leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.serve.conftest import NAMES, RAW, post, upload, wait_until


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start the command with a home, cache and folder for temporary files inside `folder`; return it and its port."""
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME"), str(folder))}
    command = [sys.executable, "-m", "mitotype", "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder) as process:
        try:
            assert process.stderr
            line = next(line for line in process.stderr if "served at" in line)
            match = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            assert match
            yield process, int(match[1])
        finally:
            process.kill()


def encode_form(*named: tuple[str, bytes]) -> tuple[bytes, str]:
    """Return the body of a form and its content type."""
    prepared = requests.Request("POST", "http://localhost", files=upload(*named)).prepare()
    assert isinstance(prepared.body, bytes)
    return prepared.body, str(prepared.headers["Content-Type"])


def raw_request(*names: str) -> tuple[bytes, bytes]:
    """Return the head and the body of a request."""
    body, content_type = encode_form(*((name, RAW[name]) for name in names))
    head = (
        f"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    )
    return head.encode() + b"\r\n", body


@contextmanager
def half_sent(port: int) -> Iterator[tuple[socket.socket, bytes]]:
    """Send half of a request; return the connection and the other half. The service has accepted it."""
    head, body = raw_request(*NAMES)
    half = len(body) // 2
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head + body[:half])
        metrics = f"http://127.0.0.1:{port}/metrics"
        wait_until(lambda: "mitotype_waiting_requests 1.0" in requests.get(metrics, timeout=60).text)
        yield connection, body[half:]


def received(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(2**16):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_it_answer_what_it_accepted(tmp_path: Path, number: int) -> None:
    with started(tmp_path) as (process, port):
        with half_sent(port) as (connection, rest):
            process.send_signal(number)
            wait_until(lambda: not accepts(port))
            assert process.poll() is None
            connection.sendall(rest)
            head, _, body = received(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert [row["path"] for row in json.loads(body)["predictions"]] == NAMES
        assert process.wait(60) == 0
        assert process.stderr
        assert process.stderr.read() == "stopped; every accepted request was answered\n"
    assert list(tmp_path.iterdir()) == []


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionError:
        return False
    return True


def test_a_second_interrupt_ends_it_at_once(tmp_path: Path) -> None:
    with started(tmp_path) as (process, port), half_sent(port):
        process.send_signal(signal.SIGINT)
        wait_until(lambda: not accepts(port))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 128 + signal.SIGINT
    assert list(tmp_path.iterdir()) == []


def test_a_kill_in_mid_request_leaves_nothing_behind(tmp_path: Path) -> None:
    """No file, no process, and a port that the next service listens at."""
    with started(tmp_path) as (process, port):
        with half_sent(port) as (connection, _), contextlib.suppress(ConnectionError):
            process.kill()
            assert received(connection) == b""
        process.wait(60)
        assert list(tmp_path.iterdir()) == []
        with started(tmp_path, "--port", str(port)) as (_, same):
            assert same == port
            assert post(f"http://127.0.0.1:{port}", NAMES[0]).status_code == 200


def test_a_wrong_option_is_a_user_error(tmp_path: Path) -> None:
    for arguments, error in (
        (["--host", "0.0.0.0"], "no token is set"),
        (["--words"], "no shape descriptors"),
        (["nothing"], "neither a bundle nor a run"),
    ):
        command = [sys.executable, "-m", "mitotype", "serve", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert result.returncode == 2
        assert error in result.stderr
        assert "Traceback" not in result.stderr
