"""The commands on a small run: output for machines, user errors without a traceback, generated reference pages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.main import get_command

from mitotype.cli import COMMANDS, app, listing, main, reference_pages
from mitotype.cli.options import expand_options
from mitotype.core.schema import NOTICE, Cohort
from tests import synthetic_cohort

ROOT = Path(__file__).parents[2]
RunCommand = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Return a function that runs a command and returns (exit code, standard output, standard error)."""

    def run(*args: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(list(args))
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def own_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a test set of the user: a csv with labels and cases."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(3)
    rows = []
    for i in range(24):
        Image.fromarray(synthetic_cohort.synthetic_image(i % 2, rng)).save(folder / f"{i}.png")
        rows.append({"path": f"{i}.png", "label": ("normal", "atypical")[i % 2], "case_id": f"own{i // 3}"})
    pd.DataFrame(rows).to_csv(folder / "own.csv", index=False)
    return folder / "own.csv"


def test_every_command_is_listed_in_a_group_and_has_an_example() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert len(commands) == sum(map(len, COMMANDS.values()))
    for name, command in commands.items():
        assert f"Example: mitotype {name}" in command.help
        assert len(command.help.splitlines()[0]) <= 45


def test_no_summary_is_cut_at_80_columns(run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    _, out, _ = run_command("--help")
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert any(line.split() == [name, *command.help.splitlines()[0].split()] for line in out.splitlines()), name
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("noun", listing.NOUNS)
def test_bare_nouns_list_and_names_show_a_card(run_command: RunCommand, noun: str) -> None:
    code, out, _ = run_command(noun, "--json")
    assert code == 0
    for name in list(json.loads(out))[:3]:
        code, card, _ = run_command(noun, name)
        assert code == 0
        assert card.startswith(name)


def test_an_unknown_name_is_answered_with_the_nearest(run_command: RunCommand) -> None:
    code, out, err = run_command("backbones", "resnt10")
    assert (code, out) == (2, "")
    assert err.startswith("No backbone is called 'resnt10'. Nearest: resnet10")


def test_a_user_error_shows_no_traceback() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mitotype", "classify", "nowhere.png"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "nowhere.png" in result.stderr or "neither a bundle" in result.stderr


def test_options_take_several_values() -> None:
    args = ["train", "demo", "--data", "a", "b", "--set", "epochs=1", "lr=1", "--out", "c", "d"]
    expected = ["train", "demo", "--data", "a", "--data", "b", "--set", "epochs=1", "--set", "lr=1", "--out", "c", "d"]
    assert expand_options(args) == expected


def test_score_evaluate_compare_bundle_classify(
    run_command: RunCommand, finished_run: Path, own_csv: Path, tmp_path: Path
) -> None:
    scores = tmp_path / "scores"
    code, _, err = run_command("score", str(finished_run), "--on", str(own_csv), "--out", str(scores))
    assert code == 0, err
    assert NOTICE in err
    ledger = [json.loads(line) for line in (scores / "openings.jsonl").read_text().splitlines()]
    assert [opening["patches"] for opening in ledger] == [24]

    code, out, err = run_command("evaluate", str(scores), "--json", "--n-boot", "200")
    assert code == 0, err
    entry = json.loads(out)["entries"][0]
    assert (entry["patches"], entry["atypical"], entry["cases"]) == (24, 12, 8)
    page = (scores / "report.html").read_text()
    assert NOTICE in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script src" not in page

    theirs = tmp_path / "theirs.csv"
    table = pd.read_parquet(scores / "scores.parquet")
    table.assign(score=1 / (1 + np.exp(-table["logit"])))[["patch_id", "score"]].to_csv(theirs, index=False)
    code, out, err = run_command("compare", str(scores), str(theirs), "--on", str(own_csv), "--n-boot", "200")
    assert code == 0, err
    assert "AUROC" in out

    bundle = tmp_path / "bundle"
    assert run_command("bundle", str(finished_run), "--out", str(bundle))[0] == 0
    code, out, err = run_command("classify", str(own_csv.parent), "--bundle", str(bundle), "--json")
    assert code == 0, err
    predictions = json.loads(out)
    assert len(predictions) == 24
    csv = tmp_path / "a.csv"
    code, _, err = run_command("classify", str(own_csv.parent), "--bundle", str(bundle), "--out", str(csv))
    assert code == 0, err
    np.testing.assert_allclose(pd.read_csv(csv)["probability"], [p["probability"] for p in predictions])


def test_training_images_are_not_scored(run_command: RunCommand, finished_run: Path, toy_cohort: Cohort) -> None:
    folder = Path(toy_cohort.rows["path"].iloc[0]).parent
    code, _, err = run_command("score", str(finished_run), "--on", str(folder), "--out", str(folder.parent / "leak"))
    assert code == 2
    assert "M004" in err or "M001" in err


def test_train_and_resume_a_finished_run(run_command: RunCommand, own_csv: Path, tmp_path: Path) -> None:
    out, settings = str(tmp_path / "run"), ["folds=2", "epochs=1", "batch=8", "precision=fp32"]
    code, _, err = run_command("train", "demo", "--data", str(own_csv), "--out", out, "--set", *settings)
    assert code == 0, err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"]["sources"] == [str(own_csv)]
    assert run_command("resume", out)[0] == 0
    code, _, err = run_command("train", "demo", "--data", str(own_csv), "--out", out)
    assert code == 2
    assert "already contains a run" in err
    code, _, err = run_command("train", "--from", out, "--data", str(own_csv), "--out", str(tmp_path / "repeated"))
    assert code == 0, err
    assert json.loads((tmp_path / "repeated" / "run.json").read_text())["recipe"]["epochs"] == 1


def test_audit_prints_findings(run_command: RunCommand, own_csv: Path) -> None:
    code, out, err = run_command("audit", str(own_csv), "--json")
    assert code == 0, err
    assert json.loads(out)


@pytest.mark.parametrize("name", sorted(reference_pages.pages()))
def test_reference_pages_are_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == reference_pages.pages()[name]


def test_explanations_and_json_without_nan(run_command: RunCommand, toy_cohort: Cohort) -> None:
    path = toy_cohort.rows["path"].iloc[0]
    code, out, err = run_command("classify", path, "--bundle", "morphology", "--words", "--json")
    assert code == 0, err
    [prediction] = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert prediction["spread"] is None
    assert all(phrase.startswith("the chromatin ") for phrase in prediction["explanation"])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "/data/x.csv"), "Permission denied: '/data/x.csv'"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (MemoryError(), "memory is used up"),
    ],
)
def test_what_the_machine_refuses_is_no_traceback(
    error: Exception, message: str, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(data: list[str]) -> None:
        raise error

    monkeypatch.setattr("mitotype.api.data.audit", refuse)
    code, _, printed = run_command("audit", "x")
    assert code == 2 and message in printed
