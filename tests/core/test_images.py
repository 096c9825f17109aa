"""Images: every kind of bad file gets an error that names it."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mitotype.core import images
from mitotype.core.encoded_image import EncodedImage, ImageFile
from mitotype.core.errors import UserError


def random_image(px: int = 128, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (px, px, 3), dtype=np.uint8)


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


def test_pixels_are_read_unchanged(tmp_path: Path) -> None:
    Image.fromarray(random_image()).save(tmp_path / "a.png")
    assert np.array_equal(images.read(tmp_path / "a.png"), random_image())


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("truncated.png", "damaged"),
        ("empty.png", "0 bytes"),
        ("text.png", "not an image"),
        ("grey.png", "greyscale"),
        ("sixteen.png", "16 bits"),
        ("grey16.tif", "16 bits"),
        ("rgba.png", "RGBA"),
        ("palette.png", "palette"),
        ("bomb.png", "too large"),
        ("absent.png", "no image"),
        ("slow.gif", "not an image"),
    ],
)
def test_an_error_names_a_bad_file(tmp_path: Path, name: str, word: str) -> None:
    path = tmp_path / name
    image = Image.fromarray(random_image())
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
    with pytest.raises(UserError, match=word) as error:
        images.read(path)
    assert name in str(error.value)


def test_pages(tmp_path: Path) -> None:
    stack = [Image.fromarray(random_image(seed=n)) for n in range(3)]
    stack[0].save(tmp_path / "a.tif", save_all=True, append_images=stack[1:])
    pages = [image for _, image in images.iter_pages(tmp_path / "a.tif")]
    assert [np.array_equal(page, random_image(seed=n)) for n, page in enumerate(pages)] == [True] * 3
    with pytest.raises(UserError, match="page 3"):
        images.read_pages(tmp_path / "a.tif", [3])


def test_digest_is_of_pixels_not_of_files(tmp_path: Path) -> None:
    Image.fromarray(random_image()).save(tmp_path / "a.png")
    Image.fromarray(random_image()).save(tmp_path / "a.tif")
    assert images.digest(images.read(tmp_path / "a.png")) == images.digest(images.read(tmp_path / "a.tif"))


def test_an_implausible_scale_is_refused() -> None:
    with pytest.raises(UserError, match=r"2\.5e-05|not plausible"):
        images.check_mpp(0.000025, "--mpp")


def test_damaged_tags_of_a_tiff_are_user_errors(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(random_image(64)).save(buffer, "TIFF")
    raw = buffer.getvalue()
    path, rng = tmp_path / "a.tif", np.random.default_rng(0)
    start = int.from_bytes(raw[4:8], "little")
    for _ in range(150):
        mutated = bytearray(raw)
        for position in rng.integers(start, len(raw), 2):
            mutated[position] = rng.integers(0, 256)
        path.write_bytes(bytes(mutated))
        with contextlib.suppress(UserError):
            images.read(path)
        with contextlib.suppress(UserError):
            images.read_header(path)


def test_a_tiff_without_dimensions_is_damaged(tmp_path: Path) -> None:
    Image.fromarray(random_image(64)).save(tmp_path / "a.tif")
    raw = bytearray((tmp_path / "a.tif").read_bytes())
    start = int.from_bytes(raw[4:8], "little")
    assert raw[start + 2 : start + 4] == b"\x00\x01"  # the tag of the width
    raw[start + 2 : start + 4] = b"\xf0\xff"
    (tmp_path / "a.tif").write_bytes(raw)
    with pytest.raises(UserError, match="is damaged"):
        images.read(tmp_path / "a.tif")


def test_an_image_that_grows_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too large for a patch"):
        images.at_scale(np.zeros((1000, 1000, 3), np.uint8), 5.0, tmp_path / "a.png")


def test_an_image_in_memory_is_read_like_its_file(tmp_path: Path) -> None:
    """Pixels and errors are those of the file."""
    rng = np.random.default_rng(0)
    good = tmp_path / "good.tif"
    frames = [Image.fromarray(rng.integers(0, 256, (80, 80, 3), np.uint8)) for _ in range(3)]
    frames[0].save(good, save_all=True, append_images=frames[1:])
    grey, deep, cut = tmp_path / "grey.png", tmp_path / "deep.png", tmp_path / "cut.png"
    Image.new("L", (80, 80)).save(grey)
    frames[0].save(cut)
    deep.write_bytes(cut.read_bytes()[:24] + b"\x10" + cut.read_bytes()[25:])
    cut.write_bytes(cut.read_bytes()[:300])
    empty, text = tmp_path / "empty.png", tmp_path / "text.png"
    empty.touch()
    text.write_text("an image")
    for path in (good, grey, deep, cut, empty, text):
        in_memory = EncodedImage(str(path), path.read_bytes())
        read, expected = (outcome(image) for image in (in_memory, path))
        assert read == expected
        assert isinstance(expected, str) == (path is not good)


def outcome(path: ImageFile, limits: images.Limits = images.LIMITS) -> str | list[tuple[int, bytes]]:
    """Return the pages and pixels of an image, or its error."""
    try:
        figures = list(images.iter_figures(path, None, None, limits))
        errors = [str(figure.image) for figure in figures if isinstance(figure.image, UserError)]
        return errors[0] if errors else [(page, image.tobytes()) for page, image, *_ in figures]  # type: ignore[union-attr]
    except UserError as error:
        return str(error)


def test_limits_on_pixels_and_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    frames = [Image.new("RGB", (80, 80)) for _ in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert len(outcome(path, images.Limits(80 * 80, 3))) == 3
    assert "more than 2 pages" in outcome(path, images.Limits(80 * 80, 2))
    assert "80 × 80 px, too large" in outcome(path, images.Limits(80 * 80 - 1))
    first = next(images.iter_figures(path, None, 1.0, images.Limits(300 * 300)))
    assert isinstance(first.image, UserError) and "at 1 µm/px is 320 × 320 px" in str(first.image)


def test_a_page_that_cannot_be_read_is_that_page(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    frames = [Image.new("RGB", (80, 80), (200, 150, value)) for value in (10, 20, 30)]
    frames.insert(2, Image.new("L", (80, 80)))
    frames[0].save(path, save_all=True, append_images=frames[1:])
    figures = list(images.iter_figures(path, None, None))
    assert [figure.page for figure in figures] == [0, 1, 2, 3]
    assert [isinstance(figure.image, UserError) for figure in figures] == [False, False, True, False]
    assert [figure.is_last for figure in figures] == [False, False, False, True]


def test_a_tile_larger_than_its_image_is_not_decoded(tmp_path: Path) -> None:
    """Pillow decodes a tile whole, whatever the size of the image."""
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "bomb.tif"
    small = np.zeros((64, 64, 3), np.uint8)
    tifffile.imwrite(path, small, tile=(16_000, 16_000), photometric="rgb", compression="zlib")
    [figure] = images.iter_figures(path, None, 0.25)
    assert isinstance(figure.image, UserError) and "16000 × 16000 px, too large" in str(figure.image)
