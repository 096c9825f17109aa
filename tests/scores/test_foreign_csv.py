"""A csv of scores that somebody else's model made: ids are text, and no cell drops, merges or changes a row in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mitotype.core.errors import UserError
from mitotype.scores import table
from mitotype.scores.decision import case_keys
from mitotype.scores.table import Scores

HEADER = "patch_id,label,case_id,score"
ROWS = ["s/0,0,a,0.1", "s/1,1,a,0.9", "s/2,0,b,0.3", "s/3,1,b,0.8"]


def read(folder: Path, *lines: str, name: str = "theirs.csv") -> Scores:
    (folder / name).write_text("\n".join(lines) + "\n")
    return table.read(folder / name)


def test_ids_of_patches_cases_and_domains_are_text(tmp_path: Path) -> None:
    ids = ["1", "01", "001", "1e2", "100", "NA", "None", "null"]
    lines = [f"{name},{i % 2},{name},{name},{name},0.5" for i, name in enumerate(ids)]
    patches = read(tmp_path, "patch_id,label,case_id,domain,dataset,score", *lines).patches
    for column in ("patch_id", "case_id", "domain", "dataset"):
        assert patches[column].tolist() == ids
    assert len(set(case_keys(patches))) == len(ids)


def test_cases_and_domains_that_are_not_stated_are_empty(tmp_path: Path) -> None:
    patches = read(tmp_path, "patch_id,label,case_id,domain,score", "s/0,0,,,0.1", "s/1,1,a,,0.9").patches
    assert patches["case_id"].isna().tolist() == [True, False]
    assert patches["domain"].isna().all()


def test_labels_are_what_they_are_in_a_cohort(tmp_path: Path) -> None:
    lines = ["s/0,normal,a,0.1", "s/1,AMF,a,0.9", "s/2,,b,0.3", "s/3,1.0,b,0.8"]
    np.testing.assert_array_equal(read(tmp_path, HEADER, *lines).patches["label"], [0, 1, np.nan, 1])
    with pytest.raises(UserError, match=r"unknown labels: 'perhaps' \(line 3\)"):
        read(tmp_path, HEADER, ROWS[0], "s/1,perhaps,a,0.9")


@pytest.mark.parametrize("column", ["dataset", "member", "part", "view"])
def test_an_empty_cell_is_an_error_and_an_empty_column_is_none(tmp_path: Path, column: str) -> None:
    full = {"dataset": "d", "member": "m", "part": "test", "view": "identity"}[column]
    with pytest.raises(UserError, match=f"line 4: the {column} is empty"):
        read(tmp_path, f"{HEADER},{column}", f"{ROWS[0]},{full}", f"{ROWS[1]},{full}", f"{ROWS[2]},")
    without = read(tmp_path, HEADER, *ROWS)
    empty = read(tmp_path, f"{HEADER},{column}", *(f"{row}," for row in ROWS))
    pd.testing.assert_frame_equal(empty.patches, without.patches)
    pd.testing.assert_frame_equal(empty.scores, without.scores)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",1,a,0.5", "line 3: the patch_id is empty"),
        ("s/9,1,a,", "line 3: the score is empty"),
        ("s/9,1,a,nan", "line 3: the score is empty"),
        ("s/0,0,a,0.2", "line 3: a second score of patch 's/0'"),
        ("s/0,0,a", "line 3: 3 cells, but the header has 4"),
        ('s/9,1,a,"0,5"', r"line 3: score '0,5', not a number.*\n.*with a point"),
        ("s/9,1,a,50.7%", r"line 3: score '50\.7%'.*\n.*instead of percentages"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, HEADER, ROWS[0], line)
    assert "theirs.csv'" in str(error.value)


@pytest.mark.parametrize(
    ("column", "values"), [("label", ("0", "1")), ("case_id", ("a", "b")), ("domain", ("x", "")), ("votes", ("3", "2"))]
)
def test_two_facts_of_one_patch_are_an_error(tmp_path: Path, column: str, values: tuple[str, str]) -> None:
    lines = [f"s/0,m{i},0.5,{value}" for i, value in enumerate(values)]
    with pytest.raises(UserError, match=f"line 3: another {column} of patch 's/0'"):
        read(tmp_path, f"patch_id,member,score,{column}", *lines)


def test_semicolons_upper_case_and_a_parquet_file_give_the_same_scores(tmp_path: Path) -> None:
    expected = read(tmp_path, HEADER, *ROWS)
    semicolons = [line.replace(",", ";").replace(".", ",") for line in (HEADER, *ROWS)]
    (tmp_path / "utf16").mkdir()
    (tmp_path / "utf16" / "theirs.csv").write_text("\n".join([HEADER, *ROWS]), encoding="utf-16")
    columns = {"patch_id": [f"s/{i}" for i in range(4)], "label": [0, 1, 0, 1], "case_id": list("aabb")}
    pd.DataFrame(columns | {"score": [0.1, 0.9, 0.3, 0.8]}).to_parquet(tmp_path / "theirs.parquet")
    for read_again in (
        read(tmp_path, *semicolons),
        read(tmp_path, HEADER, *ROWS, name="theirs.CSV"),
        table.read(tmp_path / "utf16" / "theirs.csv"),
        table.read(tmp_path / "theirs.parquet"),
    ):
        pd.testing.assert_frame_equal(read_again.scores, expected.scores)
        pd.testing.assert_frame_equal(read_again.patches, expected.patches)


def test_the_name_of_the_score_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacks the column score; .*Nearest: Score"):
        read(tmp_path, HEADER.replace("score", "Score"), *ROWS)


def test_damaged_tables_of_a_run_are_errors(tmp_path: Path, some: Scores) -> None:
    table.write(tmp_path, some)
    some.patches.assign(patch_id=range(len(some.patches))).to_parquet(tmp_path / "patches.parquet")
    with pytest.raises(UserError, match="wrong type in the column 'patch_id'"):
        table.read(tmp_path)
    (tmp_path / "patches.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"patches\.parquet' cannot be read"):
        table.read(tmp_path)
