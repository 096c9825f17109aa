"""What a run takes from earlier ones: pre-training without labels, trunks of the same folds; leaks by this way are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.deploy import make, scorer
from mitotype.fit import prior, run
from mitotype.fit import recipe as recipes
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
    assert not (tmp_path / "other").exists()


def test_a_member_that_is_named_itself_is_held_to_its_run(
    drawn_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = run.start(plain(refit=1), drawn_cohort, tmp_path / "labelled")
    monkeypatch.chdir(labelled)
    for where in (labelled / "members" / "fold1-seed0", Path("members/fold1-seed0/model.safetensors")):
        with pytest.raises(Mistake, match="M001"):
            run.prepare(plain(init_from=str(where)), drawn_cohort, tmp_path / "leaks")
    every = plain(init_from=str(labelled / "members" / "all-seed0"), folds="none", refit=1)
    assert prior.seen_before(every) == set(files.read_table(labelled / "patches.parquet")["digest"])
    run.prepare(every, drawn_cohort, tmp_path / "every")


@pytest.mark.parametrize(
    "change", [{"sampler": "class_balanced"}, {"patience": 1, "folds": "2"}, {"objective": "bce", "draws": 1}]
)
def test_labels_come_in_by_more_ways_than_the_loss(
    drawn_cohort: Cohort, tmp_path: Path, change: dict[str, Any]
) -> None:
    run.prepare(plain(**PRETRAIN), drawn_cohort, tmp_path / "clean")
    assert not prior.reads_labels(tmp_path / "clean")
    run.prepare(plain(**{**PRETRAIN, **change}), drawn_cohort, tmp_path / "labelled")
    after = plain(**PRETRAIN, init_from=str(tmp_path / "labelled" / "members" / "all-seed0"))
    assert prior.labelled(after)
    told = files.read_json(tmp_path / "labelled" / "run.json")
    assert told.pop("reads_labels")
    files.write_json(tmp_path / "labelled" / "run.json", told)  # as older runs are
    assert prior.labelled(after)


def test_a_bundle_is_no_start_for_what_it_was_trained_on(whole: Path, drawn_cohort: Cohort, tmp_path: Path) -> None:
    made = make.bundle(whole, tmp_path / "bundle", name="made")
    recipe = plain(backbone="d4resnet-tiny", options=(), init_from=str(made / "members" / "all-seed0"))
    with pytest.raises(Mistake, match="M001"):
        run.prepare(recipe, drawn_cohort, tmp_path / "run")
    assert prior.seen_before(recipe) == set(files.read_json(whole / "decision.json")["digests"])


def test_what_a_run_stands_on_must_stay_until_it_is_trained(drawn_cohort: Cohort, tmp_path: Path) -> None:
    before = run.start(plain(), drawn_cohort, tmp_path / "before")
    recipe = plain(init_from=str(before), teacher=str(before), objective="distil")
    run.prepare(recipe, drawn_cohort, tmp_path / "run")
    told = files.read_json(tmp_path / "run" / "run.json")
    assert told["bases"]["fold2-seed0"] == files.sha256(before / "members" / "fold2-seed0" / "model.safetensors")
    assert list(told["teachers"]["fold2-seed0"]) == ["fold2-seed0"]
    for key in ("bases", "teachers"):
        other = told | {key: {**told[key], "fold1-seed0": "another"}}
        files.write_json(tmp_path / "run" / "run.json", other)
        with pytest.raises(Mistake, match="changed since its run was started"):
            run.go_on(tmp_path / "run")
    files.write_json(tmp_path / "run" / "run.json", {k: v for k, v in told.items() if k not in ("bases", "teachers")})
    run.go_on(tmp_path / "run")


def test_a_test_set_that_was_scored_was_not_trained_on(drawn_cohort: Cohort, tmp_path: Path) -> None:
    pretrained = run.start(plain(**PRETRAIN), drawn_cohort, tmp_path / "pretrain")
    rows = files.read_table(pretrained / "patches.parquet")
    rows.loc[0, "fold"] = 0
    files.write_table(pretrained / "patches.parquet", rows)
    assert prior.seen_before(plain(init_from=str(pretrained))) == set(rows["digest"][1:])


def test_a_recipe_tells_what_it_took(drawn_cohort: Cohort, tmp_path: Path) -> None:
    pretrained = run.start(plain(**PRETRAIN), drawn_cohort, tmp_path / "pretrain")
    folder = run.start(recipes.with_settings(plain(), [f"init_from={pretrained}"]), drawn_cohort, tmp_path / "run")
    told = files.read_json(folder / "run.json")
    assert told["base"]["backbone"] == "vit-mini8" and len(told["base"]["digest"]) == 64
    assert told["chosen"]["init_from"] == str(pretrained)


def test_a_student_tells_on_which_weights_its_teachers_stand(drawn_cohort: Cohort, tmp_path: Path) -> None:
    teacher = run.start(plain(), drawn_cohort, tmp_path / "teacher")
    binding = {"backbone": "uni2-h", "digest": "1", "source": "published"}
    for path in teacher.glob("members/*/member.json"):
        files.write_json(path, files.read_json(path) | {"base": binding})
    student = run.start(plain(teacher=str(teacher), objective="distil"), drawn_cohort, tmp_path / "student")
    assert files.read_json(student / "members" / "fold1-seed0" / "member.json")["taught_by"] == [binding]
    for field in ("teacher", "init_from"):
        objective = "distil" if field == "teacher" else "soft_bce"
        run.prepare(plain(**{field: str(student)}, objective=objective), drawn_cohort, tmp_path / f"by {field}")
        assert any("uni2-h" in note for note in files.read_json(tmp_path / f"by {field}" / "run.json")["notes"])
