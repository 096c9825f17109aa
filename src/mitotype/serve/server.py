"""The server: an address, a token, and uvicorn until a signal; what was accepted is answered before the end."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from mitotype.core import files
from mitotype.core.errors import UserError
from mitotype.serve.access import Access

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
TOKEN_VARIABLE = "MITOTYPE_TOKEN"
MIN_TOKEN = 16  # characters
LOGGER = logging.getLogger("mitotype")


@dataclass(frozen=True)
class Address:
    """Where the service listens, the names by which it is reached, and the file of its token."""

    host: str = "127.0.0.1"
    port: int = 8000
    names: tuple[str, ...] = ()
    token_file: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether no other machine reaches the service."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def access_to(address: Address) -> Access:
    """Return who may use the service. Raises a UserError where other machines could, without a token."""
    token = _read_token(address.token_file)
    if not token and not address.is_local:
        raise UserError(
            f"Other machines reach '{address.host}', and no token is set.",
            fix=f"set one: --token-file FILE, or the variable {TOKEN_VARIABLE}; or leave out --host",
        )
    names = {*LOCAL_NAMES, address.host, socket.gethostname(), *address.names}
    return Access(frozenset(name.lower() for name in names), token)


def _read_token(path: Path | None) -> str:
    """Return the token in a file, else that of the environment, else "". Raises a UserError for one that is too short."""
    source = f"The token in '{path}'" if path else f"The token in {TOKEN_VARIABLE}"
    raw = (
        files.read_bytes(path, what="token", max_bytes=4096)
        if path
        else os.fsencode(os.environ.get(TOKEN_VARIABLE, ""))
    )
    token = raw.decode("ascii", errors="replace").strip()
    is_word = token.isascii() and token.isprintable() and " " not in token
    if (token or path) and (len(token) < MIN_TOKEN or not is_word):
        raise UserError(
            f"{source} cannot be used.",
            allowed=f"at least {MIN_TOKEN} ASCII characters without spaces",
            fix="make one: openssl rand -hex 32",
        )
    return token


def listen(address: Address) -> socket.socket:
    """Return the listening socket. Raises a UserError for an address that is in use or not of this machine."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=2048)
    except (OSError, OverflowError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{address.host}, port {address.port}, cannot be used: {reason}.", fix="choose another --port or --host"
        ) from error


def new_server(app: FastAPI) -> uvicorn.Server:
    """Return a server without logs of requests, which ignores the headers of proxies."""
    config = uvicorn.Config(
        app, lifespan="on", ws="none", log_config=None, access_log=False, proxy_headers=False, server_header=False
    )
    return uvicorn.Server(config)


def run(app: FastAPI, listener: socket.socket) -> None:
    """Answer requests until SIGINT, SIGTERM or SIGHUP; then accept no more, answer those that were accepted, and return.

    A second SIGINT ends at once.
    """
    server = new_server(app)
    hangup = getattr(signal, "SIGHUP", None)
    if hangup and signal.getsignal(hangup) != signal.SIG_IGN:  # as under nohup
        signal.signal(hangup, server.handle_exit)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn raises the signal again, when it has shut down
        if server.force_exit:
            raise
    LOGGER.info("stopped; every accepted request was answered")
