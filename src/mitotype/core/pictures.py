"""Pictures: opened with a list of allowed formats and limits, checked, resampled to 0.25 µm/px and packed.

Shapes: H, W height and width in px; 3 red, green, blue; N patches.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import files
from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.words import MPP_UM, PATCH_PX, Cohort

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
    "P": "a palette picture",
    "I": "32-bit greyscale",
    "F": "floating-point greyscale",
}
REMEDY = "save it as 8-bit RGB without transparency (in ImageMagick: -depth 8 -type TrueColor -alpha off)"


def read(path: Path) -> np.ndarray:
    """The first page of a picture as `image_HW3`, uint8. See `read_pages`."""
    return read_pages(path, pages=[0])[0]


def read_pages(path: Path, pages: Iterable[int] | None = None) -> list[np.ndarray]:
    """The pages of a picture (all of them by default), each as `image_HW3`, uint8.

    Raises a Mistake that names the file and the remedy: absent, empty, truncated, not a picture, a format outside
    FORMATS, greyscale, palette, RGBA, CMYK, 16-bit, or past the limits on bytes, pixels and pages.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise Mistake(f"There is no picture at '{path}'.")
    size = path.stat().st_size
    if size == 0 or size > MAX_BYTES:
        raise Mistake(
            f"The picture '{path}' has {size} bytes.",
            allowed=f"1 to {MAX_BYTES} bytes",
            fix="copy it again from its source",
        )
    try:
        with Image.open(path, formats=FORMATS) as image:
            count = getattr(image, "n_frames", 1)
            if count > MAX_PAGES:
                raise Mistake(
                    f"The picture '{path}' has {count} pages.", allowed=f"at most {MAX_PAGES}", fix="split it"
                )
            found = []
            for page in range(count) if pages is None else pages:
                if page >= count:
                    raise Mistake(f"'{path}' has {count} pages; page {page} was asked for (the first is 0).")
                if count > 1:
                    image.seek(page)
                _check_header(image, path)
                found.append(np.asarray(image))
            return found
    except UnidentifiedImageError as error:
        raise Mistake(
            f"'{path}' is not a picture that is read here.",
            allowed=", ".join(FORMATS),
            fix="convert it, or leave it out",
        ) from error
    except Image.DecompressionBombError as error:
        raise Mistake(
            f"The picture '{path}' is too large to open: {error}.",
            allowed=f"at most {MAX_PIXELS} pixels",
            fix="cut it into patches",
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Mistake(
            f"The picture '{path}' is damaged: {error}.", fix="copy it again from its source, or leave it out"
        ) from error


def _check_header(image: Image, path: Path) -> None:
    """Refuse by the header, before a pixel is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Mistake(
            f"The picture '{path}' is {width} × {height} px, too large for a patch.",
            allowed=f"at most {MAX_PIXELS} pixels",
            fix="cut it into patches",
        )
    depth = _bits(image, path)
    if depth > 8:
        raise Mistake(f"The picture '{path}' has {depth} bits per channel.", allowed="8-bit RGB", fix=REMEDY)
    if image.mode != "RGB":
        raise Mistake(f"The picture '{path}' is {MODES.get(image.mode, image.mode)}.", allowed="8-bit RGB", fix=REMEDY)


def _bits(image: Image, path: Path) -> int:
    """Bits per channel as the file says: Pillow opens a 16-bit RGB PNG as if it had 8."""
    if image.format == "PNG":
        with path.open("rb") as file:
            head = file.read(25)
        return head[24] if len(head) == 25 else 8
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, 8)  # type: ignore[attr-defined]
        return max(bits) if isinstance(bits, tuple) else int(bits)
    return 16 if image.mode.startswith("I;16") else 8


def digest(image_HW3: np.ndarray) -> str:
    """Hex digest of the pixels: the same for every lossless file of one picture."""
    return files.digest_of(str(image_HW3.shape), image_HW3.tobytes())


def check_mpp(mpp_um: float, where: str) -> float:
    """`mpp_um` if it is a plausible µm/px, else a Mistake (a unit slip is a factor of ten)."""
    low, high = MPP_RANGE_UM
    if not low <= mpp_um <= high:
        raise Mistake(
            f"{mpp_um:g} µm/px is not plausible for {where}.",
            allowed=f"{low} to {high} µm/px",
            fix="state it with --mpp (0.25 is a 40× scan)",
        )
    return mpp_um


def at_scale(image_HW3: np.ndarray, mpp_um: float) -> np.ndarray:
    """Resample to 0.25 µm/px (Lanczos, one step); a picture already within 1 % of it is returned unchanged."""
    import numpy as np
    from PIL import Image

    factor = mpp_um / MPP_UM
    if abs(factor - 1) <= 0.01:
        return image_HW3
    height, width = (max(1, round(side * factor)) for side in image_HW3.shape[:2])
    return np.asarray(Image.fromarray(image_HW3).resize((width, height), Image.Resampling.LANCZOS))


def centred(image_HW3: np.ndarray, px: int) -> np.ndarray:
    """The central `px` × `px`: the figure sits at px // 2, as in the published patches."""
    height, width = image_HW3.shape[:2]
    top, left = height // 2 - px // 2, width // 2 - px // 2
    return image_HW3[top : top + px, left : left + px]


@dataclass(frozen=True)
class Pack:
    """`image_N3HW` uint8, memory-mapped, in the order of the cohort's rows, and one pixel digest per picture."""

    image_N3HW: np.ndarray
    digests: tuple[str, ...]

    @property
    def px(self) -> int:
        return int(self.image_N3HW.shape[-1])

    def __len__(self) -> int:
        return len(self.digests)


def cache_folder() -> Path:
    """Where packs and embeddings are kept: $XDG_CACHE_HOME/mitotype or ~/.cache/mitotype."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mitotype"


def pack(cohort: Cohort, *, min_px: int = 64, cache: Path | None = None) -> Pack:
    """Decode every picture of the cohort once into one array, kept under `cache` and reused while no file changes.

    All pictures come to 0.25 µm/px and are cut about their centre to one size: 128 px, or the smallest one's size where
    that is less, but never under `min_px` (what the frame needs).

    Raises one Mistake that names every file that is damaged, of the wrong kind or too small.
    """
    import numpy as np

    if not len(cohort):
        raise Mistake(f"'{cohort.name}' has no patches.", fix="check the folder and the filters")
    key = _listing(cohort, min_px)
    folder = (cache or cache_folder() / "packs") / key[:32]
    array, told = folder / "image_N3HW.npy", folder / "pack.json"
    with files.locked(folder.parent / f".{key[:32]}.lock"):
        if not told.is_file():
            images, digests = _decoded(cohort)
            px = _common_px(cohort, images, min_px)
            with files.atomic(array) as part, part.open("wb") as out:
                np.save(out, np.stack([centred(image, px).transpose(2, 0, 1) for image in images]))
            files.write_json(told, {"key": key, "digests": digests})
        kept = files.read_json(told, what="pack", max_bytes=2**30)
    return Pack(np.load(array, mmap_mode="r"), tuple(kept["digests"]))


def _listing(cohort: Cohort, min_px: int) -> str:
    """Digest of what a pack depends on: paths, sizes, times of change, pages, µm/px."""
    total = hashlib.sha256(f"pack 1 {min_px}".encode())
    pages = cohort.rows["page"] if "page" in cohort.rows else [0] * len(cohort)
    for path, page, mpp_um in zip(cohort.rows["path"], pages, cohort.rows["mpp_um"], strict=True):
        try:
            state = Path(path).stat()
            total.update(f"{path}\x1f{page}\x1f{mpp_um}\x1f{state.st_size}\x1f{state.st_mtime_ns}\n".encode())
        except OSError:
            total.update(f"{path}\x1fabsent\n".encode())
    return total.hexdigest()


def _decoded(cohort: Cohort) -> tuple[list[np.ndarray], list[str]]:
    """Every picture at 0.25 µm/px and the digest of its own pixels. One read per file, whatever its pages."""
    rows = cohort.rows
    pages = [int(page) for page in rows["page"]] if "page" in rows else [0] * len(rows)
    wanted: dict[str, list[int]] = {}
    for position, path in enumerate(rows["path"]):
        wanted.setdefault(str(path), []).append(position)
    images: list[np.ndarray | None] = [None] * len(rows)
    digests = [""] * len(rows)
    scale = [float(mpp_um) for mpp_um in rows["mpp_um"]]
    trouble = Collector()

    def decode(item: tuple[str, list[int]]) -> None:
        path, positions = item
        with trouble.note():
            for position, image in zip(positions, read_pages(Path(path), [pages[p] for p in positions]), strict=True):
                digests[position] = digest(image)
                images[position] = at_scale(image, check_mpp(scale[position], path))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode, wanted.items()))
    trouble.found.sort(key=str)
    trouble.settle()
    return [image for image in images if image is not None], digests


def _common_px(cohort: Cohort, images: list[np.ndarray], min_px: int) -> int:
    sides = [min(image.shape[:2]) for image in images]
    trouble = Collector()
    for path, side, image in zip(cohort.rows["path"], sides, images, strict=True):
        if side < min_px:
            height, width = image.shape[:2]
            what = f"The picture '{path}' is {width} × {height} px at {MPP_UM} µm/px; the frame needs {min_px} px ({min_px * MPP_UM:g} µm)."
            trouble.add(Mistake(what, fix="cut a larger patch, or state its µm/px with --mpp"))
    trouble.settle()
    return min(PATCH_PX, min(sides) // 2 * 2)
