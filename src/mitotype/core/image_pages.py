"""Which pages of an image file are figures, and what its header states: µm/px, compression."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from mitotype.core.encoded_image import ImageFile
from mitotype.core.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PAGES = 100_000
TILE_WIDTH, TILE_LENGTH = 322, 323  # tags of a TIFF
# Tags of a TIFF, by their numbers.
NEW_SUBFILE_TYPE, SUBFILE_TYPE, COMPRESSION, DESCRIPTION, X_RESOLUTION, RESOLUTION_UNIT = 254, 255, 259, 270, 282, 296
REDUCED, MASK = (
    1,
    4,
)  # bits of NEW_SUBFILE_TYPE: pyramid levels, thumbnails, labels and macro images; transparency masks
OLD_REDUCED = 2  # value of SUBFILE_TYPE
UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # of RESOLUTION_UNIT: inch, cm
UM = re.compile(r"um|microns?|[^A-Za-z]+m")  # the sign µ is stored in several encodings
COMPRESSIONS = {
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    50000: "Zstandard",
    50001: "WebP",
    34925: "LZMA",
}


def figure_pages(image: Image, path: ImageFile, max_pages: int = MAX_PAGES) -> tuple[list[int], int]:
    """Return the pages of an opened file that are figures, and the number of pages that are left out.

    Pages belong to TIFF: of every other format (frames of an animation, the preview in a camera's JPEG) the first is the
    figure. Pages of a TIFF with the tag of a reduced-resolution page or a mask are left out. Raises a UserError if the
    others differ in size: then nothing shows which are figures and which are previews.
    """
    if image.format != "TIFF":
        return [0], int(getattr(image, "n_frames", 1)) - 1
    count = _count_pages(image, max_pages)
    if count > max_pages:
        raise UserError(
            f"The image '{path}' has more than {max_pages} pages.", allowed=f"at most {max_pages}", fix="split it"
        )
    sizes: dict[int, tuple[int, int]] = {}
    for page in range(count):
        if count > 1:
            image.seek(page)
        if not _is_reduced(image):
            sizes[page] = image.size
    if not sizes:
        raise UserError(f"'{path}' holds reduced-resolution pages only.", fix="save the figure at full resolution")
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{width} × {height} px" for width, height in dict.fromkeys(sizes.values()))
        raise UserError(
            f"'{path}' has pages of different sizes: {shown[:200]}.",
            fix="save each figure as a file of its own, or name the pages that are figures in a csv (columns path, page)",
        )
    return list(sizes), count - len(sizes)


def _count_pages(image: Image, max_pages: int) -> int:
    """Return the number of pages of a TIFF, at most `max_pages` + 1: those after it are not read."""
    count = 1
    with suppress(EOFError):
        while count <= max_pages:
            image.seek(count)
            count += 1
    image.seek(0)
    return count


def check_page(image: Image, page: int, path: ImageFile) -> None:
    """Seek to a page. Raises a UserError for one that is absent, and for one that is no figure."""
    count = int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
    if not 0 <= page < count:
        raise UserError(f"'{path}' has {count} pages and no page {page} (the first is 0).", fix="fix the page")
    if count > 1:
        image.seek(page)
    if _is_reduced(image):
        raise UserError(f"Page {page} of '{path}' is a reduced-resolution page, not a figure.", fix="leave it out")


def tile_size(image: Image) -> tuple[int, int]:
    """Return width and height of a tile of a page in px, which may be larger than the page; 0 × 0 without tiles."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    width, height = (int(tags.get(tag, 0)) for tag in (TILE_WIDTH, TILE_LENGTH))
    return width, height


def _is_reduced(image: Image) -> bool:
    if image.format != "TIFF":
        return False
    tags = image.tag_v2  # type: ignore[attr-defined]
    return bool(int(tags.get(NEW_SUBFILE_TYPE, 0)) & (REDUCED | MASK)) or tags.get(SUBFILE_TYPE) == OLD_REDUCED


def stated_mpp_um(image: Image) -> float | None:
    """Return the µm/px that the header of a TIFF states: in the text of OME, ImageJ or Aperio, else by its resolution."""
    if image.format != "TIFF":
        return None
    tags = image.tag_v2  # type: ignore[attr-defined]
    text = str(tags.get(DESCRIPTION, ""))[:100_000]
    stated = re.search(r'PhysicalSizeX="([0-9.eE+-]{1,30})"', text) or re.search(r"\|\s*MPP\s*=\s*([0-9.]{1,30})", text)
    unit = re.search(r'PhysicalSizeXUnit="([^"]{1,20})"', text)
    resolution = float(tags.get(X_RESOLUTION, 0) or 0)
    try:
        if stated:
            return float(stated[1]) if unit is None or UM.fullmatch(unit[1]) else None
        if not resolution > 0:
            return None
        if text.startswith("ImageJ"):
            imagej_unit = re.search(r"^unit=(.+?)\s*$", text, re.MULTILINE)
            is_um = imagej_unit is not None and UM.fullmatch(imagej_unit[1].replace("\\u00B5", "µ"))
            return 1 / resolution if is_um else None
        return UM_PER_UNIT[tags.get(RESOLUTION_UNIT, 2)] / resolution
    except (KeyError, ValueError, ArithmeticError):
        return None


def unsupported_compression(path: ImageFile) -> str:
    """Return the name of the compression of a TIFF that Pillow does not decode; "" for every other file."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    try:
        with path.open("rb") as file:
            directory = ImageFileDirectory_v2(file.read(8))
            file.seek(directory.next)
            directory.load(file)
        return COMPRESSIONS.get(int(directory.get(COMPRESSION, 1)), "")
    except Exception:  # not a TIFF, or one too damaged to have tags
        return ""
