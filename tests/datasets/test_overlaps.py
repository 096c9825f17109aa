"""Hold-out, known overlaps and the refusal to score what was trained on: by slide and by picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mitotype import datasets
from mitotype.core import pictures
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.datasets import known, midog25, overlaps
from tests.datasets import made


@pytest.mark.real
def test_midog25_without_the_tests_keeps_9401_rows(shared_data: Path) -> None:
    """The pictures are absent: slides alone tell. 9,401 rows, 1,432 atypical, 379 slides remain."""
    cohort = midog25.read_labels(shared_data / "MIDOG25" / midog25.CSV_NAME)
    noted = overlaps.known_overlaps(cohort)
    assert len(noted) == 2 and all(note.startswith("M006") for note in noted) and "amibr-test" in noted[0]
    kept = overlaps.hold_out(cohort, ["amibr-test", "atnorm-md"])
    assert (len(kept), int(kept.rows["label"].sum()), kept.rows["case_id"].nunique()) == (9401, 1432, 379)
    assert overlaps.known_overlaps(kept) == ()
    told = [note for note in kept.notes if "held out" in note]
    assert "429 patches overlap amibr-test" in told[0] and "2107 patches overlap atnorm-md" in told[1]


@pytest.mark.real
def test_amibr_overlaps_no_test(shared_data: Path) -> None:
    (train,) = datasets.read(str(shared_data / "AMi-Br_Benchmark"), part="train")
    assert overlaps.known_overlaps(train) == ()
    kept = overlaps.hold_out(train, list(known.TESTS), digests=[""] * len(train))
    assert len(kept) == len(train)


@pytest.mark.real
def test_a_test_picture_in_a_users_folder_is_found_without_the_test_set(shared_data: Path, tmp_path: Path) -> None:
    """As the published file, and saved again without loss (another file, the same pixels)."""
    source = shared_data / "AMi-Br_Benchmark" / "AtNorM-Br" / "Atypical" / "101.png"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "copy.png").write_bytes(source.read_bytes())
    Image.open(source).save(tmp_path / "own" / "again.tif")
    made.picture(tmp_path / "own" / "mine.png", 1)
    (own,) = datasets.read(str(tmp_path / "own"), part="train")
    kept = overlaps.hold_out(own, ["atnorm-br"])
    assert kept.rows["patch_id"].tolist() == ["own/mine"]
    assert "2 patches overlap atnorm-br and are held out (0 on 0 of its cases, 2 more by picture)" in kept.notes[-1]
    assert "1 patches" in overlaps.known_overlaps(own)[0]  # cheap: files only
    pack = pictures.pack(own)
    assert "2 patches" in overlaps.known_overlaps(own, digests=pack.digests)[0]


def test_a_cohort_at_hand_is_held_out_by_case_and_picture(tmp_path: Path) -> None:
    for seed in range(4):
        made.picture(tmp_path / "train" / f"{seed}.png", seed)
    made.picture(tmp_path / "test" / "copy.png", 2)
    (tmp_path / "train" / "list.csv").write_text("path,case_id\n0.png,A\n1.png,B\n2.png,C\n3.png,D\n")
    (tmp_path / "test" / "list.csv").write_text("path,case_id\ncopy.png,A\n")
    (train,), (test,) = (datasets.read(str(tmp_path / name), part="all") for name in ("train", "test"))
    assert overlaps.hold_out(train, [test]).rows["case_id"].tolist() == ["B", "D"]
    assert overlaps.hold_out(train, []) is train
    with pytest.raises(Mistake, match="Nothing of 'train' remains"):
        overlaps.hold_out(train, [train])
    with pytest.raises(Mistake, match="Nearest: atnorm-md"):
        overlaps.hold_out(train, ["atnorm-mb"])


def test_scoring_what_was_trained_on_is_refused(tmp_path: Path) -> None:
    for seed in range(3):
        made.picture(tmp_path / "own" / f"{seed}.png", seed)
    (test,) = datasets.read(str(tmp_path / "own"), part="test")
    digests = pictures.pack(test).digests
    trained = pd.DataFrame({"case_id": ["elsewhere", "other"], "digest": [digests[1], "0" * 64]})
    for given in (digests, None):
        shared = overlaps.overlap(trained, test, digests=given)
        assert shared.patches == ("own/1",) and shared.cases == ()
        with pytest.raises(Mistake, match=r"M004.*1 pictures"):
            raise shared.mistake()
    by_case = overlaps.overlap(pd.DataFrame({"case_id": ["own/2"], "digest": [""]}), test, digests=digests)
    assert by_case.cases == ("own/2",) and by_case.mistake().code == "M001"
    assert not overlaps.overlap(pd.DataFrame({"case_id": ["z"], "digest": [np.nan]}), test, digests=digests)


def test_the_shipped_marks_are_whole_and_apart() -> None:
    train, test = known.marks("amibr-train"), known.marks("amibr-test")
    md, br = known.marks("atnorm-md"), known.marks("atnorm-br")
    assert [len(m.cases) for m in (train, test, md, br)] == [146, 56, 60, 95]
    assert [len(m.files) for m in (train, test, md)] == [2894, 826, 2107]
    assert len(br.pixels) == 711
    everything = [train, test, md, br]
    for number, one in enumerate(everything):
        for other in everything[number + 1 :]:
            assert not one.cases & other.cases and not one.files & other.files and not one.pixels & other.pixels


@pytest.mark.real
def test_the_shipped_digests_are_those_of_the_files(shared_data: Path) -> None:
    (cohort,) = datasets.read(f"amibr-test={shared_data / 'AMi-Br_Benchmark'}", part="test")
    few = Cohort("few", cohort.rows.iloc[::40].reset_index(drop=True))
    marks = known.marks("amibr-test")
    assert set(overlaps.file_digests(few)) <= marks.files and set(overlaps.pixel_digests(few)) <= marks.pixels
