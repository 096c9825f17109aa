"""A small score table with known structure: cases, folds, members, views, two parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from mitotype.core import files
from mitotype.scores.table import Scores


def build(
    *,
    patches: int = 120,
    cases: int = 12,
    folds: int = 3,
    views: tuple[str, ...] = ("identity", "rot90"),
    seed: int = 0,
) -> Scores:
    """Return scores: half of the patches out-of-fold (one member each), half in the test part (every member)."""
    rng = np.random.default_rng(seed)
    half = patches // 2
    label = (rng.random(patches) < 0.3).astype(float)
    label[[0, half]] = 1.0
    case = np.concatenate([rng.integers(0, cases, half), cases + rng.integers(0, cases, patches - half)])
    table = pd.DataFrame(
        {
            "patch_id": [f"a/{i}" for i in range(patches)],
            "dataset": ["a" if i < half else "b" for i in range(patches)],
            "case_id": [f"s{c}" for c in case],
            "domain": [f"d{c % 3}" for c in case],
            "label": label,
            "votes_for": label * 2 + 1,
            "votes": 3.0,
            "digest": [files.digest_of(str(i)) for i in range(patches)],
        }
    )
    rows = []
    for i in range(patches):
        signal = 2.0 * (label[i] - 0.5) + rng.normal(0, 1)
        members = [case[i] % folds] if i < half else range(folds)
        for member in members:
            for view in views:
                part = "out-of-fold" if i < half else "test"
                rows.append((f"a/{i}", part, member + 1, f"fold{member + 1}", view, signal + rng.normal(0, 0.3)))
    scores = pd.DataFrame(rows, columns=["patch_id", "part", "fold", "member", "view", "logit"])
    return Scores(table, scores)


@pytest.fixture
def make_scores() -> Callable[..., Scores]:
    return build


@pytest.fixture
def some() -> Scores:
    return build()
