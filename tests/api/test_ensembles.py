"""Ensembles of runs: equal to a run where there is one, refused where a case leaks, the same after a kill and as a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from mitotype.api import ensembles, score_cohorts, scoring
from mitotype.core import files, records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import (
    MemberRecord,
    OperatingCurve,
    RunRecord,
    names,
    read_bundle,
    read_ensemble,
    read_ledger,
    read_member,
    read_patches,
    read_run,
    read_scores,
)
from mitotype.core.schema import OUT_OF_FOLD, Cohort
from mitotype.deploy import predictor
from mitotype.deploy.from_run import bundle_from_run
from mitotype.evaluation import evaluator
from mitotype.fit import run
from mitotype.fit.recipe import with_settings
from mitotype.scores import run_ensemble
from tests import synthetic_cohort
from tests.robustness.commands import write_images


@pytest.fixture(scope="module")
def other_run(toy_cohort: Cohort, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with other folds, another test-time augmentation and no member trained on every patch."""
    recipe = with_settings(
        synthetic_cohort.tiny(), ["folds=3", "seed=5", "epochs=2", "tta=d4", "n_final_models=0", "ood_flag=0"]
    )
    return run.start(recipe, toy_cohort, tmp_path_factory.mktemp("runs") / "other")


@pytest.fixture
def runs(finished_run: Path, other_run: Path, tmp_path: Path) -> list[Path]:
    return [shutil.copytree(path, tmp_path / path.name) for path in (finished_run, other_run)]


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    write_images(tmp_path / "test5", 8, 5)
    return [str(tmp_path / "test5")]


def combined(runs: list[Path], out: Path, **rules: str) -> Path:
    return ensembles.ensemble(runs, out, **rules).dir  # type: ignore[arg-type]


def decided(folder: Path) -> pd.DataFrame:
    scores, decision = scoring.read_scores(folder)
    return evaluator.decide_rows(scores, decision, combiner=scoring.combiner_of(folder))


def set_sources(run_dir: Path, **fields: object) -> None:
    """Change fields of the recipe and of the record of a run."""
    record = read_run(run_dir)
    recipe = {key: value for key, value in fields.items() if key in record.recipe}
    others = {key: value for key, value in fields.items() if key not in record.recipe}
    records.write(run_dir / names.RUN, msgspec.structs.replace(record, recipe=record.recipe | recipe, **others))


def test_an_ensemble_of_one_run_is_that_run(runs: list[Path], data: list[str], tmp_path: Path) -> None:
    out = combined(runs[:1], tmp_path / "one")
    for _ in range(2):
        own, alone = decided(out), decided(runs[0])
        columns = ["patch_id", "part", "logit", "member_sd", "members", "views", "probability", "decision"]
        pd.testing.assert_frame_equal(own[columns], alone[columns], check_exact=True, check_dtype=False)
        scoring.score(out, data)


