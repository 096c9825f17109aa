"""Fixtures of the room `jobs`: a question with tiny recipes, its test set, and scoring as the door does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mitotype.core.words import Cohort
from mitotype.fit.recipe import Recipe
from mitotype.jobs.benchmark import Asked
from tests import drawn

BACKBONES = ("d4resnet-tiny", "resnet10")


def recipe_of(backbone: str, adaptation: str) -> Recipe:
    """A recipe of seconds."""
    return Recipe(
        name="tiny", backbone=backbone, adaptation=adaptation, size_px=64, augment="d4 | crop(64)", views="identity",
        epochs=1 if backbone == "resnet10" else 2, batch=8, warmup_epochs=0.0, ema_decay=0.5, folds="2", precision="fp32",
        flag=0,
    )  # fmt: skip


def score(folder: Path, cohorts: Sequence[Cohort]) -> None:
    """Add the rows of test cohorts to a run, and a line to its ledger."""
    from mitotype.cli import work
    from mitotype.deploy import scorer

    opened = scorer.open_scorer(str(folder))
    for cohort in cohorts:
        work.scored(opened, cohort, (folder, folder.parents[1]))


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """24 pictures of 8 other cases; two files hold the same picture."""
    folder, rng = tmp_path_factory.mktemp("measured"), np.random.default_rng(7)
    lines = []
    for number in range(24):
        label = number % 2
        Image.fromarray(drawn.drawn(label, rng)).save(folder / f"{number}.png")
        lines.append({"patch_id": f"measured/{number}", "path": str(folder / f"{number}.png"), "label": float(label),
                      "case_id": f"other{number // 3}", "domain": "elsewhere", "mpp_um": 0.25, "dataset": "measured"})  # fmt: skip
    (folder / "23.png").write_bytes((folder / "21.png").read_bytes())
    import pandas as pd

    from mitotype.core.words import COHORT_COLUMNS

    rows = pd.DataFrame(lines).reindex(columns=[*COHORT_COLUMNS, "dataset"])
    return Cohort("measured", rows.assign(scanner="", tumour="", species=""))


@pytest.fixture
def ask(drawn_cohort: Cohort, measured: Cohort) -> Callable[..., Asked]:
    """`ask(folder, field=value …)`: two small nets and the floor."""

    def asked(out: Path, **changes: object) -> Asked:
        plain = Asked(
            out=out, backbones=BACKBONES, adaptations=("full",), recipe_of=recipe_of, cohort=drawn_cohort,
            tests=(measured,), device="cpu", draws=200,
        )  # fmt: skip
        return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]

    return asked
