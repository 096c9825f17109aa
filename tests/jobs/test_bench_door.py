"""`mitotype benchmark` by the door: options, recipes, base weights, answers for machines."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mitotype.cli import bench, main, show, spread
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort

pytestmark = pytest.mark.usefixtures("one_thread")


def as_csv(cohort: Cohort, path: Path) -> Path:
    """A cohort as a csv of the user's own, in a folder that names it."""
    path.parent.mkdir()
    words = cohort.rows["label"].map({0.0: "normal", 1.0: "atypical"})
    rows = cohort.rows[["path", "case_id", "domain"]].assign(label=words)
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_benchmark_by_the_door(
    drawn_cohort: Cohort, measured: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, test = as_csv(drawn_cohort, tmp_path / "drawn" / "a.csv"), as_csv(measured, tmp_path / "measured" / "a.csv")
    words = [
        "benchmark", "--data", str(data), "--test", str(test), "--backbones", "resnet10", "--adapt", "full", "lora(8, 16)",
        "--set", "folds=2", "epochs=1", "batch=8", "--out", str(tmp_path / "bench"), "--title", "a line", "--draws", "200",
        "--device", "cpu", "--json",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0
    out = capsys.readouterr()
    told = json.loads(out.out)
    assert [(row["backbone"], row["test_set"]) for row in told["rows"]] == [
        ("morphology", "measured"),
        ("resnet10", "measured"),
    ]
    assert told["left_out"][0]["adaptation"] == "lora(8, 16)"
    assert "left out: resnet10, lora(8, 16)" in out.err
    assert "member 4 of 4 (resnet10, full, fold2-seed0): epoch 1 of 1" in out.err
    assert told["title"] == "a line"
    assert told["made"]["settings"] == ["folds=2", "epochs=1", "batch=8"]
    kept = json.loads((tmp_path / "bench" / "benchmark.json").read_text())
    assert kept["asked"]["backbones"] == ["resnet10"]
    with pytest.raises(SystemExit) as end:
        main([*words[:-1], "--set", "epochs=2"])
    assert end.value.code == 2
    assert "holds another benchmark: settings was" in capsys.readouterr().err


@pytest.mark.long
def test_killed_at_any_moment_the_same_command_ends_with_the_same_table(
    drawn_cohort: Cohort, measured: Cohort, tmp_path: Path
) -> None:
    data, test = as_csv(drawn_cohort, tmp_path / "drawn" / "a.csv"), as_csv(measured, tmp_path / "measured" / "a.csv")
    words = [
        sys.executable, "-m", "mitotype", "benchmark", "--data", str(data), "--test", str(test),
        "--backbones", "d4resnet-tiny", "--adapt", "full", "--set", "folds=2", "epochs=3", "batch=8", "--draws", "200", "--device", "cpu",
    ]  # fmt: skip
    subprocess.run([*words, "--out", str(tmp_path / "a")], check=True, capture_output=True)
    for after_s in (6, 12, 9, 15):
        child = subprocess.Popen(
            [*words, "--out", str(tmp_path / "b")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(after_s)
        child.kill()
        child.wait()
    subprocess.run([*words, "--out", str(tmp_path / "b")], check=True, capture_output=True)
    for name in ("table.csv", "table.json", "table.md", "table.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not list((tmp_path / "b").rglob("checkpoint*"))


def test_what_is_solved_has_no_loss(capsys: pytest.CaptureFixture[str]) -> None:
    told = show.epochs(moving=False)
    for loss in (None, float("nan"), 0.5):
        told({"cell": "a, probe", "job": 1, "jobs": 3, "member": "m", "epoch": 1, "epochs": 1, "loss": loss})
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["member 1 of 3 (a, probe, m): epoch 1 of 1"] * 2 + [
        "member 1 of 3 (a, probe, m): epoch 1 of 1, loss 0.5000"
    ]


def test_options_take_several_words() -> None:
    words = [
        "benchmark",
        "--test",
        "a",
        "b",
        "--backbones",
        "c",
        "d",
        "--adapt",
        "probe",
        "lora(8, 16)",
        "--init-from",
        "e",
        "f",
    ]
    expected = [
        "benchmark", "--test", "a", "--test", "b", "--backbones", "c", "--backbones", "d", "--adapt", "probe",
        "--adapt", "lora(8, 16)", "--init-from", "e", "--init-from", "f",
    ]  # fmt: skip
    assert spread(words) == expected


def test_the_recipes_of_the_study_keep_what_trains_and_gain_a_threshold() -> None:
    from mitotype.recipes.study import study

    recipe, own = bench.Recipes("study", (), {})("uni", "lora(8, 16)"), study("uni", "lora(8, 16)")
    changed = {key for key, value in recipe.plain().items() if own.plain()[key] != value}
    assert changed == {"calibration", "threshold"}
    assert (
        bench.Recipes("study", (), {"uni": "weights/uni.safetensors"})("uni", "probe").init_from
        == "weights/uni.safetensors"
    )
    assert bench.Recipes("study", (), {"swin-base": "random"})("swin-base", "full").init_from == ""
    named = {"efficientnetv2-m": "weights/net.safetensors"}  # of which the study started from random weights
    assert bench.Recipes("study", (), named)("efficientnetv2-m", "full").init_from == "weights/net.safetensors"
    assert bench.Recipes("study", (), {})("swin-base", "full").init_from == "published"
    assert bench.Recipes("study", (), {})("morphology", "probe").backbone == "morphology"
    with pytest.raises(Mistake):
        bench.Recipes("study", (), {})("swin-base", "probe")


def test_base_weights_know_their_backbone(whole: Path, tmp_path: Path) -> None:
    file = tmp_path / "uni.safetensors"
    file.touch()
    assert bench._sources(["published", str(whole), f"uni={file}"]) == {"d4resnet-tiny": str(whole), "uni": str(file)}
    for words, told in (([str(file)], "for which backbone"), (["unni=x"], "uni"), (["uni=nowhere"], "no weights at")):
        with pytest.raises(Mistake, match=told):
            bench._sources(words)


@pytest.mark.parametrize("setting", ["backbone=uni", "adaptation=full", "init_from=x", "epoch=3"])
def test_settings_that_are_not_for_all_cells(setting: str) -> None:
    with pytest.raises(Mistake):
        bench._settings([setting])


def test_paths_mean_the_same_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uni.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    assert bench._sources(["uni=./uni.safetensors"]) == bench._sources([f"uni={tmp_path / 'uni.safetensors'}"])
    assert bench._sources(["uni=random"]) == {"uni": "random"}
    assert bench._settings(["teacher=runs/a", "epochs=3"]) == (f"teacher={tmp_path / 'runs' / 'a'}", "epochs=3")
