"""What every test may ask for: the public pictures where they lie beside the checkout, and a cache of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from mitotype.core.words import Cohort
from mitotype.fit.recipe import Recipe
from tests import drawn

settings.register_profile("same", derandomize=True, deadline=None)  # one revision is judged alike everywhere
settings.load_profile("same")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data beside the checkout; a test that needs it is skipped, and says so, where it is absent."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "shared" / "data").is_dir():
            return folder / "shared" / "data"
    pytest.skip("the public data are not beside this checkout (shared/data)")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """One thread, so that a run trains its members one after another in this process."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def drawn_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return drawn.cohort(tmp_path_factory.mktemp("drawn"))


@pytest.fixture
def tiny() -> Recipe:
    return drawn.tiny()


@pytest.fixture(scope="session")
def whole(drawn_cohort: Cohort, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny recipe that was never stopped, with one member trained on everything."""
    from mitotype.fit import recipe, run

    return run.start(
        recipe.with_settings(drawn.tiny(), ["refit=1"]), drawn_cohort, tmp_path_factory.mktemp("runs") / "whole"
    )
