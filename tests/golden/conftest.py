"""One synthetic cohort for all stored numbers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.golden.cohorts import generated, small_nets
from tests.golden.package import Cohort


@pytest.fixture(scope="session")
def golden_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return generated(tmp_path_factory.mktemp("golden"))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def nets() -> Iterator[None]:
    """The nets that only these tests and fixtures use."""
    with small_nets():
        yield
