"""Fixtures of all tests: the public data beside the checkout, a cache per test, a toy cohort and a finished run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from mitotype.core.schema import Cohort
from mitotype.fit import run
from mitotype.fit.recipe import Recipe, with_settings
from tests import synthetic_cohort

settings.register_profile("same", derandomize=True, deadline=None)  # the same examples everywhere
settings.load_profile("same")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of public data beside the checkout; without it the test is skipped."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "shared" / "data").is_dir():
            return folder / "shared" / "data"
    pytest.skip("the public data are not beside this checkout (shared/data)")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a cache folder of this test instead of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Use one thread, so that a run trains its members one after another in this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """Let this test and its processes use one CPU, so that they train without a pool of workers; another one for each of pytest's."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = sorted(os.sched_getaffinity(0))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {allowed[worker % len(allowed)]})
    yield
    os.sched_setaffinity(0, allowed)


@pytest.fixture(scope="session")
def toy_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return synthetic_cohort.cohort(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def tiny() -> Recipe:
    return synthetic_cohort.tiny()


@pytest.fixture(scope="session")
def finished_run(toy_cohort: Cohort, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of the tiny recipe that was never stopped, with one member trained on every patch."""
    tiny = with_settings(synthetic_cohort.tiny(), ["n_final_models=1"])
    return run.start(tiny, toy_cohort, tmp_path_factory.mktemp("runs") / "finished")


pytest_plugins = ("tests.benchmark_cohorts",)
