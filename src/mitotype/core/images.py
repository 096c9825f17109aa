"""Image files: opened with a list of allowed formats and limits, checked, and resampled to 0.25 µm/px.

Shapes: H, W height and width in px; 3 red, green, blue.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import files
from mitotype.core.errors import UserError
from mitotype.core.schema import MPP_UM

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
MAX_BYTES = 512 * 2**20
MAX_PIXELS = 4096 * 4096  # per page: a patch, not a slide
MAX_PAGES = 100_000
MPP_RANGE_UM = (0.05, 5.0)
MODES = {
    "L": "greyscale",
    "1": "black and white",
    "LA": "greyscale with transparency",
    "RGBA": "RGBA (has transparency)",
    "P": "a palette image",
    "I": "32-bit greyscale",
    "F": "floating-point greyscale",
}
REMEDY = "save it as 8-bit RGB without transparency (in ImageMagick: -depth 8 -type TrueColor -alpha off)"


def read(path: Path) -> np.ndarray:
    """Return the first page of an image file as `image_HW3`, uint8. See `read_pages`."""
    return read_pages(path, pages=[0])[0]


def read_pages(path: Path, pages: Iterable[int] | None = None) -> list[np.ndarray]:
    """Return pages of an image file (all by default), each as `image_HW3`, uint8.

    Raises a UserError that names the file and the fix: absent, empty, truncated, not an image, a format outside
    FORMATS, greyscale, palette, RGBA, CMYK, 16-bit, or above the limits on bytes, pixels and pages.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise UserError(f"There is no image at '{path}'.")
    size = path.stat().st_size
    if size == 0 or size > MAX_BYTES:
        raise UserError(
            f"The image '{path}' has {size} bytes.",
            allowed=f"1 to {MAX_BYTES} bytes",
            fix="copy it again from its source",
        )
    try:
        with Image.open(path, formats=FORMATS) as image:
            count = getattr(image, "n_frames", 1)
            if count > MAX_PAGES:
                raise UserError(
                    f"The image '{path}' has {count} pages.", allowed=f"at most {MAX_PAGES}", fix="split it"
                )
            images = []
            for page in range(count) if pages is None else pages:
                if page >= count:
                    raise UserError(f"'{path}' has {count} pages and no page {page} (the first is 0).")
                if count > 1:
                    image.seek(page)
                _check_header(image, path)
                images.append(np.asarray(image))
            return images
    except UnidentifiedImageError as error:
        raise UserError(
            f"'{path}' is not an image of a supported format.",
            allowed=", ".join(FORMATS),
            fix="convert it, or leave it out",
        ) from error
    except Image.DecompressionBombError as error:
        raise UserError(
            f"The image '{path}' is too large to open: {error}.",
            allowed=f"at most {MAX_PIXELS} pixels",
            fix="cut it into patches",
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UserError(
            f"The image '{path}' is damaged: {error}.", fix="copy it again from its source, or leave it out"
        ) from error


def _check_header(image: Image, path: Path) -> None:
    """Raise a UserError by the header alone, before a pixel is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UserError(
            f"The image '{path}' is {width} × {height} px, too large for a patch.",
            allowed=f"at most {MAX_PIXELS} pixels",
            fix="cut it into patches",
        )
    depth = _bits(image, path)
    if depth > 8:
        raise UserError(f"The image '{path}' has {depth} bits per channel.", allowed="8-bit RGB", fix=REMEDY)
    if image.mode != "RGB":
        raise UserError(f"The image '{path}' is {MODES.get(image.mode, image.mode)}.", allowed="8-bit RGB", fix=REMEDY)


def _bits(image: Image, path: Path) -> int:
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


def at_scale(image_HW3: np.ndarray, mpp_um: float) -> np.ndarray:
    """Return the image at 0.25 µm/px (Lanczos, one step); an image within 1 % of it is returned unchanged."""
    import numpy as np
    from PIL import Image

    factor = mpp_um / MPP_UM
    if abs(factor - 1) <= 0.01:
        return image_HW3
    height, width = (max(1, round(side * factor)) for side in image_HW3.shape[:2])
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
