"""An ensemble recipe: a run for each member and the ensemble of them, the same after a stop, from Python and by command."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from mitotype.api import ensemble_training, ensembles, scoring, training
from mitotype.cli import main
from mitotype.core import files
from mitotype.core.errors import UserError
from mitotype.core.interrupts import Interrupted
from mitotype.core.run_layout import names, read_bundle, read_ensemble, read_run
from mitotype.core.schema import Cohort
from mitotype.deploy.from_run import bundle_from_run
from mitotype.fit import run as runs
from mitotype.fit.ensemble_recipe import EnsembleRecipe, validate_ensemble_recipe
from mitotype.fit.recipe import with_settings
from tests import synthetic_cohort
from tests.robustness.commands import write_images

LOGITS = (names.SCORES, names.COMBINED, names.DECISION)


@pytest.fixture(scope="module")
def recipe() -> EnsembleRecipe:
    tiny = with_settings(synthetic_cohort.tiny(), ["n_final_models=0", "ood_flag=0", "folds=2"])
    members = (with_settings(tiny, ["seed=1"]), with_settings(tiny, ["seed=2", "tta=d4"]))
    named = tuple(EnsembleRecipe(name="two", members=members).with_backbones(["d4resnet-tiny", "vit-mini8"]).members)
    return EnsembleRecipe(name="two", members=named, combiner="stack").with_settings(["vit-mini8.batch=16"])


@pytest.fixture(scope="module")
def trained(
    recipe: EnsembleRecipe, toy_cohort: Cohort, one_thread: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return ensemble_training.train_ensemble(recipe, toy_cohort, out=tmp_path_factory.mktemp("trained") / "two").dir


def digests(folder: Path) -> list[str]:
    return [files.sha256(folder / name) for name in LOGITS]


def test_the_members_are_runs_and_the_folder_is_their_ensemble(trained: Path, tmp_path: Path) -> None:
    for name, batch in (("d4resnet-tiny", 8), ("vit-mini8", 16)):
        assert names.is_finished(trained / name)
        assert read_run(trained / name).recipe["batch"] in (batch, synthetic_cohort.tiny().batch)
    assert [source.path for source in read_ensemble(trained).sources] == ["d4resnet-tiny", "vit-mini8"]
    by_hand = ensembles.ensemble(
        [trained / "d4resnet-tiny", trained / "vit-mini8"], tmp_path / "two", combiner="stack", seed=1
    )
    assert digests(trained) == digests(by_hand.dir)
    out = bundle_from_run(trained, tmp_path / "bundle")
    assert len(read_bundle(out).members) == 4
    write_images(tmp_path / "test", 8, 5)
    scoring.score(shutil.copytree(trained, tmp_path / "copy"), [str(tmp_path / "test")])


def test_training_that_was_stopped_goes_on_to_the_same_numbers(
    recipe: EnsembleRecipe, toy_cohort: Cohort, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume, calls = runs.resume, []

    def stopped(run_dir: Path, **options: object) -> Path:
        calls.append(run_dir.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return resume(run_dir, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(runs, "resume", stopped)
        with pytest.raises(Interrupted) as interrupted:
            ensemble_training.train_ensemble(recipe, toy_cohort, out=tmp_path / "two")
    assert interrupted.value.command == f"mitotype resume {tmp_path / 'two'}"
    assert not names.is_ensemble(tmp_path / "two")
    with pytest.raises(SystemExit, match="0"):
        main(["resume", str(tmp_path / "two"), "--quiet"])
    assert digests(tmp_path / "two") == digests(trained)
    again = ensemble_training.train_ensemble(recipe, toy_cohort, out=tmp_path / "two")
    assert digests(again.dir) == digests(trained)
    with pytest.raises(UserError, match="another ensemble"):
        ensemble_training.train_ensemble(recipe.with_settings(["epochs=9"]), toy_cohort, out=tmp_path / "two")
    with pytest.raises(UserError, match="already contains an ensemble"):
        training.train("morphology", toy_cohort, out=tmp_path / "two")


def test_a_run_that_was_not_begun_needs_the_data(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "copy")
    shutil.rmtree(copy / "vit-mini8")
    with pytest.raises(UserError, match=r"'vit-mini8' of .* was not begun"):
        ensemble_training.resume_ensemble(copy)


def test_the_recipe_of_an_ensemble_is_read_from_its_folder(trained: Path, recipe: EnsembleRecipe) -> None:
    assert ensemble_training.load_ensemble_recipe(trained) == recipe
    assert ensemble_training.load_ensemble_recipe(trained, ["combiner=mean", "epochs=7"]).members[1].epochs == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["unii.epochs=5"], "No member is called 'unii'"),
        (["uni.epoch=5"], "No recipe field is called 'epoch'"),
        (["epochs"], "changes nothing"),
        (["combiner="], "changes nothing"),
        (["combiner=weights(0.5, 0.5)"], "2 weights and 4 sources"),
        (["combiner=stak"], "No combiner is called 'stak'"),
    ],
)
def test_settings_that_fit_no_member_are_errors(settings: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate_ensemble_recipe(ensemble_training.load_ensemble_recipe("ochi2025", settings))


def test_a_member_may_have_a_dot_in_its_name() -> None:
    recipe = ensemble_training.load_ensemble_recipe(
        "ochi2025", ["timm-resnet18.a1_in1k.epochs=5"], ["uni", "timm/resnet18.a1_in1k"]
    )
    assert [member.epochs for member in recipe.members] == [20, 5]


def test_each_backbone_is_named_once() -> None:
    with pytest.raises(UserError, match="'uni' is named twice"):
        ensemble_training.load_ensemble_recipe("ochi2025", backbones=["uni", "uni"])


def test_the_command_names_what_one_run_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "demo", "--data", "x", "--backbones", "uni", "virchow"])
    assert "--set backbone=uni" in capsys.readouterr().err
    with pytest.raises(UserError, match="recipe of one run"):
        ensemble_training.load_ensemble_recipe("demo")


def test_a_plan_leads_nowhere_else(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "copy")
    text = (copy / names.PLAN).read_text()
    (copy / names.PLAN).write_text(text.replace('"name": "vit-mini8"', '"name": "../../elsewhere"'))
    assert [m.name for m in ensemble_training.load_ensemble_recipe(copy).members] == ["d4resnet-tiny", "vit-mini8"]
    for name in ("../x", "d4resnet-tiny"):
        recipe = ensemble_training.load_ensemble_recipe(trained)
        members = (recipe.members[0], with_settings(recipe.members[1], []))
        wrong = dataclasses.replace(recipe, members=(members[0], dataclasses.replace(members[1], name=name)))
        with pytest.raises(UserError, match=r"cannot be a folder|different names"):
            validate_ensemble_recipe(wrong)
