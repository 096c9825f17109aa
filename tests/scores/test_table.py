"""The score table: reading, errors, and appending without losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitotype.core.errors import UserError
from mitotype.scores import table
from mitotype.scores.table import Scores


def test_write_and_read(tmp_path: Path, some: Scores) -> None:
    table.write(tmp_path, some)
    again = table.read(tmp_path)
    text = dict.fromkeys(table.KEY, str)  # categorical columns after reading
    pd.testing.assert_frame_equal(again.scores.astype(text), some.scores, check_dtype=False)
    pd.testing.assert_frame_equal(again.patches, some.patches, check_dtype=False)


def test_append_keeps_old_rows_and_replaces_the_same_key(tmp_path: Path, some: Scores) -> None:
    table.append(tmp_path, some.take(part="out-of-fold"))
    table.append(tmp_path, some.take(part="test"))
    once = table.read(tmp_path)
    assert len(once) == len(some)
    changed = some.take(part="test")
    changed = replace(changed, scores=changed.scores.assign(logit=changed.scores["logit"] + 1))
    joint = table.append(tmp_path, changed)
    assert len(joint) == len(some)
    old = joint.scores[joint.scores["part"] == "out-of-fold"]["logit"].to_numpy()
    assert np.array_equal(old, some.take(part="out-of-fold").scores["logit"].to_numpy())
    new = joint.scores[joint.scores["part"] == "test"]["logit"].to_numpy()
    assert np.allclose(np.sort(new), np.sort(changed.scores["logit"]))
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    ("column", "value", "message"), [("digest", "f" * 64, "another image"), ("label", None, "another label")]
)
def test_append_raises_for_a_changed_patch(
    tmp_path: Path, some: Scores, column: str, value: object, message: str
) -> None:
    table.append(tmp_path, some)
    patches = some.patches.copy()
    patches.loc[3, column] = 1 - patches.loc[3, "label"] if value is None else value
    with pytest.raises(UserError, match=rf"{message} than before; the first: 'a/3'"):
        table.append(tmp_path, replace(some, patches=patches))
    assert len(table.read(tmp_path)) == len(some)


def test_errors_name_the_first_row(some: Scores) -> None:
    scores = some.scores.copy()
    scores.loc[5, "logit"] = np.nan
    with pytest.raises(
        UserError, match=r"1 logits are not finite numbers; the first: patch '.*', part .* member .* view"
    ):
        Scores(some.patches, scores)
    with pytest.raises(UserError, match=r"are repeated; the first: patch 'a/0'"):
        Scores(some.patches, pd.concat([some.scores, some.scores.head(2)]))
    with pytest.raises(UserError, match=r"'a/zz'.* Nearest: a/"):
        Scores(some.patches, some.scores.assign(patch_id=some.scores["patch_id"].replace("a/3", "a/zz")))
    with pytest.raises(UserError, match=r"No part is called 'Test'"):
        Scores(some.patches, some.scores.replace({"part": {"test": "Test"}}))
    with pytest.raises(UserError, match=r"lacks logit, .*\n|lacks logit"):
        Scores(some.patches, some.scores.drop(columns="logit"))
    with pytest.raises(UserError, match=r"has the label '2"):
        Scores(some.patches.assign(label=2.0), some.scores)
    with pytest.raises(UserError, match="2 errors"):
        Scores(some.patches.assign(label=2.0), scores)


def test_unlabelled_patches_are_allowed(some: Scores) -> None:
    patches = some.patches.assign(label=[None if i % 2 else 1 for i in range(len(some.patches))])
    rows = Scores(patches, some.scores).joined(some.scores.drop_duplicates("patch_id"))
    assert rows["label"].isna().sum() == len(patches) // 2


def test_csv_of_scores(tmp_path: Path, some: Scores) -> None:
    path = tmp_path / "theirs.csv"
    path.write_bytes(b"\xef\xbb\xbfpatch_id,score\r\na/0,0.9\r\na/1,0.0\r\n")
    read = table.read(path, patches=some.patches)
    assert read.scores["logit"].to_numpy()[0] == pytest.approx(np.log(9))
    assert read.scores["logit"].to_numpy()[1] == pytest.approx(np.log(1e-7), rel=1e-6)
    assert "read as probabilities" in read.notes[0] and "1 nearer than" in read.notes[0]
    assert "58 patches of the same datasets have no score" in read.notes[1]
    assert set(read.scores["part"]) == {"test"} and set(read.scores["member"]) == {"theirs"}

    path.write_text("patch_id,score\na/0,2.5\na/1,-0.5\n")
    read = table.read(path, patches=some.patches)
    assert list(read.scores["logit"]) == [2.5, -0.5] and "read as logits" in read.notes[0]
    path.write_text("patch_id,logit\na/0,0.25\n")
    assert list(table.read(path, patches=some.patches).scores["logit"]) == [0.25]
    path.write_text("patch_id,probability\na/0,1.25\n")
    with pytest.raises(UserError, match=r"are outside 0\.\.1"):
        table.read(path)
    path.write_text("patch_id,score\nb/77,0.5\n")
    with pytest.raises(UserError, match="not in the table of patches"):
        table.read(path, patches=some.patches)
    path.write_text("name,score\na/0,0.5\n")
    with pytest.raises(UserError, match="lacks the column patch_id; it has name, score"):
        table.read(path)
    path.write_text("patch_id,score\na/0,high\n")
    with pytest.raises(UserError, match="line 2: score 'high', not a number"):
        table.read(path)


def test_csv_with_its_own_patches(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "patch_id,score,label,case_id,member\nx/1,0.2,0,s1,m1\nx/1,0.3,0,s1,m2\nx/2,0.8,1,s2,m1\nx/2,0.9,1,s2,m2\n"
    )
    read = table.read(path)
    assert list(read.patches["dataset"]) == ["x", "x"] and list(read.patches["label"]) == [0, 1]
    assert sorted(read.scores["member"].unique()) == ["m1", "m2"]


def test_folder_without_scores(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no scores\.parquet"):
        table.read(tmp_path)
    with pytest.raises(UserError, match="is not a table of scores"):
        table.read(tmp_path / "run.json")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_probabilities_keep_their_order(values: list[float]) -> None:
    rows = pd.DataFrame({"patch_id": [f"x/{i}" for i in range(len(values))], "score": values})
    logit = table.from_table(rows, "m").scores["logit"].to_numpy()
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(logit[order]) >= 0)
