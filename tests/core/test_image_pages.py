"""Which pages are figures: reduced pages, previews and frames are none; what a header states about µm/px."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter, ImageFileDirectory_v2

from mitotype.core import images
from mitotype.core.errors import UserError


def figure(seed: int = 0, px: int = 128) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (px, px, 3), dtype=np.uint8))


def save_pages(path: Path, *pages: tuple[int, int | None], tag: int = 254) -> Path:
    """Write a TIFF of pages: side in px, and the value of `tag` (None: without it)."""
    with AppendingTiffWriter(str(path), new=True) as out:
        for seed, (px, value) in enumerate(pages):
            tags = ImageFileDirectory_v2()
            if value is not None:
                tags[tag] = value
            figure(seed, px).save(out, "TIFF", tiffinfo=tags)
            out.newFrame()
    return path


def pages_of(path: Path) -> list[int]:
    pages = [page for page, _ in images.iter_pages(path)]
    assert pages == images.read_header(path).pages
    return pages


def test_stacks_of_one_size_are_pages(tmp_path: Path) -> None:
    path = save_pages(tmp_path / "a.tif", (64, None), (64, 0), (64, 2))
    assert pages_of(path) == [0, 1, 2]
    assert images.read_header(path).others == 0


def test_reduced_pages_and_masks_are_no_figures(tmp_path: Path) -> None:
    path = save_pages(tmp_path / "a.tif", (128, None), (64, 1), (128, None), (32, 9), (128, 4))
    assert pages_of(path) == [0, 2]
    assert images.read_header(path).others == 3
    assert pages_of(save_pages(tmp_path / "b.tif", (128, 1), (64, 2), tag=255)) == [0]
    with pytest.raises(UserError, match=r"Page 1 of .* is a reduced-resolution page"):
        images.read_pages(path, [1])
    with pytest.raises(UserError, match="reduced-resolution pages only"):
        images.read(save_pages(tmp_path / "c.tif", (64, 1)))


def test_pages_of_different_sizes_are_refused_unless_one_is_given(tmp_path: Path) -> None:
    path = save_pages(tmp_path / "a.tif", (128, None), (64, None))
    with pytest.raises(UserError, match=r"different sizes: 128 × 128 px, 64 × 64 px"):
        images.read(path)
    assert images.read_pages(path, [1])[0].shape == (64, 64, 3)


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
def test_frames_and_previews_are_no_figures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    kind = {"png": "PNG", "webp": "WEBP", "jpg": "MPO"}[suffix]
    figure(0).save(path, kind, save_all=True, append_images=[figure(1), figure(2)])
    assert pages_of(path) == [0]
    assert images.read_header(path).others == 2
    with pytest.raises(UserError, match="has 1 pages and no page 1"):
        images.read_pages(path, [1])


def tiff_with(path: Path, tags: dict[int, object]) -> Path:
    info = ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[tag] = value
    figure().save(path, tiffinfo=info)
    return path


@pytest.mark.parametrize(
    ("tags", "mpp_um"),
    [
        ({282: 20_000.0, 296: 3}, 0.5),
        ({282: 50_800.0, 296: 2}, 0.5),
        ({270: "ImageJ=1.53\nunit=micron\n", 282: 2.0, 296: 1}, 0.5),
        ({270: "ImageJ=1.53\nunit=pixel\n", 282: 2.0, 296: 1}, None),
        ({270: '<OME><Pixels PhysicalSizeX="0.5" PhysicalSizeXUnit="µm"/></OME>'}, 0.5),
        ({270: '<OME><Pixels PhysicalSizeX="500" PhysicalSizeXUnit="nm"/></OME>'}, None),
        ({270: "Aperio Image Library|AppMag = 20|MPP = 0.5"}, 0.5),
        ({282: 0.0, 296: 3}, None),
        ({}, None),
    ],
)
def test_the_scale_that_a_tiff_states(tmp_path: Path, tags: dict[int, object], mpp_um: float | None) -> None:
    header = images.read_header(tiff_with(tmp_path / "a.tif", tags))
    assert header.mpp_um == (None if mpp_um is None else pytest.approx(mpp_um))


def test_another_scale_than_the_one_used_is_refused(tmp_path: Path) -> None:
    path = tiff_with(tmp_path / "a.tif", {282: 20_000.0, 296: 3})
    with pytest.raises(UserError, match=r"states 0\.5 µm/px.*\n  set it: --mpp 0\.5"):
        list(images.iter_figures(path, None, None))
    assert [figure.image.shape for figure in images.iter_figures(path, None, 0.25)] == [(128, 128, 3)]
    for resolution in (28.35, 38_000.0):  # 72 dpi is the scale of a screen, 0.26 µm/px a 40× scan
        path = tiff_with(tmp_path / "b.tif", {282: resolution, 296: 3})
        assert images.scale_of(images.read_header(path), None, path) == 0.25


def test_a_compression_that_is_not_decoded_is_named(tmp_path: Path) -> None:
    figure().save(tmp_path / "a.tif")
    raw = bytearray((tmp_path / "a.tif").read_bytes())
    start = raw.index(b"\x03\x01\x03\x00\x01\x00\x00\x00\x01\x00")  # the tag of the compression, none
    raw[start + 8 : start + 10] = (33003).to_bytes(2, "little")
    (tmp_path / "a.tif").write_bytes(raw)
    for read in (images.read, images.read_header):
        with pytest.raises(UserError, match=r"is compressed by JPEG 2000.*\n  save it with LZW"):
            read(tmp_path / "a.tif")
