"""Image files: opened with a list of allowed formats and limits, checked, and resampled to 0.25 µm/px.

Shapes: H, W height and width in px; 3 red, green, blue.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mitotype.core import files, image_pages, walk
from mitotype.core.encoded_image import ImageFile
from mitotype.core.errors import UserError, first_line
from mitotype.core.image_pages import MAX_PAGES
from mitotype.core.schema import MPP_UM

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
MAX_BYTES = 512 * 2**20
MAX_PIXELS = 4096 * 4096  # per page: a patch, not a slide
MPP_RANGE_UM = (0.05, 5.0)
MPP_TOLERANCE = 0.2  # relative: scanners of 40× differ from 0.25 by up to a tenth
MODES = {
    "L": "greyscale",
    "1": "black and white",
    "LA": "greyscale with transparency",
    "RGBA": "RGBA (has transparency)",
    "P": "a palette image",
    "I": "32-bit greyscale",
    "F": "floating-point greyscale",
}
warnings.filterwarnings("ignore", module=r"PIL\.")  # what they report becomes an error below, or does not matter
REMEDY = "save it as 8-bit RGB without transparency (in ImageMagick: -depth 8 -type TrueColor -alpha off)"


def read(path: Path) -> np.ndarray:
    """Return the first figure of an image file as `image_HW3`, uint8. See `iter_pages`."""
    return next(image for _, image in iter_pages(path))


def read_pages(path: Path, pages: Iterable[int]) -> list[np.ndarray]:
    """Return the given pages of an image file, each as `image_HW3`, uint8. See `iter_pages`."""
    return [image for _, image in iter_pages(path, pages)]


def iter_pages(path: Path, pages: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number and `image_HW3`, uint8, of pages of an image file; by default of those that are figures.

    Raises a UserError that names the file and the fix: absent, empty, damaged, not an image, a format outside FORMATS, a
    page that is no figure, greyscale, palette, RGBA, CMYK, 16-bit, or above the limits on bytes, pixels and pages.
    """
    import numpy as np

    with _open(path) as image:
        for page in image_pages.figure_pages(image, path)[0] if pages is None else pages:
            image_pages.check_page(image, page, path)
            _check_header(image, path)
            yield page, np.asarray(image)


class Figure(NamedTuple):
    """A page that is a figure: `image_HW3` at 0.25 µm/px or its error, whether it is the file's last, the file's other pages."""

    page: int
    image: np.ndarray | UserError
    is_last: bool
    others: int


class Limits(NamedTuple):
    """The largest images that are decoded: pixels of a page, also at 0.25 µm/px, and pages of a file."""

    max_pixels: int = MAX_PIXELS
    max_pages: int = MAX_PAGES


LIMITS = Limits()


def iter_figures(path: ImageFile, page: int | None, mpp_um: float | None, limits: Limits = LIMITS) -> Iterator[Figure]:
    """Yield the figures of a file, or its given page.

    `mpp_um` is that of the file if it has been set, see `scale_of`. A page that cannot be read is yielded as its error. Raises a
    UserError for a file whose pages cannot be listed, see `iter_pages`.
    """
    import numpy as np

    with _open(path) as image:
        header = _header(image, page, path, limits.max_pages)
        scale_um = scale_of(header, mpp_um, path)
        for number in header.pages:
            is_last = number == header.pages[-1]
            try:
                with _translated(path):
                    image_pages.check_page(image, number, path)
                    _check_header(image, path, limits.max_pixels)
                    image_HW3 = at_scale(np.asarray(image), scale_um, path, limits.max_pixels)
            except UserError as error:
                yield Figure(number, error, is_last, header.others)
                continue
            yield Figure(number, image_HW3, is_last, header.others)


class Header(NamedTuple):
    """The pages of a file that are figures, the number of its other pages, and the µm/px that it states."""

    pages: list[int]
    others: int
    mpp_um: float | None


def read_header(path: Path, page: int | None = None) -> Header:
    """Return the header of an image file; with `page` that page is its only figure. Raises a UserError, see `iter_pages`."""
    with _open(path) as image:
        return _header(image, page, path)


def _header(image: Image, page: int | None, path: ImageFile, max_pages: int = MAX_PAGES) -> Header:
    stated = image_pages.stated_mpp_um(image)
    if page is not None:
        image_pages.check_page(image, page, path)
    return Header(*(([page], 0) if page is not None else image_pages.figure_pages(image, path, max_pages)), stated)


@contextmanager
def _open(path: ImageFile) -> Iterator[Image]:
    """Open an image file; see `_translated`."""
    from PIL import Image

    if isinstance(path, Path) and not walk.is_file(path):
        raise UserError(f"There is no image at '{path}'.")
    size = path.stat().st_size if isinstance(path, Path) else len(path.raw)
    if size == 0 or size > MAX_BYTES:
        raise UserError(
            f"The image '{path}' has {size} bytes.",
            allowed=f"1 to {MAX_BYTES} bytes",
            fix="copy it again from its source",
        )
    with (
        _translated(path),
        Image.open(path if isinstance(path, Path) else path.open(), formats=FORMATS) as image,
    ):
        yield image


