"""Agreement: closed forms, comparison with scikit-learn, and the numbers of the published experts."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from mitotype import datasets
from mitotype.datasets.audit.agreement import Agreement, against_others, agreement, cohen_kappa, fleiss_kappa
from mitotype.datasets.readers import atnorm_md
from tests.datasets import example_folders as examples


def test_closed_forms() -> None:
    # Cohen 1960: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: p_o .7, p_e .5, κ .4
    a = np.repeat([1.0, 1.0, 0.0, 0.0], [20, 5, 10, 15])
    b = np.repeat([1.0, 0.0, 1.0, 0.0], [20, 5, 10, 15])
    assert cohen_kappa(a, b) == pytest.approx(0.4)
    assert cohen_kappa(a, a) == 1 and math.isnan(cohen_kappa(np.ones(3), np.ones(3)))
    assert fleiss_kappa(np.array([3.0, 0.0]), 3) == 1
    assert fleiss_kappa(np.array([1.0, 1.0]), 2) == -1
    assert math.isnan(fleiss_kappa(np.array([]), 3)) and math.isnan(fleiss_kappa(np.zeros(4), 3))


def test_against_scikit_learn_and_counting_by_hand() -> None:
    from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

    rng = np.random.default_rng(0)
    vote_NE = (rng.random((300, 4)) < rng.random((300, 1))).astype(float)
    assert cohen_kappa(vote_NE[:, 0], vote_NE[:, 1]) == pytest.approx(cohen_kappa_score(vote_NE[:, 0], vote_NE[:, 1]))
    for expert in range(4):
        others = np.delete(vote_NE, expert, axis=1).sum(axis=1)
        expected = balanced_accuracy_score(others >= 2, vote_NE[:, expert])
        assert against_others(vote_NE, expert) == (pytest.approx(expected), 300)
    pairs = np.mean([[votes[i] == votes[j] for i, j in product(range(4), repeat=2) if i != j] for votes in vote_NE])
    share = vote_NE.mean()
    chance = share**2 + (1 - share) ** 2
    assert fleiss_kappa(vote_NE.sum(axis=1), 4) == pytest.approx((pairs - chance) / (1 - chance))


def test_ties_and_missing_votes_are_dropped() -> None:
    assert agreement([]) is None and agreement(["A", "N"]) is None
    measured = agreement(["AAN", "NN-", "NNN", "AAA", ""])
    assert measured is not None and measured.patches == 3 and measured.experts == 3
    assert measured.against_others[0] == (1.0, 3)  # AAN: the others tie; NN- counts, with one other
    assert measured.against_others[2] == (0.75, 3)
    assert measured.cohen[1, 2] == 1 and measured.atypical == (0.5, 0.5, pytest.approx(1 / 3))


def published_agreement(name: str, shared_data: Path) -> Agreement:
    root = shared_data / "AMi-Br_Benchmark"
    if name == "atnorm-md":
        cohort = examples.table_cohort("atnorm-md", root / atnorm_md.VOTES_CSV)
    else:
        (cohort,) = datasets.read(f"{name}={root}", part="all")
    measured = agreement(list(cohort.rows["expert_votes"]))
    assert measured is not None
    return measured


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "fleiss", "unanimous", "votes_for", "others"),
    [
        ("amibr", 0.578, 0.782, (2496, 392, 420, 412), (0.784, 0.882, 0.933)),
        ("amibr-test", 0.596, 0.794, (564, 78, 92, 92), (0.775, 0.924, 0.925)),
        ("atnorm-md", 0.407, 0.696, (1407, 364, 117, 83, 77, 59), (0.873, 0.716, 0.771, 0.937, 0.850)),
    ],
)
def test_the_published_experts(
    shared_data: Path, name: str, fleiss: float, unanimous: float, votes_for: tuple[int, ...], others: tuple[float, ...]
) -> None:
    measured = published_agreement(name, shared_data)
    assert measured.fleiss == pytest.approx(fleiss, abs=5e-4)
    assert measured.unanimous == pytest.approx(unanimous, abs=5e-4)
    assert measured.votes_for == votes_for
    assert [accuracy for accuracy, _ in measured.against_others] == pytest.approx(others, abs=5e-4)
    if name == "amibr":
        assert list(measured.cohen.values()) == pytest.approx([0.531, 0.545, 0.656], abs=5e-4)
        assert measured.atypical == pytest.approx((0.145, 0.231, 0.287), abs=5e-4)
