"""The audit finds what is there and nothing else: copies, shifted and turned ones, contradictions, leaks."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mitotype import datasets
from mitotype.datasets import audit, midog25
from mitotype.datasets.neighbours import INVERSE, TURNS, grey, near_duplicates, turned
from tests.datasets import made


def test_the_turns_are_the_square_and_their_inverses() -> None:
    image_NSS = np.random.default_rng(0).random((1, 64, 64))
    every = [turned(image_NSS, turn).tobytes() for turn in range(len(TURNS))]
    assert len(set(every)) == 8
    for turn in range(8):
        np.testing.assert_array_equal(turned(turned(image_NSS, turn), INVERSE[turn]), image_NSS)


def altered(image: Image.Image, how: str) -> Image.Image:
    if how == "jpeg":
        raw = io.BytesIO()
        image.save(raw, "JPEG", quality=40)
        return Image.open(raw).convert("RGB")
    if how == "recoloured":
        value = (np.asarray(image) / 255.0) ** [0.8, 1.3, 1.1] * [1, 0.85, 0.95]
        return Image.fromarray((value * 255).astype(np.uint8))
    if how == "softened":
        return image.filter(ImageFilter.GaussianBlur(1.5))
    return image


@pytest.mark.parametrize("how", ["same", "jpeg", "recoloured", "softened"])
@pytest.mark.parametrize("px", [64, 128])
def test_every_turn_and_shift_is_found(how: str, px: int) -> None:
    """Eight pictures, each beside itself turned, moved and altered, among forty others; and nothing else."""
    rng = np.random.default_rng(5)
    factor = px // 64
    images, expected = [made.pixels(900 + seed, px) for seed in range(40)], {}
    for turn in range(8):
        large = made.pixels(turn, px + 32)
        down, right = (int(v) for v in rng.integers(-3, 4, 2) * factor)
        first = large[16 : 16 + px, 16 : 16 + px]
        moved = large[16 + down : 16 + down + px, 16 + right : 16 + right + px]
        back = np.rot90(moved, -(turn % 4))
        second = back[:, ::-1] if turn >= 4 else back  # turned(second, turn) is `moved`
        expected[len(images), len(images) + 1] = (TURNS[turn], (down, right))
        images += [first, np.asarray(altered(Image.fromarray(np.ascontiguousarray(second)), how))]
    image_N3HW = np.stack(images).transpose(0, 3, 1, 2)
    found = {(near.a, near.b): (near.turn, near.shift_px) for near in near_duplicates(grey(image_N3HW, factor), factor)}
    assert {pair: turn for pair, (turn, _) in found.items()} == {pair: turn for pair, (turn, _) in expected.items()}
    for pair, (_, shift) in found.items():
        assert np.abs(np.subtract(shift, expected[pair][1])).max() <= factor


def test_padding_and_blank_pictures_are_no_copies() -> None:
    images = [made.pixels(seed) for seed in range(12)]
    for number, image in enumerate(images[:8]):
        image[: 40 + number] = 0  # black beyond the slide's edge
    images += [np.full((128, 128, 3), value, np.uint8) for value in (240, 250)]
    assert near_duplicates(grey(np.stack(images).transpose(0, 3, 1, 2), 2), 2) == []
    assert near_duplicates(grey(np.empty((0, 3, 128, 128), np.uint8), 2), 2) == []
    assert near_duplicates(grey(images[0].transpose(2, 0, 1)[None], 2), 2) == []


def test_findings_of_a_users_cohorts(tmp_path: Path) -> None:
    for seed in range(6):
        made.picture(tmp_path / "train" / f"{seed}.png", seed)
    made.picture(tmp_path / "train" / "twin.png", 0)
    made.picture(tmp_path / "train" / "contrary.png", 1)
    shifted = np.roll(made.pixels(2), (3, -2), (0, 1))
    (tmp_path / "test").mkdir()
    Image.fromarray(shifted).save(tmp_path / "test" / "shifted.png")
    made.picture(tmp_path / "test" / "own.png", 30)
    lines = "".join(f"{seed}.png,{seed % 2},c{seed},NAN\n" for seed in range(6))
    text = f"path,label,case_id,x\n{lines}twin.png,0,c0,\ncontrary.png,0,c1,\n"
    (tmp_path / "train" / "list.csv").write_text(text)
    (tmp_path / "test" / "list.csv").write_text("path,label,case_id\nshifted.png,0,t1\nown.png,1,c5\n")
    cohorts = [datasets.read(str(tmp_path / name), part="all")[0] for name in ("train", "test")]
    said: list[str] = []
    found = audit.audit(cohorts, cache=tmp_path / "cache", progress=said.append)
    by_code = {finding.code: finding for finding in found if finding.code not in ("counts", "reader", "M003")}
    assert by_code["duplicate"].patches == ("train/0", "train/twin")
    assert by_code["M005"].patches == ("train/1", "train/contrary") and "two labels" in by_code["M005"].text
    assert by_code["M004"].patches == ("train/2", "test/shifted") and "as it is" in by_code["M004"].text
    assert set(by_code["M006"].patches) == {"train/5", "test/own"} and "c5" in by_code["M006"].text
    assert set(by_code) == {"duplicate", "M005", "M004", "M006"}
    assert [f.code for f in found if f.code == "M003"] == ["M003", "M003"]
    assert json.loads(json.dumps(audit.plain(found)))[0]["severity"] == found[0].severity == "warning"
    assert said == ["pictures", "near duplicates", "counts and agreement"]
    assert str(found[0]).startswith("warning: ")


def test_a_picture_across_a_published_split_is_an_error(tmp_path: Path) -> None:
    rows = made.some("amibr", train=3, test=1)
    made.fill(tmp_path / "AMi-Br", rows)
    paths = {stem: tmp_path / "AMi-Br" / made.FOLDERS[label] / f"{stem}.png" for stem, label in rows["label"].items()}
    train, test = rows.index[rows["part"] == "train"][0], rows.index[rows["part"] == "test"][0]
    paths[test].write_bytes(paths[train].read_bytes())
    (cohort,) = datasets.read(str(tmp_path / "AMi-Br"), part="all")
    first = audit.audit([cohort])[0]
    assert (first.code, first.severity, set(first.patches)) == ("M004", "error", {f"amibr/{train}", f"amibr/{test}"})


@pytest.mark.real
def test_atnorm_br_is_told_as_it_is(shared_data: Path, tmp_path: Path) -> None:
    """27 groups of copies, two of them contradicting; 501 N and 504 A one figure; 697 and 700 another; no more."""
    cohorts = datasets.read(str(shared_data / "AMi-Br_Benchmark" / "AtNorM-Br"), part="all")
    found = audit.audit(cohorts, cache=tmp_path)
    contrary = {tuple(f.patches) for f in found if f.code == "M005"}
    assert contrary == {
        ("atnorm-br/425", "atnorm-br/428"),
        ("atnorm-br/390", "atnorm-br/391", "atnorm-br/398", "atnorm-br/404", "atnorm-br/410"),
        ("atnorm-br/504", "atnorm-br/501"),
    } or contrary == {tuple(sorted(group)) for group in contrary}
    copies = [f for f in found if f.code in ("duplicate", "M005") and "one picture" in f.text]
    assert len(copies) == 27 and sum(len(f.patches) for f in copies) == 746 - 711 + 27
    assert [set(f.patches) for f in found if f.code == "near duplicate"] == [{"atnorm-br/697", "atnorm-br/700"}]


@pytest.mark.real
def test_midog25s_table_alone_tells_its_leaks(shared_data: Path) -> None:
    cohort = midog25.read_labels(shared_data / "MIDOG25" / midog25.CSV_NAME)
    (amibr,) = datasets.read(f"amibr-test={shared_data / 'AMi-Br_Benchmark'}", part="test")
    table_only = amibr.rows.assign(path="")
    found = audit.audit([cohort, type(amibr)("amibr-test", table_only)])
    leaks = [f.text for f in found if f.code == "M006"]
    assert len(leaks) == 3 and any("2107 patches of midog25 belong to atnorm-md" in text for text in leaks)
    assert any("amibr-test and midog25, with 858 patches" in text for text in leaks)


@pytest.mark.real
@pytest.mark.long
def test_nothing_is_shared_across_amibrs_split_or_with_atnorm_br(shared_data: Path, tmp_path: Path) -> None:
    found = audit.audit(datasets.read(str(shared_data / "AMi-Br_Benchmark"), part="all"), cache=tmp_path)
    assert not [f for f in found if f.code in ("M001", "M004", "M006")]
    assert len([f for f in found if f.code in ("duplicate", "near duplicate", "M005")]) == 29
    (close,) = [f for f in found if f.code == "close figures"]
    assert "49 pairs" in close.text and "93 patches" in close.text and len(close.patches) == 93