@pytest.mark.parametrize(
    "combiner", ["mean", "weights(0.3, 0.7)", "stack", "greedy", "sklearn(ExtraTreesClassifier, n_estimators=5)"]
)
def test_an_ensemble_is_scored_evaluated_compared_and_bundled(
    combiner: str, runs: list[Path], data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = combined(runs, tmp_path / "both", combiner=combiner)
    record = read_ensemble(out)
    assert [source.name for source in record.sources] == [path.name for path in runs]
    assert (record.patches, record.cases) == (48, 12)
    for run_dir in runs:
        scoring.score(run_dir, data)
    with monkeypatch.context() as patched:
        patched.setattr(score_cohorts, "open_bundle", lambda *args, **kwargs: pytest.fail("inference"))
        scoring.score(out, data)
    assert [opening.dataset for opening in read_ledger(out)] == ["test5"]
    rows = decided(out)
    if record.combiner.weights:
        logits = [decided(run_dir).set_index(["patch_id", "part"])["logit"] for run_dir in runs]
        weight = [record.combiner.weights.get(path.name, 0.0) for path in runs]
        expected = record.combiner.intercept + sum(w * z for w, z in zip(weight, logits, strict=True))
        test = rows[rows["part"] == "test"].set_index(["patch_id", "part"])["logit"]
        assert test.to_numpy() == pytest.approx(expected[test.index].to_numpy())
    assert scoring.evaluate(out, part=OUT_OF_FOLD, n_boot=50).settings.combiner == record.combiner
    assert scoring.compare(runs[0], out, n_boot=50).sets[0].patches == 48
    if not record.combiner.weights:
        with pytest.raises(UserError, match="has no coefficients"):
            bundle_from_run(out, tmp_path / "bundle")
        return
    opened = predictor.open_predictor(str(bundle_from_run(out, tmp_path / "bundle")))
    curve = opened.record.operating
    assert isinstance(curve, OperatingCurve) and curve.patches == 48
    [cohort] = scoring.read_cohorts(data, "test")
    scores = predictor.score(opened, cohort)
    of_bundle = opened.decision.apply(scores.joined(opened.combiner.apply(scores)))
    test = rows[rows["part"] == "test"].set_index("patch_id").loc[of_bundle["patch_id"]]
    assert of_bundle["probability"].to_numpy() == pytest.approx(test["probability"].to_numpy(), abs=1e-5)
    assert "Ensemble" in (tmp_path / "bundle" / names.CARD).read_text()
    assert str(tmp_path) not in (tmp_path / "bundle" / names.BUNDLE).read_text()
    assert read_bundle(tmp_path / "bundle").decision.threshold == opened.decision.threshold


def test_a_member_that_was_trained_on_a_case_is_refused(runs: list[Path], tmp_path: Path) -> None:
    """Folds by patch: two patches of one case are in two folds."""
    patches = read_patches(runs[1])
    patches.loc[0, "fold"] = patches.loc[0, "fold"] % 3 + 1
    patches.to_parquet(runs[1] / names.PATCHES)
    with pytest.raises(UserError, match=r"M001: (.|\n)*'other/fold.-seed0' was trained on"):
        combined(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_under_another_case_is_refused(runs: list[Path], tmp_path: Path) -> None:
    patches = read_patches(runs[1])
    one, two = (patches.index[patches["fold"] == fold][0] for fold in (1, 2))
    patches.loc[two, "digest"] = patches.loc[one, "digest"]
    patches.to_parquet(runs[1] / names.PATCHES)
    with pytest.raises(UserError, match="M001"):
        combined(runs[1:], tmp_path / "out")


@pytest.mark.parametrize("how", ["init_from", "teacher"])
def test_a_leak_through_the_lineage_is_refused(how: str, runs: list[Path], tmp_path: Path) -> None:
    """Members of one run that start from, or learn from, members of a run with other folds."""
    first, second = runs
    bases = [path for path in names.member_dirs(second) if path.name.startswith("fold")]
    members = [path.name for path in names.member_dirs(first)]
    if how == "init_from":
        digests = {name: files.sha256(bases[0] / names.WEIGHTS) for name in members}
        set_sources(first, init_from=str(second), bases=digests)
    else:
        teachers = {name: {bases[0].name: read_member(bases[0]).digest} for name in members}
        set_sources(first, teacher=str(second), teachers=teachers)
    with pytest.raises(UserError, match=f"M001: (.|\n)*'other/{bases[0].name}' was trained on"):
        combined([first], tmp_path / "out")
    set_sources(second, reads_labels=False)
    if how == "init_from":  # weights of a run without labels are no leak
        combined([first], tmp_path / "out")
    shutil.rmtree(second)
    with pytest.raises(UserError, match="cannot be verified"):
        combined([first], tmp_path / "gone")


def test_an_ancestor_of_the_same_name_is_checked_too(runs: list[Path], tmp_path: Path) -> None:
    first, second = runs
    base = shutil.move(second, tmp_path / "before" / first.name)
    [weights, *_] = [path / names.WEIGHTS for path in names.member_dirs(base) if path.name == "fold1-seed0"]
    digests = {path.name: files.sha256(weights) for path in names.member_dirs(first)}
    set_sources(first, init_from=str(base), bases=digests)
    with pytest.raises(UserError, match=f"M001: (.|\n)*'{first.name}/fold1-seed0' was trained on"):
        combined([first], tmp_path / "out")


def test_an_ensemble_has_what_its_runs_held_out_and_noted(runs: list[Path], data: list[str], tmp_path: Path) -> None:
    for run_dir, hold_out in zip(runs, (["amibr-test", "atnorm-br"], ["amibr-test"]), strict=True):
        record = read_run(run_dir)
        held = msgspec.structs.replace(record.data, hold_out=hold_out)
        set_sources(run_dir, data=held, notes=["targets of scikit-image", run_dir.name])
    out = combined(runs, tmp_path / "out")
    record = read_ensemble(out)
    assert scoring._held_out(record) == ["amibr-test", "atnorm-br"]  # what the second had does not overlap the latter
    first, second = record.sources
    other = msgspec.structs.replace(second, datasets=["midog25"], hold_out=[])
    assert scoring._held_out(msgspec.structs.replace(record, sources=[first, other])) == ["atnorm-br"]
    joined = msgspec.structs.replace(other, datasets=["midog25", "amibr"])  # which overlap each other
    assert scoring._held_out(msgspec.structs.replace(record, sources=[first, joined])) == ["atnorm-br"]
    notes = scoring.evaluate(out, part=OUT_OF_FOLD, n_boot=50).notes
    assert {"targets of scikit-image", *(run_dir.name for run_dir in runs)} <= set(notes) and len(set(notes)) == len(
        notes
    )


def test_the_lineage_is_followed_to_its_end_and_its_own_folds_are_no_leak(runs: list[Path], tmp_path: Path) -> None:
    first, second = runs
    copy = shutil.copytree(first, tmp_path / "copy")
    digests = {path.name: files.sha256(path / names.WEIGHTS) for path in names.member_dirs(first)}
    set_sources(copy, init_from=str(first), bases=digests)
    combined([copy], tmp_path / "same")  # the same folds
    base = names.member_dirs(second)[0]
    set_sources(first, init_from=str(second), bases=dict.fromkeys(digests, files.sha256(base / names.WEIGHTS)))
    with pytest.raises(UserError, match="M001"):
        combined([copy], tmp_path / "grandparent")


def test_rows_of_the_wrong_fold_are_refused(runs: list[Path], tmp_path: Path) -> None:
    member_dir = names.member_dirs(runs[0])[1]
    member = read_member(member_dir)
    records.write(member_dir / names.MEMBER, msgspec.structs.replace(member, fold=member.fold % 2 + 1))
    with pytest.raises(UserError, match="M001"):
        combined(runs, tmp_path / "out")


def test_it_is_the_same_after_a_kill_and_no_other_replaces_it(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, complete = tmp_path / "out", combined(runs, tmp_path / "whole", combiner="greedy")
    write = ensembles.files.write_table
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(ensembles.files, "write_table", lambda path, rows: (_ for _ in ()).throw(KeyboardInterrupt))
        combined(runs, out, combiner="greedy")
    assert write is ensembles.files.write_table
    with pytest.raises(UserError, match="is not finished"):
        scoring.evaluate(out, part=OUT_OF_FOLD, n_boot=50)
    combined(runs, out, combiner="greedy")
    for name in (names.DECISION, names.SCORES, names.COMBINED):
        assert (out / name).read_bytes() == (complete / name).read_bytes()
    state = files.state_of(out / names.DONE)
    combined(runs, out, combiner="greedy")
    assert files.state_of(out / names.DONE) == state
    with pytest.raises(UserError, match="another ensemble"):
        combined(runs, out, combiner="mean")
    for folder in (runs[0], bundle_from_run(runs[0], tmp_path / "bundle")):
        with pytest.raises(UserError, match=r"already contains|is an input"):
            combined(runs, folder)


def test_runs_that_changed_are_not_scored(runs: list[Path], data: list[str], tmp_path: Path) -> None:
    out = combined(runs, tmp_path / "out")
    member_dir = names.member_dirs(runs[1])[0]
    record = records.read(member_dir / names.MEMBER, MemberRecord)
    records.write(member_dir / names.MEMBER, msgspec.structs.replace(record, digest="0" * 64))
    for use in (lambda: scoring.score(out, data), lambda: bundle_from_run(out, tmp_path / "bundle")):
        with pytest.raises(UserError, match="are not those that"):
            use()


def test_a_classifier_that_cannot_be_fitted_again_is_refused(
    runs: list[Path], data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = combined(runs, tmp_path / "out", combiner="sklearn(LogisticRegression)")
    scoring.score(out, data)
    decided(out)
    rows = read_scores(out)
    rows.assign(logit=np.where(rows["part"] == OUT_OF_FOLD, rows["logit"] + 1, rows["logit"])).to_parquet(
        out / names.SCORES
    )
    with pytest.raises(UserError, match=r"out-of-fold rows of .* have changed"):
        decided(out)
    rows.to_parquet(out / names.SCORES)
    monkeypatch.setattr(run_ensemble, "_digest_of_predictions", lambda *args: "0" * 64)
    with pytest.raises(UserError, match="differs from the one"):
        decided(out)


def test_patches_that_a_run_lacks_are_left_out_and_counted(runs: list[Path], tmp_path: Path) -> None:
    rows = read_scores(runs[0])
    rows[rows["patch_id"] != "drawn/0"].to_parquet(runs[0] / names.SCORES)
    record = read_ensemble(combined(runs, tmp_path / "out"))
    assert record.patches == 47 and record.notes == ["1 out-of-fold patches that not every run has are left out"]


def test_a_run_record_of_an_unfinished_run_is_refused(runs: list[Path], tmp_path: Path) -> None:
    assert isinstance(read_run(runs[0]), RunRecord)
    (runs[0] / names.DONE).unlink()
    with pytest.raises(UserError, match="is not finished"):
        combined(runs, tmp_path / "out")
    with pytest.raises(UserError, match="given twice"):
        combined([runs[1], runs[1]], tmp_path / "out")
