"""Hold-out, overlaps with published sets, and errors for scoring training data: by case and by image."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mitotype import datasets
from mitotype.core.errors import UserError
from mitotype.core.packing import pack_images
from mitotype.core.schema import Cohort
from mitotype.datasets import fingerprints, overlaps
from mitotype.datasets.readers import midog25
from tests.datasets import example_folders as examples


@pytest.mark.real
def test_midog25_without_the_test_sets_has_9401_rows(shared_data: Path) -> None:
    """Without images, by slide alone: 9,401 rows, 1,432 atypical, 379 slides remain."""
    cohort = examples.table_cohort("midog25", shared_data / "MIDOG25" / midog25.CSV_NAME)
    overlap_notes = overlaps.overlap_notes(cohort)
    assert (
        len(overlap_notes) == 2
        and all(n.startswith("M006") for n in overlap_notes)
        and "amibr-test" in overlap_notes[0]
    )
    remaining = overlaps.hold_out(cohort, ["amibr-test", "atnorm-md"])
    assert (len(remaining), int(remaining.rows["label"].sum()), remaining.rows["case_id"].nunique()) == (
        9401,
        1432,
        379,
    )
    assert overlaps.overlap_notes(remaining) == ()
    held_out = [note for note in remaining.notes if "held out" in note]
    assert "429 patches overlap amibr-test" in held_out[0] and "2107 patches overlap atnorm-md" in held_out[1]


@pytest.mark.real
def test_amibr_overlaps_no_test_set(shared_data: Path) -> None:
    (train,) = datasets.read(str(shared_data / "AMi-Br_Benchmark"), part="train")
    assert overlaps.overlap_notes(train) == ()
    remaining = overlaps.hold_out(train, fingerprints.test_sets(), digests=[""] * len(train))
    assert len(remaining) == len(train)


@pytest.mark.real
def test_a_test_image_in_a_users_folder_is_detected_without_the_test_set(shared_data: Path, tmp_path: Path) -> None:
    """Both the published file and a lossless copy (another file, the same pixels)."""
    source = shared_data / "AMi-Br_Benchmark" / "AtNorM-Br" / "Atypical" / "101.png"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "copy.png").write_bytes(source.read_bytes())
    Image.open(source).save(tmp_path / "own" / "again.tif")
    examples.write_image(tmp_path / "own" / "other.png", 1)
    (own,) = datasets.read(str(tmp_path / "own"), part="train")
    remaining = overlaps.hold_out(own, ["atnorm-br"])
    assert remaining.rows["patch_id"].tolist() == ["own/other"]
    assert "2 patches overlap atnorm-br and are held out (0 on 0 of its cases, 2 more by image)" in remaining.notes[-1]
    assert "1 patches" in overlaps.overlap_notes(own)[0]  # by file only
    pack = pack_images(own)
    assert "2 patches" in overlaps.overlap_notes(own, digests=pack.digests)[0]


def test_a_cohort_is_held_out_by_case_and_image(tmp_path: Path) -> None:
    for seed in range(4):
        examples.write_image(tmp_path / "train" / f"{seed}.png", seed)
    examples.write_image(tmp_path / "test" / "copy.png", 2)
    (tmp_path / "train" / "list.csv").write_text("path,case_id\n0.png,A\n1.png,B\n2.png,C\n3.png,D\n")
    (tmp_path / "test" / "list.csv").write_text("path,case_id\ncopy.png,A\n")
    (train,), (test,) = (datasets.read(str(tmp_path / name), part="all") for name in ("train", "test"))
    assert overlaps.hold_out(train, [test]).rows["case_id"].tolist() == ["B", "D"]
    assert overlaps.hold_out(train, []) is train
    with pytest.raises(UserError, match="No patch of 'train' remains"):
        overlaps.hold_out(train, [train])
    with pytest.raises(UserError, match="Nearest: atnorm-md"):
        overlaps.hold_out(train, ["atnorm-mb"])


def test_scoring_training_data_is_an_error(tmp_path: Path) -> None:
    for seed in range(3):
        examples.write_image(tmp_path / "own" / f"{seed}.png", seed)
    (test,) = datasets.read(str(tmp_path / "own"), part="test")
    digests = pack_images(test).digests
    trained = pd.DataFrame({"case_id": ["a", "b"], "digest": [digests[1], "0" * 64]})
    for given in (digests, None):
        shared = overlaps.find_overlap(trained, test, digests=given)
        assert shared.patches == ("own/1",) and shared.cases == ()
        with pytest.raises(UserError, match=r"M004.*1 images"):
            raise shared.error()
    by_case = overlaps.find_overlap(pd.DataFrame({"case_id": ["own/2"], "digest": [""]}), test, digests=digests)
    assert by_case.cases == ("own/2",) and by_case.error().code == "M001"
    assert not overlaps.find_overlap(pd.DataFrame({"case_id": ["z"], "digest": [np.nan]}), test, digests=digests)


def test_the_shipped_fingerprints_are_complete_and_disjoint() -> None:
    train, test = fingerprints.load("amibr-train"), fingerprints.load("amibr-test")
    md, br = fingerprints.load("atnorm-md"), fingerprints.load("atnorm-br")
    assert [len(f.cases) for f in (train, test, md, br)] == [146, 56, 60, 95]
    assert [len(f.files) for f in (train, test, md)] == [2894, 826, 2107]
    assert len(br.pixels) == 711
    for a, b in combinations([train, test, md, br], 2):
        assert not a.cases & b.cases and not a.files & b.files and not a.pixels & b.pixels


@pytest.mark.real
def test_the_shipped_digests_match_the_files(shared_data: Path) -> None:
    (cohort,) = datasets.read(f"amibr-test={shared_data / 'AMi-Br_Benchmark'}", part="test")
    sample = Cohort("sample", cohort.rows.iloc[::40].reset_index(drop=True))
    published = fingerprints.load("amibr-test")
    assert set(overlaps.file_digests(sample)) <= published.files
    assert set(overlaps.pixel_digests(sample)) <= published.pixels
