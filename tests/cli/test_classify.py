"""`mitotype classify`: lists and folders, what is refused before the work, and images that cannot be read among others."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mitotype.api import deployment
from mitotype.cli import main
from mitotype.core import tables
from mitotype.core.schema import NOTICE

OLD_BUNDLE = Path(__file__).parents[1] / "golden" / "v0_1_0" / "bundle_morphology"

RunCommand = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Return a function that classifies with the smallest shipped bundle and returns (exit code, output, errors)."""

    def run(*args: object) -> tuple[int, str, str]:
        code = 0
        try:
            main(["classify", "--bundle", "morphology", *map(str, args)])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of images: a.png, b.png, and stack.tif with two pages."""
    folder = tmp_path / "images"
    folder.mkdir()
    images = [
        Image.fromarray(np.random.default_rng(seed).integers(60, 230, (32, 32, 3), dtype=np.uint8)).resize((128, 128))
        for seed in range(3)
    ]
    images[0].save(folder / "a.png")
    images[1].save(folder / "b.png")
    images[2].save(folder / "stack.tif", save_all=True, append_images=[images[0].copy()])
    return folder


@pytest.fixture
def no_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if the command begins to classify."""
    monkeypatch.setattr(
        deployment.classification, "classify_chunks", lambda *args, **options: pytest.fail("the work began")
    )


def rows_of(out: str) -> list[tuple[str, int]]:
    return [(Path(row["path"]).name, row["page"]) for row in json.loads(out)]


def test_rows_of_a_list_are_the_answers(run_command: RunCommand, folder: Path) -> None:
    (folder / "list.csv").write_text("path;page;label\nstack.tif;1;AMF\na.png;;maybe\n b.png ;0;\n")
    code, out, err = run_command(folder / "list.csv", "--json")
    assert (code, rows_of(out)) == (0, [("stack.tif", 1), ("a.png", 0), ("b.png", 0)]), err
    pd.DataFrame({"path": ["a.png"], "mpp_um": [0.5]}).to_parquet(folder / "list.parquet")
    assert rows_of(run_command(folder / "list.parquet", "--json")[1]) == [("a.png", 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,mpp_um\na.png,0.25\n,0.25\n", "line 3: the path is empty"),
        ('path,mpp_um\na.png,"0,25"\n', "line 2: mpp_um '0,25', not a number"),
        ("path,mpp_um\na.png,0.25 um\n", "line 2: mpp_um '0.25 um', not a number"),
        ("path,mpp_um\na.png,25\n", "line 2"),
        ("path,page\na.png,0.5\n", "line 2 has page 0.5"),
        ("path\n" + "x" * 300 + ".png\n", "line 2: there is no file"),
        ("path,path\na.png,b.png\n", "two columns called 'path'"),
        ("image\na.png\n", "lacks the column path"),
    ],
)
def test_faults_of_a_list_are_refused_before_the_work(
    run_command: RunCommand, folder: Path, text: str, message: str
) -> None:
    (folder / "list.csv").write_text(text)
    code, out, err = run_command(folder / "list.csv")
    assert (code, out) == (2, "")
    assert message in err
    assert "list.csv" in err


def test_names_like_numbers_and_missing_values(run_command: RunCommand, folder: Path) -> None:
    for name in ("1", "NA", "01"):
        (folder / name).write_bytes((folder / "a.png").read_bytes())
    (folder / "list.csv").write_text("path\n1\nNA\n01\n")
    code, out, err = run_command(folder / "list.csv", "--json")
    assert (code, rows_of(out)) == (0, [("1", 0), ("NA", 0), ("01", 0)]), err


def test_the_others_are_written_and_the_damaged_are_listed(
    run_command: RunCommand, folder: Path, tmp_path: Path
) -> None:
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:500])
    for name in ("out.csv", "out.parquet", "out.json"):
        out = tmp_path / name
        code, _, err = run_command(folder, "--out", out)
        assert code == 2
        assert "1 of 4 images could not be classified" in err and "b.png' is damaged" in err
        if name != "out.json":
            rows = tables.read(out, numbers=("probability",)) if name == "out.csv" else pd.read_parquet(out)
            assert [bool(error) for error in rows["error"]] == [False, True, False, False]
            assert rows["probability"].isna().tolist() == [False, True, False, False]
        else:
            assert ["error" in row for row in json.loads(out.read_text())] == [False, True, False, False]
    Image.fromarray(np.full((128, 128, 3), 200, np.uint8)).save(folder / "b.png")
    assert run_command(folder, "--out", tmp_path / "out.csv")[0] == 0  # earlier predictions are replaced
    assert "error" not in tables.column_names(tmp_path / "out.csv")


