"""Access: Host, Origin and token of a request; a token is required where other machines reach the service."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import requests

from mitotype.core.errors import UserError
from mitotype.serve import server
from mitotype.serve.access import Access
from mitotype.serve.server import Address
from tests.serve.conftest import NAMES, StartService, post

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "LOCALHOST:1"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "example.org"}, 421),
        ({"Host": "localhost.example.org"}, 421),
        ({"Host": "localhost@example.org"}, 421),
        ({"Host": "["}, 421),
        ({"Host": ""}, 421),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, 200),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8001"}, 403),
        ({"Origin": "https://example.org"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_host_and_origin(service: str, headers: dict[str, str], status: int) -> None:
    for path in ("health", "openapi.json", "nothing"):
        response = requests.get(f"{service}/{path}", headers=headers, timeout=60)
        assert response.status_code == (404 if status == 200 and path == "nothing" else status)


def test_a_token_is_required_but_for_the_state(start_service: StartService) -> None:
    url = start_service(access=Access(frozenset({"*"}), TOKEN))
    for headers, status in (
        ({}, 401),
        ({"Authorization": TOKEN}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": f"Bearer {TOKEN}0"}, 401),
        ({"Authorization": "Bearer \u00e9"}, 401),
        ({"Authorization": f"bearer {TOKEN}", "Host": "example.org"}, 200),
    ):
        assert post(url, NAMES[0], headers=headers).status_code == status
        assert requests.get(f"{url}/metrics", headers=headers, timeout=60).status_code == status
    assert requests.get(f"{url}/health", timeout=60).status_code == 200
    assert requests.get(f"{url}/ready", timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.0.2", False), ("example.org", False)],
)  # fmt: skip
def test_other_machines_need_a_token(
    host: str, is_local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(server.TOKEN_VARIABLE, raising=False)
    if is_local:
        assert server.access_to(Address(host)).token == ""
    else:
        with pytest.raises(UserError, match=r"no token is set\.\n  set one: --token-file FILE"):
            server.access_to(Address(host))
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    access = server.access_to(Address(host, names=("Service.Example.org",), token_file=tmp_path / "token"))
    assert access.token == TOKEN
    assert {host, "localhost", "service.example.org"} <= access.hosts
    assert TOKEN not in repr(access)
    monkeypatch.setenv(server.TOKEN_VARIABLE, TOKEN)
    assert server.access_to(Address(host)).token == TOKEN


@pytest.mark.parametrize("text", ["", "short", "a token with spaces", "0123456789abcde\u00e9", "0" * 5000])
def test_a_token_that_is_none_is_an_error(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        server.access_to(Address(token_file=tmp_path / "token"))
    assert not text or text not in str(error.value)
    with pytest.raises(UserError):
        server.access_to(Address(token_file=tmp_path / "absent"))
    if text and len(text) < 100:
        monkeypatch.setenv(server.TOKEN_VARIABLE, text)
        with pytest.raises(UserError, match="The token in MITOTYPE_TOKEN"):
            server.access_to(Address())


def test_an_address_that_cannot_be_used_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1, port {port}, cannot be used"):
            server.listen(Address(port=port))
    with pytest.raises(UserError, match="cannot be used"):
        server.listen(Address("192.0.2.1"))  # of no machine
    with pytest.raises(UserError, match="cannot be used"):
        server.listen(Address("a" * 300))
