"""Fixtures of the room `fit`."""

from __future__ import annotations

import pytest


@pytest.fixture
def quick_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every epoch, so that a small run can be resumed in the middle."""
    from mitotype.fit import checkpoint

    monkeypatch.setattr(checkpoint.Keeper.__init__, "__defaults__", (0.0,))