def test_nothing_is_written_where_nothing_can_be_read(run_command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    code, out, err = run_command(tmp_path / "a.png", "--out", tmp_path / "out.csv")
    assert (code, out) == (2, "") and "a.png" in err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.usefixtures("no_scoring")
@pytest.mark.parametrize(
    "name", ["theirs.csv", "theirs.json", "theirs.parquet", "list.csv", "out.xlsx", "a.csv/out.csv"]
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    run_command: RunCommand, folder: Path, name: str
) -> None:
    (folder / "theirs.csv").write_text("path,probability\na,1\n")
    (folder / "theirs.json").write_text('{"mine": 1}')
    (folder / "theirs.parquet").write_bytes(b"PAR1")
    (folder / "list.csv").write_text("path\na.png\n")
    (folder / "a.csv").write_text("")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    code, _, err = run_command(folder / "list.csv", "--out", folder / name)
    assert code == 2 and name.rpartition("/")[2] in err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_endings_are_recognised_in_any_case(run_command: RunCommand, folder: Path, tmp_path: Path) -> None:
    assert run_command(folder / "a.png", "--out", tmp_path / "OUT.CSV")[0] == 0
    assert tables.column_names(tmp_path / "OUT.CSV")[:2] == ["path", "page"]


def test_links_folders_with_endings_and_frames(run_command: RunCommand, folder: Path, tmp_path: Path) -> None:
    (folder / "deep.tif").mkdir()
    (folder / "a.png").rename(folder / "deep.tif" / "a.png")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    frames = [Image.open(folder / "b.png"), Image.open(folder / "deep.tif" / "a.png")]
    frames[0].save(folder / "c.png", save_all=True, append_images=frames[1:])
    code, out, err = run_command(folder, "--json")
    expected = [("b.png", 0), ("c.png", 0), ("stack.tif", 0), ("stack.tif", 1), ("a.png", 0)]
    assert (code, rows_of(out)) == (0, expected), err
    assert "1 pages of 1 files are previews, reduced copies or frames" in err


def test_a_scale_in_the_file_asks_for_mpp(run_command: RunCommand, folder: Path) -> None:
    with Image.open(folder / "a.png") as image:
        image.save(folder / "half.tif", resolution=20_000, resolution_unit="cm")
    code, _, err = run_command(folder / "half.tif")
    assert code == 2 and "states 0.5 µm/px" in err
    assert run_command(folder / "half.tif", "--mpp", "0.5")[0] == 0


def test_the_example_images_are_classified(run_command: RunCommand) -> None:
    code, out, err = run_command("--example")
    assert (code, len(out.splitlines())) == (0, 7) and "3 atypical, 3 normal, 0 uncertain" in err
    assert run_command()[0] == 2  # no images


def test_an_operating_point_is_set_and_printed(run_command: RunCommand) -> None:
    code, out, err = run_command("--example", "--sensitivity", ".95", "--json")
    assert code == 0 and "operating point: threshold 0.0703; out of fold, sensitivity 0.951" in err
    by_name = {Path(row["path"]).name: row["decision"] for row in json.loads(out)}
    assert (by_name["5.png"], by_name["4.png"]) == ("atypical", "uncertain")  # normal and normal by its own threshold
    for args, message in (
        (("--sensitivity", ".95", "--specificity", ".9"), "A sensitivity and a specificity are given"),
        (("--specificity", ".2"), "allowed: 0.5 to 0.995"),
        (("--specificity", ".9", "--bundle", str(OLD_BUNDLE)), "has no operating points"),
    ):
        code, out, err = run_command("--example", *args)
        assert (code, out) == (2, "") and message in err


def test_quiet_prints_the_rows_and_the_notice_only(run_command: RunCommand) -> None:
    code, out, err = run_command("--example", "--quiet", "--threads", "1")
    assert (code, len(out.splitlines()), err.splitlines()) == (0, 7, [NOTICE])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classify two images at a time."""
    monkeypatch.setattr(deployment.classification, "CHUNK", 2)


@pytest.mark.usefixtures("small_chunks")
def test_rows_are_printed_while_they_are_made(run_command: RunCommand, folder: Path) -> None:
    complete = run_command(folder / "a.png", folder)[1].splitlines()
    assert complete[0] == "path,page,probability,decision,class,spread,flags,error" and len(complete) == 6
    (folder / "a.png").write_bytes(b"damaged")
    code, out, err = run_command(folder / "a.png", folder / "a.png", folder)  # a chunk without a figure comes first
    lines = out.splitlines()
    assert code == 2 and "3 of 6 images could not be classified" in err
    assert (
        lines[0] == complete[0] and len(lines) == 7 and lines[1].count("damaged") + lines[1].count("not an image") == 1
    )


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet", ""])
def test_what_is_classified_survives_an_interrupt(
    run_command: RunCommand, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, suffix: str
) -> None:
    args = [folder, *(["--out", tmp_path / f"out{suffix}"] if suffix else [])]
    partial = tmp_path / f"out.partial{suffix}"
    predict = deployment.classification.predict_pages
    calls: list[int] = []

    def interrupted(*rest: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), number)
            time.sleep(5)
        return predict(*rest)

    monkeypatch.setattr(deployment.classification, "predict_pages", interrupted)
    code, out, err = run_command(*args)
    assert code == 128 + number and "Stopped. The first 2 predictions are " in err
    assert not (tmp_path / f"out{suffix}").exists() and len(out.splitlines()) == (0 if suffix else 3)
    assert partial.exists() == bool(suffix)
    assert run_command(*args)[0] == 0
    assert not partial.exists()


def test_an_interrupt_before_the_first_prediction_leaves_nothing(
    run_command: RunCommand, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any, **options: Any) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)  # of the shell that was in the terminal

    monkeypatch.setattr(deployment.classification, "predict_pages", stop)
    code, _, err = run_command(folder, "--out", tmp_path / "out.csv")
    assert code == 129 and "No result was written" in err
    assert not list(tmp_path.glob("out*"))


@pytest.mark.usefixtures("no_scoring")
def test_a_partial_file_of_others_is_not_replaced(run_command: RunCommand, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.partial.csv").write_text("mine\n1\n")
    code, _, err = run_command(folder, "--out", tmp_path / "out.csv")
    assert code == 2 and "out.partial.csv' is already there" in err
