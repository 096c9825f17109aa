"""The user's own images: csv, class folders, unlabelled images, stacks, notes and errors."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from mitotype import datasets
from mitotype.core.errors import UserError
from mitotype.core.packing import pack_images
from mitotype.core.schema import Cohort
from tests.datasets import example_folders as examples


def read(path: Path, mpp_um: float | None = None) -> Cohort:
    (cohort,) = datasets.read(f"folder={path}", part="all", mpp_um=mpp_um)
    return cohort


def test_class_folders_of_any_spelling_with_case_folders(tmp_path: Path) -> None:
    own = tmp_path / "own"
    examples.write_image(own / "ATYPICAL" / "case7" / "a.png", 1)
    examples.write_image(own / "normal" / "b.jpg", 2)
    examples.write_image(own / "other" / "c.png", 3)
    (own / "normal" / ".hidden.png").write_bytes(b"")
    cohort = read(own)
    rows = cohort.rows.set_index("patch_id")
    assert rows["label"].to_dict() == {"own/normal/b": 0.0, "own/ATYPICAL/case7/a": 1.0}
    assert rows.loc["own/ATYPICAL/case7/a", "case_id"] == "case7"
    assert rows.loc["own/normal/b", "case_id"] == "own/normal/b"
    notes = " ".join(cohort.notes)
    assert "1 images outside" in notes and "µm/px is not stated for 2" in notes and "case of its own" in notes


def test_a_csv_with_everything(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for seed, name in enumerate("abc"):
        examples.write_image(own / "img" / f"{name}.png", seed)
    examples.write_image(own / "spare.png", 9)
    text = (
        "path,label,case_id,votes_for,votes,domain,scanner,tumour,species,mpp_um\r\n"
        "img/a.png,AMF,007,2,3,lab,S,t,dog,0.5\r\nimg/b.png,normal,007,,,lab,S,t,dog,0.25\r\n"
        "img/c.png,,NA,0,3,lab,S,t,dog,\r\n"
    )
    (own / "list.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    for source in (own / "list.csv", own):
        cohort = read(source, mpp_um=0.3)
        rows = cohort.rows
        assert rows["patch_id"].tolist() == ["own/img/a", "own/img/b", "own/img/c"]
        assert rows["case_id"].tolist() == ["007", "007", "NA"]  # text stays text
        np.testing.assert_array_equal(rows["label"], [1.0, 0.0, np.nan])
        np.testing.assert_array_equal(rows["votes_for"], [2.0, np.nan, 0.0])
        assert rows["mpp_um"].tolist() == [0.5, 0.25, 0.3]
        assert any("1 images beside it have no row" in note for note in cohort.notes)
        assert len(pack_images(cohort)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,1\n", "lacks the column path"),
        ("path;label\na.png;maybe\n", r"'maybe' \(line 2\)"),
        ("path,label\nb.png,1\n", "line 2: there is no file '.*b.png'"),
        ("path,label\na.png,maybe\n", r"'maybe' \(line 2\)"),
        ("path,votes_for,votes\na.png,4,3\n", "more votes_for than votes"),
        ("path,votes\na.png,three\n", "votes 'three', not a number"),
        ("path,mpp_um\na.png,2500\n", "not plausible"),
        ("path,mpp_um\na.png,-1\n", "mpp_um -1"),
        ("path,page\na.png,3\n", "has 1 pages and no page 3"),
        ("path\na.png\na.png\n", "has several rows of the patch|stands in 2 rows"),
    ],
)
def test_csv_errors(tmp_path: Path, text: str, message: str) -> None:
    examples.write_image(tmp_path / "a.png", 1)
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "list.csv")


def test_csv_errors_are_reported_together(tmp_path: Path) -> None:
    examples.write_image(tmp_path / "a.png", 1)
    (tmp_path / "list.csv").write_text("path,label,votes\na.png,perhaps,1\nb.png,1,x\nc.png,1,1\n")
    with pytest.raises(UserError, match="4 errors"):
        read(tmp_path / "list.csv")


def test_pages_become_rows(tmp_path: Path) -> None:
    own = tmp_path / "own"
    pages = [Image.fromarray(examples.pixels(seed)) for seed in range(3)]
    (own / "Atypical").mkdir(parents=True)
    pages[0].save(own / "Atypical" / "stack.tif", save_all=True, append_images=pages[1:])
    examples.write_image(own / "Atypical" / "stack.png", 8)
    examples.write_image(own / "Normal" / "n.png", 9)
    cohort = read(own)
    ids = ["own/Normal/n#0", "own/Atypical/stack.png#0", *(f"own/Atypical/stack.tif#{page}" for page in range(3))]
    assert cohort.rows["patch_id"].tolist() == ids and cohort.rows["page"].tolist() == [0, 0, 0, 1, 2]
    pack = pack_images(cohort)
    np.testing.assert_array_equal(pack.image_N3HW[3], examples.pixels(1).transpose(2, 0, 1))
    (own / "Normal" / "broken.tif").write_bytes((own / "Atypical" / "stack.tif").read_bytes()[:20])
    with pytest.raises(UserError, match=r"broken\.tif' is damaged"):
        read(own)


def test_unlabelled_images_one_image_and_none(tmp_path: Path) -> None:
    examples.write_image(tmp_path / "own" / "deep" / "a.png", 1)
    examples.write_image(tmp_path / "own" / "b.png", 2, px=200)
    cohort = read(tmp_path / "own", mpp_um=0.5)
    assert cohort.rows["label"].isna().all() and set(cohort.rows["mpp_um"]) == {0.5} and cohort.notes == ()
    assert len(datasets.read(str(tmp_path / "own" / "b.png"), part="test")[0]) == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        read(tmp_path / "empty")


def test_one_class_only_is_noted(tmp_path: Path) -> None:
    examples.write_image(tmp_path / "own" / "Normal" / "a.png", 1)
    assert any("one class only" in note for note in read(tmp_path / "own").notes)


@pytest.mark.parametrize(("atypical", "normal"), [("AMF", "NMF"), ("amf", "Normal"), ("Atypical", "mf")])
def test_class_folders_mean_what_labels_mean(tmp_path: Path, atypical: str, normal: str) -> None:
    examples.write_image(tmp_path / "own" / atypical / "a.png", 1)
    examples.write_image(tmp_path / "own" / normal / "b.png", 2)
    rows = read(tmp_path / "own").rows.set_index("patch_id")
    assert rows["label"].to_dict() == {f"own/{atypical}/a": 1.0, f"own/{normal}/b": 0.0}


def test_two_folders_of_one_class_are_an_error(tmp_path: Path) -> None:
    for seed, name in enumerate(("AMF", "Atypical", "Normal")):
        examples.write_image(tmp_path / name / "a.png", seed)
    with pytest.raises(UserError, match="two folders of one class: 'AMF' and 'Atypical'"):
        read(tmp_path)


def test_a_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    examples.write_image(tmp_path / "a.png", 1)
    examples.write_image(tmp_path / "01.png", 2)
    (tmp_path / "list.csv").write_text("path;label;case_id;mpp_um\na.png;AMF;01;0,5\n01.png;NMF;1;0,25\n", "utf-16")
    for source in (tmp_path / "list.csv", tmp_path):
        rows = read(source).rows
        assert rows["case_id"].tolist() == ["01", "1"]
        assert rows["mpp_um"].tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.png,1\n,0\n", "line 3: the path is empty"),
        ('path,note\na.png,"x\ny"\nb.png,x\n', "line 4: there is no file"),
        ("path,page\na.png,0.5\n", "line 2 has page 0.5"),
        ("path,label\n" + "x" * 300 + ".png,1\n", "line 2: there is no file"),
        ("path,label,label\na.png,1,0\n", "two columns called 'label'"),
        ("path,label\na.png,1,0\n", "line 2: 3 cells, but the header has 2"),
        ("path\n", "has a header and no rows"),
    ],
)
def test_faults_of_a_list_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    examples.write_image(tmp_path / "a.png", 1)
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "list.csv")


def test_reduced_pages_are_no_patches(tmp_path: Path) -> None:
    pages = [Image.fromarray(examples.pixels(seed)) for seed in range(2)]
    (tmp_path / "own").mkdir()
    with AppendingTiffWriter(str(tmp_path / "own" / "a.tif"), new=True) as out:
        for page, is_reduced in zip(pages, (0, 1), strict=True):
            page.save(out, "TIFF", tiffinfo={254: is_reduced})
            out.newFrame()
    cohort = read(tmp_path / "own")
    assert cohort.rows["patch_id"].tolist() == ["own/a"]
    assert any("1 reduced-resolution pages" in note for note in cohort.notes)


def test_another_scale_in_the_file_asks_for_mpp(tmp_path: Path) -> None:
    path = tmp_path / "own" / "a.tif"
    path.parent.mkdir()
    Image.fromarray(examples.pixels(1)).save(path, resolution=20_000, resolution_unit="cm")
    with pytest.raises(UserError, match=r"states 0\.5 µm/px"):
        read(path.parent)
    assert read(path.parent, mpp_um=0.5).rows["mpp_um"].tolist() == [0.5]
    (path.parent / "list.csv").write_text("path,mpp_um\na.tif,0.3\n")
    assert read(path.parent).rows["mpp_um"].tolist() == [0.3]


def test_links_and_closed_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    examples.write_image(tmp_path / "elsewhere" / "a.png", 1)
    (own / "Normal").mkdir(parents=True)
    (own / "Normal" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (own / "Normal" / "loop").symlink_to(own, target_is_directory=True)
    assert read(own).rows["patch_id"].tolist() == ["own/Normal/linked/a"]

    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "linked":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="linked' cannot be read: permission denied"):
        read(own)
