"""Packs: every image of a cohort decoded once into one memory-mapped array.

Shapes: N patches; 3 red, green, blue; H, W height and width in px.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mitotype.core import files, records
from mitotype.core.cache import held, optional
from mitotype.core.cpu_limit import n_threads
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.images import at_scale, center_crop, check_large_enough, check_mpp, digest, read_pages
from mitotype.core.records import Digest, Record
from mitotype.core.schema import PATCH_PX, Cohort

ARRAY, RECORD = "image_N3HW.npy", "pack.json"


@dataclass(frozen=True)
class Pack:
    """`image_N3HW` uint8, memory-mapped, in the order of the cohort's rows, and one pixel digest per image."""

    image_N3HW: np.ndarray
    digests: tuple[str, ...]

    @property
    def px(self) -> int:
        return int(self.image_N3HW.shape[-1])

    def __len__(self) -> int:
        return len(self.digests)


class PackRecord(Record, frozen=True):
    """pack.json: the key of a pack, the pixel digest of every image, and the digest of the file of the array."""

    key: Digest
    digests: tuple[Digest, ...]
    array: Digest


def pack_images(cohort: Cohort, *, min_px: int = 64) -> Pack:
    """Decode every image of the cohort once into one array, which is cached while no file changes.

    All images are brought to 0.25 µm/px and cropped about their centre to one size: 128 px, or the size of the smallest
    where that is less, but at least `min_px` (what the frame needs).

    Raises one UserError that names every file that is damaged, of the wrong kind or too small.
    """
    if not len(cohort):
        raise UserError(f"'{cohort.name}' has no patches.", fix="check the folder and the filters")
    key = _key(cohort, min_px)
    with held("packs", key[:32]) as folder:
        pack = _stored_pack(folder)
        if pack is None:
            images, digests = _decode(cohort)
            px = _common_px(cohort, images, min_px)
            pack = Pack(np.stack([center_crop(image, px).transpose(2, 0, 1) for image in images]), tuple(digests))
            with optional():
                files.write_array(folder / ARRAY, pack.image_N3HW)
                records.write(folder / RECORD, PackRecord(key, pack.digests, files.sha256(folder / ARRAY)))
                pack = Pack(np.load(folder / ARRAY, mmap_mode="r"), pack.digests)
    return pack


def _stored_pack(folder: Path) -> Pack | None:
    """Return the pack in a folder of the cache, None where there is none or it is damaged: then it is made again."""
    try:
        record = records.read(folder / RECORD, PackRecord, what="pack", max_bytes=2**30)
        if _array_digest(folder / ARRAY, files.state_of(folder / ARRAY)) == record.array:
            return Pack(np.load(folder / ARRAY, mmap_mode="r"), record.digests)
    except (UserError, OSError, ValueError):
        pass
    return None


@lru_cache
def _array_digest(path: Path, state: str) -> str:
    """Return the digest of a file, which is computed once by a process while its state is the same."""
    return files.sha256(path)


def _key(cohort: Cohort, min_px: int) -> str:
    """Return the digest of what a pack depends on: paths, the state of their files, pages, µm/px."""
    total = hashlib.sha256(f"pack 2 {min_px}".encode())
    pages = cohort.rows["page"] if "page" in cohort.rows else [0] * len(cohort)
    for path, page, mpp_um in zip(cohort.rows["path"], pages, cohort.rows["mpp_um"], strict=True):
        try:
            state = files.state_of(Path(path))
            total.update(f"{path}\x1f{page}\x1f{mpp_um}\x1f{state}\n".encode("utf-8", "surrogateescape"))
        except OSError:
            total.update(f"{path}\x1fabsent\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def _decode(cohort: Cohort) -> tuple[list[np.ndarray], list[str]]:
    """Return every image at 0.25 µm/px and the digest of its own pixels. Each file is read once, whatever its pages."""
    rows = cohort.rows
    pages = [int(page) for page in rows["page"]] if "page" in rows else [0] * len(rows)
    rows_of_path: dict[str, list[int]] = {}
    for row, path in enumerate(rows["path"]):
        rows_of_path.setdefault(str(path), []).append(row)
    images: list[np.ndarray | None] = [None] * len(rows)
    digests = [""] * len(rows)
    mpp_um = [float(value) for value in rows["mpp_um"]]
    errors = ErrorCollector()

    def decode_file(item: tuple[str, list[int]]) -> None:
        path, indices = item
        with errors.capture():
            for i, image in zip(indices, read_pages(Path(path), [pages[i] for i in indices]), strict=True):
                digests[i] = digest(image)
                images[i] = at_scale(image, check_mpp(mpp_um[i], path), path)

    with ThreadPoolExecutor(n_threads()) as pool:
        list(pool.map(decode_file, rows_of_path.items()))
    errors.errors.sort(key=str)
    errors.raise_if_any()
    return [image for image in images if image is not None], digests


def _common_px(cohort: Cohort, images: list[np.ndarray], min_px: int) -> int:
    """Return the side of the pack. Raises a UserError for images that are smaller than `min_px`."""
    errors = ErrorCollector()
    for path, image in zip(cohort.rows["path"], images, strict=True):
        with errors.capture():
            check_large_enough(image, min_px, path)
    errors.raise_if_any()
    return min(PATCH_PX, min(min(image.shape[:2]) for image in images) // 2 * 2)
