"""Serve a classifier over HTTP."""

from __future__ import annotations

import os

from mitotype.api.deployment import open_bundle
from mitotype.api.progress import LOGGER
from mitotype.deploy import operating
from mitotype.deploy.classify import check_explainable
from mitotype.serve import server
from mitotype.serve.application import create_app
from mitotype.serve.limits import LIMITS, Limits
from mitotype.serve.server import Address


def serve(
    bundle: str | os.PathLike[str],
    address: Address,
    limits: Limits = LIMITS,
    *,
    sensitivity: float | None = None,
    specificity: float | None = None,
    explain: bool = False,
    device: str = "cpu",
    threads: int | None = None,
) -> None:
    """Answer requests until a signal; see `mitotype.serve.server.run`, and `classify` for the other parameters."""
    access = server.access_to(address)
    opened, _ = operating.at_operating_point(
        open_bundle(bundle, device=device, threads=threads), sensitivity, specificity
    )
    if explain:
        check_explainable(opened)
    listener = server.listen(address)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    LOGGER.info(
        f"'{opened.record.name}' is served at http://{shown}:{port} (POST /classify, GET /openapi.json); end it with Ctrl-C"
    )
    server.run(create_app(opened, access, limits, explain=explain), listener)
