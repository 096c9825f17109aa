"""Numbers that a change of names or layout leaves unchanged. `python -m tests.golden.record` writes them anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden import computed, fitters, shipped
from tests.golden.numbers import CLOSE, EXACT, HERE, SOLVED, assert_close
from tests.golden.package import SHIPPED, Cohort

pytestmark = pytest.mark.usefixtures("one_thread", "nets")


@pytest.mark.parametrize("recipe", fitters.RECIPES)
def test_a_fitter_makes_the_same_losses_and_logits(recipe: str, golden_cohort: Cohort, tmp_path: Path) -> None:
    assert_close(f"fit_{recipe}.json", fitters.numbers(recipe, golden_cohort, tmp_path), **CLOSE)


@pytest.mark.parametrize("name", computed.TABLES)
def test_the_same_logits_give_the_same_numbers(name: str) -> None:
    assert_close(name, computed.TABLES[name](), **(SOLVED if name == "decisions.json" else EXACT))


def test_values_that_are_looked_up_on_disk_are_the_same() -> None:
    stored = json.loads((HERE / computed.NAMED).read_text(encoding="utf-8"))
    assert computed.lookups() == stored


@pytest.mark.parametrize("bundle", SHIPPED)
def test_a_shipped_bundle_predicts_the_same(bundle: str, golden_cohort: Cohort) -> None:
    assert_close(f"shipped_{bundle}.json", shipped.predictions(bundle, golden_cohort), **CLOSE)
