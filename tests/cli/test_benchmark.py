"""`mitotype benchmark`: options, recipes, initial weights, JSON output."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mitotype.api.benchmarking import BenchmarkOptions, cell_recipe, parse_settings, parse_sources
from mitotype.cli import benchmarking, main
from mitotype.cli.options import expand_options, rename_options
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort
from mitotype.recipes.study import study_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


def as_csv(cohort: Cohort, path: Path) -> Path:
    """Write a cohort as the csv of a user, in a folder that gives it its name, and return the path."""
    path.parent.mkdir()
    labels = cohort.rows["label"].map({0.0: "normal", 1.0: "atypical"})
    rows = cohort.rows[["path", "case_id", "domain"]].assign(label=labels)
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_benchmark_command(
    toy_cohort: Cohort, test_cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, test = as_csv(toy_cohort, tmp_path / "drawn" / "a.csv"), as_csv(test_cohort, tmp_path / "measured" / "a.csv")
    command = [
        "benchmark", "--data", str(data), "--test", str(test), "--backbones", "resnet10", "--adaptations", "full", "lora(8, 16)",
        "--set", "folds=2", "epochs=1", "batch=8", "--out", str(tmp_path / "bench"), "--title", "a line", "--n-boot", "200",
        "--device", "cpu", "--json",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 0
    out = capsys.readouterr()
    table = json.loads(out.out)
    assert [(row["backbone"], row["test_set"]) for row in table["rows"]] == [
        ("morphology", "measured"),
        ("resnet10", "measured"),
    ]
    assert table["skipped"][0]["adaptation"] == "lora(8, 16)"
    assert "left out: resnet10, lora(8, 16)" in out.err
    assert "member 4 of 4 (resnet10, full, fold2-seed0): epoch 1 of 1" in out.err
    assert table["title"] == "a line"
    assert table["settings"]["settings"] == ["folds=2", "epochs=1", "batch=8"]
    stored = json.loads((tmp_path / "bench" / "benchmark.json").read_text())
    assert stored["backbones"] == ["resnet10"]
    with pytest.raises(SystemExit) as end:
        main([*command[:-1], "--set", "epochs=2"])
    assert end.value.code == 2
    assert "contains another benchmark: settings was" in capsys.readouterr().err


@pytest.mark.long
def test_a_killed_command_that_is_repeated_gives_the_same_table(
    toy_cohort: Cohort, test_cohort: Cohort, tmp_path: Path
) -> None:
    data, test = as_csv(toy_cohort, tmp_path / "drawn" / "a.csv"), as_csv(test_cohort, tmp_path / "measured" / "a.csv")
    command = [
        sys.executable, "-m", "mitotype", "benchmark", "--data", str(data), "--test", str(test),
        "--backbones", "d4resnet-tiny", "--adaptations", "full", "--set", "folds=2", "epochs=3", "batch=8", "--n-boot", "200",
        "--device", "cpu",
    ]  # fmt: skip
    subprocess.run([*command, "--out", str(tmp_path / "a")], check=True, capture_output=True)
    for timeout_s in (6, 12, 9, 15):
        child = subprocess.Popen(
            [*command, "--out", str(tmp_path / "b")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout_s)
        child.kill()
        child.wait()
    subprocess.run([*command, "--out", str(tmp_path / "b")], check=True, capture_output=True)
    for name in ("table.csv", "table.json", "table.md", "table.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not list((tmp_path / "b").rglob("checkpoint*"))


def test_options_take_several_values() -> None:
    typed = [
        "--test",
        "a",
        "b",
        "--backbones",
        "c",
        "d",
        "--adaptations",
        "probe",
        "lora(8, 16)",
        "--init-from",
        "e",
        "f",
    ]
    expected = [
        "--test", "a", "--test", "b", "--backbones", "c", "--backbones", "d", "--adaptations", "probe",
        "--adaptations", "lora(8, 16)", "--init-from", "e", "--init-from", "f",
    ]  # fmt: skip
    assert expand_options(["benchmark", *typed]) == ["benchmark", *expected]


def test_recipes_of_the_study_gain_a_calibration_and_a_threshold() -> None:
    recipe, original = cell_recipe("study", (), {}, "uni", "lora(8, 16)"), study_recipe("uni", "lora(8, 16)")
    changed = {key for key, value in recipe.to_dict().items() if original.to_dict()[key] != value}
    assert changed == {"calibration", "threshold"}
    assert (
        cell_recipe("study", (), {"uni": "weights/uni.safetensors"}, "uni", "probe").init_from
        == "weights/uni.safetensors"
    )
    assert cell_recipe("study", (), {"swin-base": "random"}, "swin-base", "full").init_from == ""
    sources = {"efficientnetv2-m": "weights/net.safetensors"}  # of which the study started from random weights
    assert cell_recipe("study", (), sources, "efficientnetv2-m", "full").init_from == "weights/net.safetensors"
    assert cell_recipe("study", (), {}, "swin-base", "full").init_from == "published"
    assert cell_recipe("study", (), {}, "morphology", "probe").backbone == "morphology"
    with pytest.raises(UserError):
        cell_recipe("study", (), {}, "swin-base", "probe")


def test_initial_weights_are_given_by_backbone(finished_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "uni.safetensors"
    file.touch()
    assert parse_sources(["published", str(finished_run), f"uni={file}"]) == {
        "d4resnet-tiny": str(finished_run),
        "uni": str(file),
    }
    for texts, message in (
        ([str(file)], "does not name its backbone"),
        (["unni=x"], "uni"),
        (["uni=nowhere"], "no weights at"),
    ):
        with pytest.raises(UserError, match=message):
            parse_sources(texts)


def test_old_names_of_options_are_accepted_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match="--adapt is now called --adaptations"):
        assert rename_options(["benchmark", "--adapt", "full"]) == ["benchmark", "--adaptations", "full"]
    with pytest.warns(FutureWarning, match="--on is now called --backend"):
        assert rename_options(["benchmark", "--on=ray"]) == ["benchmark", "--backend=ray"]
    with pytest.warns(FutureWarning, match="--draws is now called --n-boot"):
        assert rename_options(["evaluate", "r", "--draws", "9"]) == ["evaluate", "r", "--n-boot", "9"]
    assert rename_options(["score", "r", "--on", "a"]) == ["score", "r", "--on", "a"]


def test_the_old_name_of_the_local_backend_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    received: list[BenchmarkOptions] = []

    def stop(options: BenchmarkOptions) -> None:
        received.append(options)
        raise UserError("stopped")

    monkeypatch.setattr("mitotype.api.benchmarking.prepare", stop)
    with pytest.raises(UserError, match="stopped"), pytest.warns(FutureWarning, match="local"):
        benchmarking.benchmark(tmp_path, backend="here")
    assert received[0].backend == "local"


@pytest.mark.parametrize("setting", ["backbone=uni", "adaptation=full", "init_from=x", "epoch=3"])
def test_settings_that_no_cell_accepts_are_refused(setting: str) -> None:
    with pytest.raises(UserError):
        parse_settings([setting])


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uni.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    assert parse_sources(["uni=./uni.safetensors"]) == parse_sources([f"uni={tmp_path / 'uni.safetensors'}"])
    assert parse_sources(["uni=random"]) == {"uni": "random"}
    assert parse_settings(["teacher=runs/a", "epochs=3"]) == (f"teacher={tmp_path / 'runs' / 'a'}", "epochs=3")
