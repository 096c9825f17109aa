"""Fixtures of benchmarks: a configuration with tiny recipes, a test cohort, and scoring as the command line does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mitotype.core import files
from mitotype.core.run_layout import Opening, append_opening, now
from mitotype.core.schema import COHORT_COLUMNS, Cohort
from mitotype.deploy.predictor import open_predictor, score
from mitotype.experiments.plan import BenchmarkConfig
from mitotype.fit.recipe import Recipe
from mitotype.scores import table
from tests import synthetic_cohort

BACKBONES = ("d4resnet-tiny", "resnet10")
MakeConfig = Callable[..., BenchmarkConfig]


def recipe_of(backbone: str, adaptation: str) -> Recipe:
    """Return a recipe that trains in seconds."""
    return Recipe(
        name="tiny", backbone=backbone, adaptation=adaptation, size_px=64, augment="d4 | crop(64)", tta="identity",
        epochs=1 if backbone == "resnet10" else 2, batch=8, warmup_epochs=0.0, ema_decay=0.5, folds="2", precision="fp32",
        ood_flag=0,
    )  # fmt: skip


def score_tests(run_dir: Path, cohorts: Sequence[Cohort]) -> None:
    """Add the rows of test cohorts to a run, and a line to its ledger and to that of the benchmark."""
    predictor = open_predictor(str(run_dir))
    for cohort in cohorts:
        scores = score(predictor, cohort)
        digest = files.digest_of(*sorted(scores.patches["digest"]))
        opening = Opening(date=now(), model=run_dir.name, dataset=cohort.name, patches=len(cohort), digest=digest)
        for folder in (run_dir, run_dir.parents[1]):
            append_opening(folder, opening)
        table.append(run_dir, scores)


@pytest.fixture(scope="session")
def test_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Return 24 images of 8 other cases; two files contain the same image."""
    folder, rng = tmp_path_factory.mktemp("measured"), np.random.default_rng(7)
    lines = []
    for number in range(24):
        label = number % 2
        Image.fromarray(synthetic_cohort.synthetic_image(label, rng)).save(folder / f"{number}.png")
        lines.append({"patch_id": f"measured/{number}", "path": str(folder / f"{number}.png"), "label": float(label),
                      "case_id": f"other{number // 3}", "domain": "elsewhere", "mpp_um": 0.25, "dataset": "measured"})  # fmt: skip
    (folder / "23.png").write_bytes((folder / "21.png").read_bytes())
    rows = pd.DataFrame(lines).reindex(columns=[*COHORT_COLUMNS, "dataset"])
    return Cohort("measured", rows.assign(scanner="", tumour="", species=""))


@pytest.fixture
def make_config(toy_cohort: Cohort, test_cohort: Cohort) -> MakeConfig:
    """Return `make_config(folder, field=value …)`: two small nets and the baseline."""

    def make(out: Path, **changes: object) -> BenchmarkConfig:
        config = BenchmarkConfig(
            out=out, backbones=BACKBONES, adaptations=("full",), recipe_of=recipe_of, cohort=toy_cohort,
            tests=(test_cohort,), device="cpu", n_boot=200,
        )  # fmt: skip
        return dataclasses.replace(config, **changes)  # type: ignore[arg-type]

    return make
