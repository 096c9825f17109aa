"""Checks of the machine and of backbones on it. Those of the machine need no optional library."""

from __future__ import annotations

from pathlib import Path

from mitotype.core import extras
from mitotype.core.errors import UserError
from mitotype.deploy.doctor import Check, check_machine


def doctor(backbone: str | None = None, weights: str | Path | None = None) -> list[Check]:
    """Check this machine, or a backbone.

    Parameters
    ----------
    backbone : str, optional
        A backbone to check. Default: the machine.
    weights : str or Path, optional
        A file or folder of its weights, or "published": loaded, run and compared with the publisher's own embedding.

    Returns
    -------
    list of Check
        Each with ``name``, ``ok``, ``result``, ``fix`` and ``required``.

    Raises
    ------
    UserError
        For an unknown backbone, and for weights without their backbone.

    See Also
    --------
    fetch_weights : Download or register pretrained weights.

    Examples
    --------
    >>> import mitotype
    >>> mitotype.doctor()[0].name
    'Python'
    """
    if weights and not backbone:
        raise UserError("The backbone of these weights is not given.", fix="mitotype doctor BACKBONE --weights FILE")
    if not backbone:
        return check_machine()
    with extras.translated():
        from mitotype.deploy.weights_check import check_backbone

    return check_backbone(backbone, str(weights) if weights else None)
