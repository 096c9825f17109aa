"""Pictures: every kind of bad one gets an answer that names the file; packs are whole, reused and centred."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mitotype.core import pictures
from mitotype.core.mistakes import Mistake
from mitotype.core.words import COHORT_COLUMNS, Cohort


def picture(px: int = 128, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (px, px, 3), dtype=np.uint8)


def cohort(paths: list[Path], mpp_um: float = 0.25) -> Cohort:
    rows = pd.DataFrame({column: [""] * len(paths) for column in COHORT_COLUMNS})
    rows["path"], rows["patch_id"], rows["mpp_um"] = [str(p) for p in paths], [p.stem for p in paths], mpp_um
    return Cohort("test", rows)


def png16(path: Path) -> None:
    """A 16-bit RGB PNG, written by hand: Pillow opens such a file as if it had 8 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 128, 128, 16, 2, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + bytes(128 * 6) for _ in range(128)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def bomb(path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def test_a_picture_is_read_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png")
    assert np.array_equal(pictures.read(tmp_path / "a.png"), picture())


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("truncated.png", "damaged"),
        ("empty.png", "0 bytes"),
        ("text.png", "not a picture"),
        ("grey.png", "greyscale"),
        ("sixteen.png", "16 bits"),
        ("grey16.tif", "16 bits"),
        ("rgba.png", "RGBA"),
        ("palette.png", "palette"),
        ("bomb.png", "too large"),
        ("absent.png", "no picture"),
        ("slow.gif", "not a picture"),
    ],
)
def test_bad_pictures_are_named(tmp_path: Path, name: str, word: str) -> None:
    path = tmp_path / name
    image = Image.fromarray(picture())
    makers = {
        "truncated.png": lambda: (image.save(path), path.write_bytes(path.read_bytes()[:9000])),
        "empty.png": lambda: path.write_bytes(b""),
        "text.png": lambda: path.write_text("hello"),
        "grey.png": lambda: image.convert("L").save(path),
        "sixteen.png": lambda: png16(path),
        "grey16.tif": lambda: Image.fromarray(np.zeros((128, 128), np.uint16)).save(path),
        "rgba.png": lambda: image.convert("RGBA").save(path),
        "palette.png": lambda: image.convert("P").save(path),
        "bomb.png": lambda: bomb(path),
        "absent.png": lambda: None,
        "slow.gif": lambda: image.save(path),
    }
    makers[name]()
    with pytest.raises(Mistake, match=word) as told:
        pictures.read(path)
    assert name in str(told.value)


def test_pages(tmp_path: Path) -> None:
    stack = [Image.fromarray(picture(seed=n)) for n in range(3)]
    stack[0].save(tmp_path / "a.tif", save_all=True, append_images=stack[1:])
    found = pictures.read_pages(tmp_path / "a.tif")
    assert [np.array_equal(page, picture(seed=n)) for n, page in enumerate(found)] == [True] * 3
    with pytest.raises(Mistake, match="page 3"):
        pictures.read_pages(tmp_path / "a.tif", [3])


def test_all_bad_pictures_are_told_together(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        Image.fromarray(picture()).save(tmp_path / f"{name}.png")
    (tmp_path / "a.png").write_bytes(b"x")
    Image.fromarray(picture()).convert("L").save(tmp_path / "c.png")
    with pytest.raises(Mistake, match="2 things") as told:
        pictures.pack(cohort(sorted(tmp_path.glob("*.png"))))
    assert "a.png" in str(told.value)
    assert "c.png" in str(told.value)
    assert "b.png" not in str(told.value)


def test_too_small_is_told_in_um(tmp_path: Path) -> None:
    Image.fromarray(picture(60)).save(tmp_path / "a.png")
    with pytest.raises(Mistake, match=r"60 × 60 px .* 64 px \(16 µm\)"):
        pictures.pack(cohort([tmp_path / "a.png"]))
    assert pictures.pack(cohort([tmp_path / "a.png"], mpp_um=0.5)).px == 120


def test_a_pack_is_made_once_and_again_after_a_change(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture(seed=1)).save(path)
    first = pictures.pack(cohort([path]))
    assert np.array_equal(first.image_N3HW[0], picture(seed=1).transpose(2, 0, 1))
    assert pictures.pack(cohort([path])).digests == first.digests == (pictures.digest(picture(seed=1)),)
    Image.fromarray(picture(seed=2)).save(path)
    assert np.array_equal(pictures.pack(cohort([path])).image_N3HW[0], picture(seed=2).transpose(2, 0, 1))


def test_sizes_are_cut_about_the_figure(tmp_path: Path) -> None:
    for px in (128, 80):
        image = np.zeros((px, px, 3), np.uint8)
        image[px // 2, px // 2] = 255
        Image.fromarray(image).save(tmp_path / f"{px}.png")
    packed = pictures.pack(cohort(sorted(tmp_path.glob("*.png"))))
    assert packed.px == 80
    assert (packed.image_N3HW[:, :, 40, 40] == 255).all()


def test_digest_is_of_pixels_not_of_files(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png")
    Image.fromarray(picture()).save(tmp_path / "a.tif")
    assert pictures.digest(pictures.read(tmp_path / "a.png")) == pictures.digest(pictures.read(tmp_path / "a.tif"))


def test_an_implausible_scale_is_refused() -> None:
    with pytest.raises(Mistake, match=r"2\.5e-05|not plausible"):
        pictures.check_mpp(0.000025, "--mpp")
