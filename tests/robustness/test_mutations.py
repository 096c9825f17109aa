"""Mutated inputs of every kind end with success or a UserError: no traceback, no signal, in time and memory, nothing half-written.

The short part is in every run of the tests. The long one has 10,000 inputs in shards, each of which can be run by its name:

    pytest -m long tests/robustness/test_mutations.py                     all, some 20 minutes; with -n 2 on two cores
    pytest -m long tests/robustness/test_mutations.py -k "bundle-3"       one shard; --lf repeats those that failed

An input follows from its kind and seed alone. The folder of one that failed remains for a look.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.robustness import material
from tests.robustness.kinds import LONG
from tests.robustness.pool import run_trials

SHARD = 100
SHORT = dict.fromkeys(LONG, 15) | {"image": 30, "bundle": 25, "run": 10, "server": 10}
SHARDS = [(kind, number) for kind, count in LONG.items() for number in range(-(-count // SHARD))]


@pytest.fixture(scope="module")
def originals(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material.make(tmp_path_factory.mktemp("robustness") / "material", finished_run)


def check(trials: list[tuple[str, int]], originals: Path, scratch: Path) -> None:
    outcomes = list(run_trials(trials, originals, scratch))
    slowest, largest = max(outcomes, key=lambda o: o.seconds), max(outcomes, key=lambda o: o.peak_mb)
    print(
        f"{len(outcomes)} inputs, slowest {slowest.name}: {slowest.seconds} s, largest {largest.name}: {largest.peak_mb} MB"
    )
    failed = [f"{outcome.name}: {outcome.error}" for outcome in outcomes if outcome.error]
    assert not failed, "\n".join(failed)
    assert len(outcomes) == len(trials)


def test_a_few_mutated_inputs_of_every_kind(originals: Path, tmp_path: Path) -> None:
    check([(kind, 1_000_000 + seed) for kind, count in SHORT.items() for seed in range(count)], originals, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "shard"), SHARDS)
def test_many_mutated_inputs(kind: str, shard: int, originals: Path, tmp_path: Path) -> None:
    seeds = range(shard * SHARD, min((shard + 1) * SHARD, LONG[kind]))
    check([(kind, seed) for seed in seeds], originals, tmp_path)


def test_the_long_run_has_ten_thousand_inputs() -> None:
    assert sum(LONG.values()) == 10_000
