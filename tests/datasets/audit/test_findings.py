"""The audit reports copies, shifted and rotated copies, contradictions and leaks, and nothing else."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mitotype import datasets
from mitotype.core import records
from mitotype.datasets.audit import findings
from mitotype.datasets.audit.near_duplicates import INVERSE, SYMMETRIES, apply_symmetry, find_near_duplicates, to_gray
from mitotype.datasets.readers import midog25
from tests.datasets import example_folders as examples


def test_symmetries_are_distinct_and_have_inverses() -> None:
    image_NSS = np.random.default_rng(0).random((1, 64, 64))
    assert len({apply_symmetry(image_NSS, k).tobytes() for k in range(len(SYMMETRIES))}) == 8
    for k in range(8):
        np.testing.assert_array_equal(apply_symmetry(apply_symmetry(image_NSS, k), INVERSE[k]), image_NSS)


def altered(image: Image.Image, how: str) -> Image.Image:
    if how == "jpeg":
        raw = io.BytesIO()
        image.save(raw, "JPEG", quality=40)
        return Image.open(raw).convert("RGB")
    if how == "recolored":
        value = (np.asarray(image) / 255.0) ** [0.8, 1.3, 1.1] * [1, 0.85, 0.95]
        return Image.fromarray((value * 255).astype(np.uint8))
    if how == "softened":
        return image.filter(ImageFilter.GaussianBlur(1.5))
    return image


@pytest.mark.parametrize("how", ["same", "jpeg", "recolored", "softened"])
@pytest.mark.parametrize("px", [64, 128])
def test_every_symmetry_and_shift_is_detected(how: str, px: int) -> None:
    """Eight images, each with a transformed, shifted and altered copy, among forty others; and no other pair."""
    rng = np.random.default_rng(5)
    factor = px // 64
    images, expected = [examples.pixels(900 + seed, px) for seed in range(40)], {}
    for symmetry in range(8):
        large = examples.pixels(symmetry, px + 32)
        down, right = (int(v) for v in rng.integers(-3, 4, 2) * factor)
        first = large[16 : 16 + px, 16 : 16 + px]
        moved = large[16 + down : 16 + down + px, 16 + right : 16 + right + px]
        back = np.rot90(moved, -(symmetry % 4))
        second = back[:, ::-1] if symmetry >= 4 else back  # apply_symmetry(second) is `moved`
        expected[len(images), len(images) + 1] = (SYMMETRIES[symmetry], (down, right))
        images += [first, np.asarray(altered(Image.fromarray(np.ascontiguousarray(second)), how))]
    image_N3HW = np.stack(images).transpose(0, 3, 1, 2)
    pairs = find_near_duplicates(to_gray(image_N3HW, factor), factor)
    result = {(near.a, near.b): (near.symmetry, near.shift_px) for near in pairs}
    assert {pair: name for pair, (name, _) in result.items()} == {pair: name for pair, (name, _) in expected.items()}
    for pair, (_, shift) in result.items():
        assert np.abs(np.subtract(shift, expected[pair][1])).max() <= factor


def test_padding_and_blank_images_are_not_duplicates() -> None:
    images = [examples.pixels(seed) for seed in range(12)]
    for number, image in enumerate(images[:8]):
        image[: 40 + number] = 0  # black beyond the slide's edge
    images += [np.full((128, 128, 3), value, np.uint8) for value in (240, 250)]
    assert find_near_duplicates(to_gray(np.stack(images).transpose(0, 3, 1, 2), 2), 2) == []
    assert find_near_duplicates(to_gray(np.empty((0, 3, 128, 128), np.uint8), 2), 2) == []
    assert find_near_duplicates(to_gray(images[0].transpose(2, 0, 1)[None], 2), 2) == []


def test_findings_of_a_users_cohorts(tmp_path: Path) -> None:
    for seed in range(6):
        examples.write_image(tmp_path / "train" / f"{seed}.png", seed)
    examples.write_image(tmp_path / "train" / "twin.png", 0)
    examples.write_image(tmp_path / "train" / "contrary.png", 1)
    shifted = np.roll(examples.pixels(2), (3, -2), (0, 1))
    (tmp_path / "test").mkdir()
    Image.fromarray(shifted).save(tmp_path / "test" / "shifted.png")
    examples.write_image(tmp_path / "test" / "own.png", 30)
    lines = "".join(f"{seed}.png,{seed % 2},c{seed},NAN\n" for seed in range(6))
    text = f"path,label,case_id,x\n{lines}twin.png,0,c0,\ncontrary.png,0,c1,\n"
    (tmp_path / "train" / "list.csv").write_text(text)
    (tmp_path / "test" / "list.csv").write_text("path,label,case_id\nshifted.png,0,t1\nown.png,1,c5\n")
    cohorts = [datasets.read(str(tmp_path / name), part="all")[0] for name in ("train", "test")]
    steps: list[str] = []
    result = findings.audit(cohorts, on_progress=steps.append)
    by_code = {finding.code: finding for finding in result if finding.code not in ("counts", "reader", "M003")}
    assert by_code["duplicate"].patches == ("train/0", "train/twin")
    assert by_code["M005"].patches == ("train/1", "train/contrary") and "two labels" in by_code["M005"].text
    assert by_code["M004"].patches == ("train/2", "test/shifted") and "unchanged" in by_code["M004"].text
    assert set(by_code["M006"].patches) == {"train/5", "test/own"} and "c5" in by_code["M006"].text
    assert set(by_code) == {"duplicate", "M005", "M004", "M006"}
    assert [f.code for f in result if f.code == "M003"] == ["M003", "M003"]
    assert json.loads(records.encode(result))[0]["severity"] == result[0].severity == "warning"
    assert steps == ["images", "near duplicates", "counts and agreement"]
    assert str(result[0]).startswith("warning: ")


def test_an_image_across_a_published_split_is_an_error(tmp_path: Path) -> None:
    rows = examples.some_rows("amibr", train=3, test=1)
    examples.write_class_folders(tmp_path / "AMi-Br", rows)
    paths = {
        stem: tmp_path / "AMi-Br" / examples.FOLDERS[label] / f"{stem}.png" for stem, label in rows["label"].items()
    }
    train, test = rows.index[rows["part"] == "train"][0], rows.index[rows["part"] == "test"][0]
    paths[test].write_bytes(paths[train].read_bytes())
    (cohort,) = datasets.read(str(tmp_path / "AMi-Br"), part="all")
    first = findings.audit([cohort])[0]
    assert (first.code, first.severity, set(first.patches)) == ("M004", "error", {f"amibr/{train}", f"amibr/{test}"})


@pytest.mark.real
def test_the_copies_in_atnorm_br_are_reported(shared_data: Path, tmp_path: Path) -> None:
    """27 groups of copies, two of them contradicting; 501 N and 504 A are one figure, 697 and 700 another; no more."""
    cohorts = datasets.read(str(shared_data / "AMi-Br_Benchmark" / "AtNorM-Br"), part="all")
    result = findings.audit(cohorts)
    contradicting = {tuple(f.patches) for f in result if f.code == "M005"}
    assert contradicting == {
        ("atnorm-br/425", "atnorm-br/428"),
        ("atnorm-br/390", "atnorm-br/391", "atnorm-br/398", "atnorm-br/404", "atnorm-br/410"),
        ("atnorm-br/504", "atnorm-br/501"),
    } or contradicting == {tuple(sorted(group)) for group in contradicting}
    copies = [f for f in result if f.code in ("duplicate", "M005") and "the same image" in f.text]
    assert len(copies) == 27 and sum(len(f.patches) for f in copies) == 746 - 711 + 27
    assert [set(f.patches) for f in result if f.code == "near duplicate"] == [{"atnorm-br/697", "atnorm-br/700"}]


@pytest.mark.real
def test_leaks_of_midog25_are_reported_from_its_table(shared_data: Path) -> None:
    cohort = examples.table_cohort("midog25", shared_data / "MIDOG25" / midog25.CSV_NAME)
    (amibr,) = datasets.read(f"amibr-test={shared_data / 'AMi-Br_Benchmark'}", part="test")
    table_only = amibr.rows.assign(path="")
    result = findings.audit([cohort, type(amibr)("amibr-test", table_only)])
    leaks = [f.text for f in result if f.code == "M006"]
    assert len(leaks) == 3 and any("2107 patches of midog25 belong to atnorm-md" in text for text in leaks)
    assert any("amibr-test and midog25, with 858 patches" in text for text in leaks)


@pytest.mark.real
@pytest.mark.long
def test_nothing_is_shared_across_amibrs_split_or_with_atnorm_br(shared_data: Path, tmp_path: Path) -> None:
    result = findings.audit(datasets.read(str(shared_data / "AMi-Br_Benchmark"), part="all"))
    assert not [f for f in result if f.code in ("M001", "M004", "M006")]
    assert len([f for f in result if f.code in ("duplicate", "near duplicate", "M005")]) == 29
    (close,) = [f for f in result if f.code == "close figures"]
    assert "49 pairs" in close.text and "93 patches" in close.text and len(close.patches) == 93
