"""Two processes on one job train to what one process does; recomputed activations and split batches change nothing either."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.fit import recipe as recipes
from mitotype.fit import run, stems
from mitotype.fit.recipe import Recipe
from mitotype.scores import table

pytestmark = pytest.mark.usefixtures("one_thread")


def plain(**changes: object) -> Recipe:
    recipe = Recipe(
        name="ranks", backbone="vit-mini8", options=(("depth", 2),), size_px=64,
        augment="affine(90, 0.1, 0, 2) | d4 | stain(0.1) | crop(64)", views="identity",
        mixup=0.3, epochs=2, batch=8, lr=1e-3, warmup_epochs=0.5, ema_decay=0.9, folds="2", precision="fp32", clip=1.0, flag=0,
    )  # fmt: skip
    return dataclasses.replace(recipe, **changes)


def gap(one: Path, other: Path) -> float:
    """The largest difference between the out-of-fold logits of two runs.

    Not of their weights: the key's bias in an attention moves no output, its gradient is rounding, and Adam makes steps of it.
    """
    key = ["patch_id", "member", "view"]
    a, b = (table.read(folder).scores.set_index(key)["logit"].sort_index() for folder in (one, other))
    return float((a - b).abs().max())


@pytest.fixture(scope="module")
def whole_run(drawn_cohort: Cohort, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run.start(plain(), drawn_cohort, tmp_path_factory.mktemp("ranks") / "one")


LAUNCHED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from mitotype.fit import run, stems
run.go_on(Path(sys.argv[1]))
"""


def test_two_ranks_train_to_what_one_does(whole_run: Path, drawn_cohort: Cohort, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    run.prepare(recipes.from_run(whole_run), drawn_cohort, folder)
    script = tmp_path / "launched.py"
    script.write_text(LAUNCHED)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
        str(script),
        str(folder),
    ]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240)
    assert (folder / "DONE").is_file()
    assert gap(whole_run, folder) < 1e-5
    ours, theirs = (torch.tensor(losses(place)) for place in (whole_run, folder))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("change", ["accumulate=4", "recompute=1"])
def test_saving_memory_changes_nothing(whole_run: Path, drawn_cohort: Cohort, tmp_path: Path, change: str) -> None:
    folder = run.start(recipes.with_settings(recipes.from_run(whole_run), [change]), drawn_cohort, tmp_path / "run")
    assert gap(whole_run, folder) < 1e-3
    torch.testing.assert_close(torch.tensor(losses(folder)), torch.tensor(losses(whole_run)), atol=1e-5, rtol=1e-5)


def test_a_batch_that_does_not_fall_into_parts_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="equal parts"):
        plain(accumulate=3).check()


@pytest.mark.parametrize(
    ("adaptation", "augment"),
    [("head", "crop(64)"), ("full(last=1)", "d4 | crop(64)"), ("prompts(2, last=1)", "mirror | crop(64)")],
)
def test_kept_stems_change_nothing(
    adaptation: str,
    augment: str,
    whole_run: Path,
    drawn_cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = whole_run / "members" / "fold1-seed0"
    recipe = plain(init_from=str(base), adaptation=adaptation, augment=augment, mixup=0.0)
    kept = run.start(recipe, drawn_cohort, tmp_path / "kept")
    first = json.loads((kept / "log.jsonl").read_text().splitlines()[0])
    assert first["kept"] and first["keeps_gb"] > 0
    monkeypatch.setattr(stems, "free_bytes", lambda device: 1.0)
    walked = run.start(recipe, drawn_cohort, tmp_path / "walked")
    assert json.loads((walked / "log.jsonl").read_text().splitlines()[0])["kept"] is False
    assert gap(kept, walked) < 1e-4
