"""Access: which requests are answered, by the headers Host, Origin and Authorization."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fastapi.datastructures import Headers
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mitotype.serve.messages import ErrorResponse, to_response

ANY = "*"
OPEN_PATHS = ("/health", "/ready")  # need no token: they are read by machines that have none


@dataclass(frozen=True)
class Access:
    """Names by which the service is reached (`ANY` for every one), and the token that is required, if there is one."""

    hosts: frozenset[str]
    token: str = field(default="", repr=False)

    def refusal(self, path: str, headers: Headers) -> Response | None:
        """Return the response to a request that is not answered, None for every other.

        A page of another site makes the browser of its reader send requests: their Origin is that site. One that resolves its
        own name to this machine has the right Origin: its Host is not one of ours.
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        if ANY not in self.hosts and _hostname(host) not in self.hosts:
            return _refused(421, "The service is not reached by this host name; --allow-host adds one.")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return _refused(403, "Requests from pages of other sites are refused.")
        if self.token and path not in OPEN_PATHS and not self._is_authorized(headers.get("authorization", "")):
            return _refused(
                401, "The header 'Authorization: Bearer TOKEN' is missing or wrong.", {"WWW-Authenticate": "Bearer"}
            )
        return None

    def _is_authorized(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        same = hmac.compare_digest(token.strip().encode(), self.token.encode())  # in constant time
        return same and scheme.lower() == "bearer"


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _refused(status: int, error: str, headers: Mapping[str, str] | None = None) -> Response:
    return to_response(ErrorResponse(error), status, headers)


class CheckedAccess:
    """ASGI middleware that refuses requests."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self.access.refusal(scope["path"], Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)
