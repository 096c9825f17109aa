"""What a run takes from earlier ones: pre-training without labels, trunks of the same folds; leaks by this way are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.deploy import scorer
from mitotype.fit import recipe as recipes
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from mitotype.scores.decision import short

pytestmark = pytest.mark.usefixtures("one_thread")


def plain(**changes: object) -> Recipe:
    recipe = Recipe(
        name="plain", backbone="vit-mini8", options=(("depth", 2),), size_px=64,
        augment="d4 | crop(64)", views="identity", epochs=1, batch=8, warmup_epochs=0.0,
        folds="2", precision="fp32", ema_decay=0.5, flag=0,
    )  # fmt: skip
    return dataclasses.replace(recipe, **changes)


PRETRAIN = {
    "objective": "contrast(0.2)",
    "draws": 2,
    "sampler": "uniform",
    "folds": "none",
    "refit": 1,
    "name": "pretrain",
}


def test_pretraining_reads_no_label_and_is_a_start(drawn_cohort: Cohort, tmp_path: Path) -> None:
    pretrained = run.start(plain(**PRETRAIN), drawn_cohort, tmp_path / "pretrain")
    assert not (pretrained / "decision.json").exists()
    flipped = Cohort(
        "drawn",
        drawn_cohort.rows.assign(label=1 - drawn_cohort.rows["label"], votes_for=3 - drawn_cohort.rows["votes_for"]),
    )
    again = run.start(plain(**PRETRAIN), flipped, tmp_path / "flipped")
    weights = [files.sha256(folder / "members" / "all-seed0" / "model.safetensors") for folder in (pretrained, again)]
    assert weights[0] == weights[1]
    for adaptation in ("probe", "prompts(2)", "full"):
        folder = run.start(plain(init_from=str(pretrained), adaptation=adaptation), drawn_cohort, tmp_path / adaptation)
        told = files.read_json(folder / "members" / "fold1-seed0" / "member.json")
        assert told["base"]["digest"] == weights[0]
    with pytest.raises(Mistake, match="no folds"):
        scorer.open_scorer(str(pretrained))


def test_what_pretraining_saw_is_no_test_set(drawn_cohort: Cohort, tmp_path: Path) -> None:
    first = drawn_cohort.rows["case_id"].isin([f"case{n}" for n in range(6)])
    pretrained = run.start(plain(**PRETRAIN), drawn_cohort, tmp_path / "pretrain")
    folder = run.start(
        plain(init_from=str(pretrained), adaptation="probe"), drawn_cohort.take(first), tmp_path / "probe"
    )
    with pytest.raises(Mistake, match="M004"):
        scorer.score(scorer.open_scorer(str(folder)), drawn_cohort.take(~first))
    digests = set(files.read_json(folder / "decision.json")["digests"])
    seen = set(files.read_table(pretrained / "patches.parquet")["digest"])
    assert {short(digest) for digest in seen} <= digests


def test_a_trunk_that_saw_the_fold_left_out_is_refused(drawn_cohort: Cohort, tmp_path: Path) -> None:
    labelled = run.start(plain(), drawn_cohort, tmp_path / "labelled")
    run.start(plain(init_from=str(labelled)), drawn_cohort, tmp_path / "same")
    with pytest.raises(Mistake, match="M001"):
        run.start(plain(init_from=str(labelled), folds="3"), drawn_cohort, tmp_path / "other")
    assert not (tmp_path / "other" / "DONE").exists()


def test_a_recipe_tells_what_it_took(drawn_cohort: Cohort, tmp_path: Path) -> None:
    pretrained = run.start(plain(**PRETRAIN), drawn_cohort, tmp_path / "pretrain")
    folder = run.start(recipes.with_settings(plain(), [f"init_from={pretrained}"]), drawn_cohort, tmp_path / "run")
    told = files.read_json(folder / "run.json")
    assert told["base"]["backbone"] == "vit-mini8" and len(told["base"]["digest"]) == 64
    assert told["chosen"]["init_from"] == str(pretrained)