@contextmanager
def _translated(path: ImageFile) -> Iterator[None]:
    """Raise a UserError that names the file for whatever a decoder raises inside the block."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(
            f"The image '{path}' is too large to open: {error}.",
            allowed=f"at most {MAX_PIXELS} pixels",
            fix="cut it into patches",
        ) from error
    except PermissionError as error:
        raise UserError(
            f"The image '{path}' cannot be read: permission denied.", fix="change its permissions"
        ) from error
    except Exception as error:  # decoders raise TypeError, KeyError, struct.error … on damaged files
        compression = image_pages.unsupported_compression(path)
        if compression:
            message = f"The TIFF '{path}' is compressed by {compression}, which is not supported."
            raise UserError(message, fix="save it with LZW or deflate compression") from error
        is_unidentified = isinstance(error, UnidentifiedImageError)
        if is_unidentified and not _has_magic(path):
            raise UserError(
                f"'{path}' is not an image of a supported format.",
                allowed=", ".join(FORMATS),
                fix="convert it, or leave it out",
            ) from error
        reason = "its header cannot be read" if is_unidentified else first_line(error)
        raise UserError(
            f"The image '{path}' is damaged: {reason}.", fix="copy it again from its source, or leave it out"
        ) from error


def _has_magic(path: ImageFile) -> bool:
    """Return whether a file begins like one of FORMATS."""
    with path.open("rb") as file:
        return file.read(4).startswith((b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"RIFF", b"BM"))


def scale_of(header: Header, mpp_um: float | None, path: ImageFile) -> float:
    """Return the µm/px to use for a file: `mpp_um` if the user has set it, else 0.25, as published.

    Raises a UserError for a file that states another one: read at the wrong scale its prediction would be wrong.
    """
    if mpp_um is not None:
        return check_mpp(mpp_um, f"'{path}'")
    stated, (low, high) = header.mpp_um, MPP_RANGE_UM
    if stated is not None and low <= stated <= high and abs(stated / MPP_UM - 1) > MPP_TOLERANCE:
        raise UserError(
            f"'{path}' states {stated:.3g} µm/px, and {MPP_UM} is used where none is set.",
            fix=f"set it: --mpp {stated:.3g}, or --mpp {MPP_UM} if the file is wrong (in a csv: column mpp_um)",
        )
    return MPP_UM


def _check_header(image: Image, path: ImageFile, max_pixels: int = MAX_PIXELS) -> None:
    """Raise a UserError by the header alone, before a pixel is decoded."""
    width, height = max(image.size, image_pages.tile_size(image), key=math.prod)  # a tile is decoded whole
    if width * height > max_pixels:
        raise UserError(
            f"The image '{path}' is {width} × {height} px, too large for a patch.",
            allowed=f"at most {max_pixels} pixels",
            fix="cut it into patches",
        )
    depth = _bits(image, path)
    if depth > 8:
        raise UserError(f"The image '{path}' has {depth} bits per channel.", allowed="8-bit RGB", fix=REMEDY)
    if image.mode != "RGB":
        raise UserError(f"The image '{path}' is {MODES.get(image.mode, image.mode)}.", allowed="8-bit RGB", fix=REMEDY)


def _bits(image: Image, path: ImageFile) -> int:
    """Return the bits per channel of the file: Pillow opens a 16-bit RGB PNG as if it had 8."""
    if image.format == "PNG":
        with path.open("rb") as file:
            header = file.read(25)
        return header[24] if len(header) == 25 else 8
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, 8)  # type: ignore[attr-defined]
        return max(bits) if isinstance(bits, tuple) else int(bits)
    return 16 if image.mode.startswith("I;16") else 8


def digest(image_HW3: np.ndarray) -> str:
    """Return the hex digest of the pixels: the same for every lossless file of one image."""
    return files.digest_of(str(image_HW3.shape), image_HW3.tobytes())


def check_mpp(mpp_um: float, source: str) -> float:
    """Return `mpp_um` if it is plausible. Raises a UserError otherwise: a slip of the unit is a factor of ten."""
    low, high = MPP_RANGE_UM
    if not low <= mpp_um <= high:
        raise UserError(
            f"{mpp_um:g} µm/px is not plausible for {source}.",
            allowed=f"{low} to {high} µm/px",
            fix="set it with --mpp (0.25 is a 40× scan)",
        )
    return mpp_um


def at_scale(image_HW3: np.ndarray, mpp_um: float, path: object = "", max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return the image at 0.25 µm/px (Lanczos, one step); an image within 1 % of it is returned unchanged.

    Raises a UserError for an image that would have more than `max_pixels`.
    """
    import numpy as np
    from PIL import Image

    factor = mpp_um / MPP_UM
    if abs(factor - 1) <= 0.01:
        return image_HW3
    height, width = (max(1, round(side * factor)) for side in image_HW3.shape[:2])
    if height * width > max_pixels:
        message = (
            f"The image '{path}' at {mpp_um:g} µm/px is {width} × {height} px at {MPP_UM} µm/px, too large for a patch."
        )
        raise UserError(
            message, allowed=f"at most {max_pixels} pixels", fix="cut it into patches, or correct its µm/px"
        )
    return np.asarray(Image.fromarray(image_HW3).resize((width, height), Image.Resampling.LANCZOS))


def center_crop(image_HW3: np.ndarray, px: int) -> np.ndarray:
    """Return the central `px` × `px`: the figure is at px // 2, as in the published patches."""
    height, width = image_HW3.shape[:2]
    top, left = height // 2 - px // 2, width // 2 - px // 2
    return image_HW3[top : top + px, left : left + px]


def check_large_enough(image_HW3: np.ndarray, min_px: int, path: object) -> None:
    """Raise a UserError for an image at 0.25 µm/px whose shorter side is below `min_px`."""
    height, width = image_HW3.shape[:2]
    if min(height, width) < min_px:
        what = f"The image '{path}' is {width} × {height} px at {MPP_UM} µm/px; the frame needs {min_px} px ({min_px * MPP_UM:g} µm)."
        raise UserError(what, fix="cut a larger patch, or set its µm/px with --mpp")
