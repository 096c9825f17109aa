"""Initial weights and teachers from earlier runs: pre-training without labels, members of the same folds, refused leaks."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from mitotype.core import files, records, tables
from mitotype.core.errors import UserError
from mitotype.core.run_layout.training import lineage_patches
from mitotype.core.schema import Cohort
from mitotype.deploy import from_run, predictor
from mitotype.fit import lineage, run
from mitotype.fit import recipe as recipes
from mitotype.fit.recipe import Recipe
from mitotype.scores.decision import short_digest

pytestmark = pytest.mark.usefixtures("one_thread")


def plain(**changes: object) -> Recipe:
    recipe = Recipe(
        name="plain", backbone="vit-mini8", model_kwargs=(("depth", 2),), size_px=64,
        augment="d4 | crop(64)", tta="identity", epochs=1, batch=8, warmup_epochs=0.0,
        folds="2", precision="fp32", ema_decay=0.5, ood_flag=0,
    )  # fmt: skip
    return dataclasses.replace(recipe, **changes)


PRETRAIN = {
    "objective": "contrast(0.2)",
    "n_views": 2,
    "sampler": "uniform",
    "folds": "none",
    "n_final_models": 1,
    "name": "pretrain",
}


def test_pretraining_uses_no_labels_and_gives_initial_weights(toy_cohort: Cohort, tmp_path: Path) -> None:
    pretrained = run.start(plain(**PRETRAIN), toy_cohort, tmp_path / "pretrain")
    assert not (pretrained / "decision.json").exists()
    flipped = Cohort(
        "toy",
        toy_cohort.rows.assign(label=1 - toy_cohort.rows["label"], votes_for=3 - toy_cohort.rows["votes_for"]),
    )
    again = run.start(plain(**PRETRAIN), flipped, tmp_path / "flipped")
    weights = [files.sha256(folder / "members" / "all-seed0" / "model.safetensors") for folder in (pretrained, again)]
    assert weights[0] == weights[1]
    for adaptation in ("probe", "prompts(2)", "full"):
        folder = run.start(plain(init_from=str(pretrained), adaptation=adaptation), toy_cohort, tmp_path / adaptation)
        metadata = json.loads((folder / "members" / "fold1-seed0" / "member.json").read_bytes())
        assert metadata["base"]["digest"] == weights[0]
    with pytest.raises(UserError, match="no out-of-fold scores"):
        predictor.open_predictor(str(pretrained))


def test_images_of_pretraining_are_no_test_set(toy_cohort: Cohort, tmp_path: Path) -> None:
    first = toy_cohort.rows["case_id"].isin([f"case{n}" for n in range(6)])
    pretrained = run.start(plain(**PRETRAIN), toy_cohort, tmp_path / "pretrain")
    folder = run.start(plain(init_from=str(pretrained), adaptation="probe"), toy_cohort.take(first), tmp_path / "probe")
    with pytest.raises(UserError, match="M004"):
        predictor.score(predictor.open_predictor(str(folder)), toy_cohort.take(~first))
    digests = set(json.loads((folder / "decision.json").read_bytes())["digests"])
    seen = set(tables.read_stored(pretrained / "patches.parquet")["digest"])
    assert {short_digest(digest) for digest in seen} <= digests


def test_weights_trained_on_the_fold_left_out_are_refused(toy_cohort: Cohort, tmp_path: Path) -> None:
    labelled = run.start(plain(), toy_cohort, tmp_path / "labelled")
    run.start(plain(init_from=str(labelled)), toy_cohort, tmp_path / "same")
    with pytest.raises(UserError, match="M001"):
        run.start(plain(init_from=str(labelled), folds="3"), toy_cohort, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_member_named_in_init_from_must_leave_out_the_same_fold(
    toy_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = run.start(plain(n_final_models=1), toy_cohort, tmp_path / "labelled")
    monkeypatch.chdir(labelled)
    for path in (labelled / "members" / "fold1-seed0", Path("members/fold1-seed0/model.safetensors")):
        with pytest.raises(UserError, match="M001"):
            run.create(plain(init_from=str(path)), toy_cohort, tmp_path / "leaks")
    final = plain(init_from=str(labelled / "members" / "all-seed0"), folds="none", n_final_models=1)
    assert lineage.seen_digests(final) == set(tables.read_stored(labelled / "patches.parquet")["digest"])
    run.create(final, toy_cohort, tmp_path / "final")


@pytest.mark.parametrize(
    "change", [{"sampler": "class_balanced"}, {"patience": 1, "folds": "2"}, {"objective": "bce", "n_views": 1}]
)
def test_labels_are_used_by_more_than_the_loss(toy_cohort: Cohort, tmp_path: Path, change: dict[str, Any]) -> None:
    run.create(plain(**PRETRAIN), toy_cohort, tmp_path / "clean")
    assert not lineage.run_uses_labels(tmp_path / "clean")
    run.create(plain(**{**PRETRAIN, **change}), toy_cohort, tmp_path / "labelled")
    after = plain(**PRETRAIN, init_from=str(tmp_path / "labelled" / "members" / "all-seed0"))
    assert lineage.uses_labels(after)
    metadata = json.loads((tmp_path / "labelled" / "run.json").read_bytes())
    assert metadata.pop("reads_labels")
    records.write(tmp_path / "labelled" / "run.json", metadata)  # as in older runs
    assert lineage.uses_labels(after)


def test_a_bundle_gives_no_initial_weights_for_its_own_patches(
    finished_run: Path, toy_cohort: Cohort, tmp_path: Path
) -> None:
    made = from_run.bundle_from_run(finished_run, tmp_path / "bundle", name="made")
    recipe = plain(backbone="d4resnet-tiny", model_kwargs=(), init_from=str(made / "members" / "all-seed0"))
    with pytest.raises(UserError, match="M001"):
        run.create(recipe, toy_cohort, tmp_path / "run")
    assert lineage.seen_digests(recipe) == set(json.loads((finished_run / "decision.json").read_bytes())["digests"])


def test_sources_of_a_run_must_not_change_until_it_is_trained(toy_cohort: Cohort, tmp_path: Path) -> None:
    before = run.start(plain(), toy_cohort, tmp_path / "before")
    recipe = plain(init_from=str(before), teacher=str(before), objective="distil")
    run.create(recipe, toy_cohort, tmp_path / "run")
    metadata = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert metadata["bases"]["fold2-seed0"] == files.sha256(before / "members" / "fold2-seed0" / "model.safetensors")
    assert list(metadata["teachers"]["fold2-seed0"]) == ["fold2-seed0"]
    for key in ("bases", "teachers"):
        other = metadata | {key: {**metadata[key], "fold1-seed0": "0" * 64 if key == "bases" else {}}}
        records.write(tmp_path / "run" / "run.json", other)
        with pytest.raises(UserError, match="changed since its run was started"):
            run.resume(tmp_path / "run")
    older = {key: value for key, value in metadata.items() if key not in ("bases", "teachers")}
    records.write(tmp_path / "run" / "run.json", older)
    run.resume(tmp_path / "run")


def test_a_scored_test_set_is_not_training_data(toy_cohort: Cohort, tmp_path: Path) -> None:
    pretrained = run.start(plain(**PRETRAIN), toy_cohort, tmp_path / "pretrain")
    rows = tables.read_stored(pretrained / "patches.parquet")
    rows.loc[0, "fold"] = 0
    files.write_table(pretrained / "patches.parquet", rows)
    assert lineage.seen_digests(plain(init_from=str(pretrained))) == set(rows["digest"][1:])


def test_a_run_records_its_initial_weights(toy_cohort: Cohort, tmp_path: Path) -> None:
    pretrained = run.start(plain(**PRETRAIN), toy_cohort, tmp_path / "pretrain")
    folder = run.start(recipes.with_settings(plain(), [f"init_from={pretrained}"]), toy_cohort, tmp_path / "run")
    metadata = json.loads((folder / "run.json").read_bytes())
    assert metadata["base"]["backbone"] == "vit-mini8" and len(metadata["base"]["digest"]) == 64
    assert metadata["overrides"]["init_from"] == str(pretrained)


def test_a_student_records_the_initial_weights_of_its_teachers(toy_cohort: Cohort, tmp_path: Path) -> None:
    teacher = run.start(plain(), toy_cohort, tmp_path / "teacher")
    binding = {"backbone": "uni2-h", "digest": "1" * 64, "source": "published"}
    for path in teacher.glob("members/*/member.json"):
        records.write(path, json.loads(path.read_bytes()) | {"base": binding})
    student = run.start(plain(teacher=str(teacher), objective="distil"), toy_cohort, tmp_path / "student")
    assert json.loads((student / "members" / "fold1-seed0" / "member.json").read_bytes())["teacher_bases"] == [binding]
    for field in ("teacher", "init_from"):
        objective = "distil" if field == "teacher" else "soft_bce"
        run.create(plain(**{field: str(student)}, objective=objective), toy_cohort, tmp_path / f"by {field}")
        assert any(
            "uni2-h" in note for note in json.loads((tmp_path / f"by {field}" / "run.json").read_bytes())["notes"]
        )


@pytest.mark.parametrize("by", ["case_id", "digest"])
def test_a_case_or_an_image_of_other_data_is_left_out_with_its_fold(
    by: str, toy_cohort: Cohort, tmp_path: Path
) -> None:
    other = toy_cohort.rows.assign(patch_id="other/" + toy_cohort.rows["patch_id"])
    if by == "digest":
        other["case_id"] = "other-" + other["case_id"]
    labelled = run.start(plain(seed=1), Cohort("other", other), tmp_path / "labelled")
    with pytest.raises(UserError, match="M001"):
        run.create(plain(init_from=str(labelled), folds="3"), toy_cohort, tmp_path / "leaks")


def test_a_test_set_is_apart_from_the_cases_of_initial_weights(toy_cohort: Cohort, tmp_path: Path) -> None:
    first = toy_cohort.rows["case_id"].isin([f"case{n}" for n in range(6)])
    labelled = run.start(plain(), toy_cohort.take(~first), tmp_path / "labelled")
    folder = run.start(plain(init_from=str(labelled)), toy_cohort.take(first), tmp_path / "run")
    trained = lineage_patches(folder)
    assert set(trained["case_id"]) == set(toy_cohort.rows["case_id"])
