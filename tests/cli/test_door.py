"""The door: every verb on a small run, answers for machines, mistakes without a traceback, pages as the code writes them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mitotype.cli import main, pages, spread
from mitotype.core.words import NOTICE, Cohort
from tests import drawn

ROOT = Path(__file__).parents[2]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run a command; returns (exit code, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(list(words))
        except SystemExit as end:
            code = int(end.code or 0)
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture(scope="module")
def own_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test set of the user's own: a csv with labels, cases and votes."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(3)
    lines = []
    for number in range(24):
        Image.fromarray(drawn.drawn(number % 2, rng)).save(folder / f"{number}.png")
        lines.append(
            {"path": f"{number}.png", "label": ("normal", "atypical")[number % 2], "case_id": f"own{number // 3}"}
        )
    pd.DataFrame(lines).to_csv(folder / "own.csv", index=False)
    return folder / "own.csv"


@pytest.mark.parametrize("noun", ["datasets", "views", "features", "backbones", "losses", "recipes", "bundles"])
def test_bare_nouns_list_and_names_show_a_card(said, noun: str) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = said(noun, "--json")
    assert code == 0
    for name in list(json.loads(out))[:3]:
        code, card, _ = said(noun, name)
        assert code == 0
        assert card.startswith(name)


def test_a_near_miss_is_answered(said) -> None:  # type: ignore[no-untyped-def]
    code, out, err = said("backbones", "resnt10")
    assert (code, out) == (2, "")
    assert err.startswith("No backbone is called 'resnt10'. Nearest: resnet10")


def test_a_mistake_shows_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mitotype", "classify", "nowhere.png"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "nowhere.png" in done.stderr or "neither a bundle" in done.stderr


def test_options_take_several_words() -> None:
    words = ["train", "demo", "--data", "a", "b", "--set", "epochs=1", "lr=1", "--out", "c", "d"]
    expected = ["train", "demo", "--data", "a", "--data", "b", "--set", "epochs=1", "--set", "lr=1", "--out", "c", "d"]
    assert spread(words) == expected


def test_score_evaluate_compare_bundle_classify(said, whole: Path, own_csv: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    scores = tmp_path / "scores"
    code, _, err = said("score", str(whole), "--on", str(own_csv), "--out", str(scores))
    assert code == 0, err
    assert NOTICE in err
    ledger = [json.loads(line) for line in (scores / "openings.jsonl").read_text().splitlines()]
    assert [line["patches"] for line in ledger] == [24]

    code, out, err = said("evaluate", str(scores), "--json", "--draws", "200")
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
    code, out, err = said("compare", str(scores), str(theirs), "--on", str(own_csv), "--draws", "200")
    assert code == 0, err
    assert "AUROC" in out

    made = tmp_path / "bundle"
    assert said("bundle", str(whole), "--out", str(made))[0] == 0
    code, out, err = said("classify", str(own_csv.parent), "--bundle", str(made), "--json")
    assert code == 0, err
    answers = json.loads(out)
    assert len(answers) == 24
    code, _, err = said("classify", str(own_csv.parent), "--bundle", str(made), "--out", str(tmp_path / "a.csv"))
    assert code == 0, err
    kept = pd.read_csv(tmp_path / "a.csv")
    np.testing.assert_allclose(kept["probability"], [answer["probability"] for answer in answers])


def test_training_pictures_are_not_scored(said, whole: Path, drawn_cohort: Cohort) -> None:  # type: ignore[no-untyped-def]
    folder = Path(drawn_cohort.rows["path"].iloc[0]).parent
    code, _, err = said("score", str(whole), "--on", str(folder), "--out", str(folder.parent / "leak"))
    assert code == 2
    assert "M004" in err or "M001" in err


def test_train_by_the_door_and_resume_what_is_whole(said, own_csv: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    settings = ["folds=2", "epochs=1", "batch=8", "precision=fp32"]
    code, _, err = said("train", "demo", "--data", str(own_csv), "--out", str(tmp_path / "run"), "--set", *settings)
    assert code == 0, err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"]["where"] == [str(own_csv)]
    assert said("resume", str(tmp_path / "run"))[0] == 0
    code, _, err = said("train", "demo", "--data", str(own_csv), "--out", str(tmp_path / "run"))
    assert code == 2
    assert "already holds a run" in err


def test_audit_speaks(said, own_csv: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = said("audit", str(own_csv), "--json")
    assert code == 0, err
    assert json.loads(out)


@pytest.mark.parametrize("name", sorted(pages.pages()))
def test_the_reference_is_as_the_code_writes_it(name: str) -> None:
    assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == pages.pages()[name]


def test_the_shipped_descriptors_speak_and_json_has_no_nan(said, drawn_cohort: Cohort) -> None:  # type: ignore[no-untyped-def]
    code, out, err = said("classify", drawn_cohort.rows["path"].iloc[0], "--bundle", "morphology", "--words", "--json")
    assert code == 0, err
    [answer] = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert answer["spread"] is None
    assert all(sentence.startswith("the chromatin ") for sentence in answer["words"])
