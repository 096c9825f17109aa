"""Fixtures of the tests of `fit`."""

from __future__ import annotations

import pytest

from mitotype.fit.train import checkpoint


@pytest.fixture
def quick_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a checkpoint after every epoch, so that a small run can be resumed in the middle."""
    monkeypatch.setattr(checkpoint.CheckpointWriter.__init__, "__defaults__", (0.0,))
