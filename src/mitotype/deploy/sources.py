"""Sources: what is classified, as a list of files with their pages and of images in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mitotype.core import image_list, images, tables, walk
from mitotype.core.encoded_image import ImageFile
from mitotype.core.errors import ErrorCollector, UserError

if TYPE_CHECKING:
    import pandas as pd


class Source(NamedTuple):
    """A file, its µm/px (None: not stated) and the page to classify (None: every figure in it), or an `image_HW3` in memory."""

    path: ImageFile
    mpp_um: float | None
    page: int | None = None
    image: np.ndarray | None = None


def list_images(images_given: Any, mpp_um: float | None = None) -> list[Source]:
    """Return the sources, given one or several of these: paths, arrays, PIL images, a data frame with the column `path`.

    A path is an image file, a folder (see `walk.iter_files`) or a list: a csv or parquet file with the column `path`, and
    `mpp_um` and `page` if they vary; see `image_list`. An array is `image_HW3` or `image_NHW3` uint8; it is called "image 0",
    "image 1" … by its position. `mpp_um` is the default. Raises one UserError for all files that are absent, all cells that
    are wrong and all arrays that are no images.
    """
    if mpp_um is not None:
        images.check_mpp(mpp_um, "--mpp")
    result: list[Source] = []
    errors = ErrorCollector()
    n_arrays = 0
    for item in _items(images_given):
        with errors.capture():
            if hasattr(item, "columns"):
                result += _sources(image_list.from_frame(item, errors), mpp_um)
            elif isinstance(item, str | os.PathLike):
                result += _of_path(Path(item), mpp_um, errors)
            else:
                n_arrays += 1
                name = f"image {n_arrays - 1}"
                result.append(Source(Path(name), mpp_um, None, _image(item, name)))
    errors.raise_if_any()
    if not result:
        raise UserError("No images are given.", fix="mitotype classify FOLDER")
    return result


def _items(given: Any) -> Iterator[Any]:
    """Yield the paths, images and frames in what the caller gave, which may be a single one, or a stack of images."""
    is_stack = isinstance(given, np.ndarray) and given.ndim == 4
    is_single = isinstance(given, str | os.PathLike | np.ndarray) or hasattr(given, "columns") or hasattr(given, "mode")
    if is_single and not is_stack:
        yield given
    elif isinstance(given, Iterable):
        yield from given
    else:
        what = f"Images cannot be read from an object of the type {type(given).__name__}."
        raise UserError(what, allowed="paths, uint8 arrays, PIL images, a data frame with the column path")


def _of_path(path: Path, mpp_um: float | None, errors: ErrorCollector) -> list[Source]:
    path = walk.check_name(path)
    if walk.is_folder(path):
        paths = list(walk.iter_files(path, images.SUFFIXES))
        if not paths:
            raise UserError(f"The folder '{path}' contains no images.", allowed=", ".join(images.SUFFIXES))
        return [Source(p, mpp_um) for p in paths]
    if tables.is_table(path):
        return list(_sources(image_list.read_list(path, errors), mpp_um))
    if walk.is_file(path):
        return [Source(path, mpp_um)]
    raise UserError(f"There is no image at '{path}'.", fix="fix the path")


def _sources(rows: pd.DataFrame, mpp_um: float | None) -> Iterator[Source]:
    unstated = [float("nan")] * len(rows)
    for name, scale, page in zip(rows["path"], rows.get("mpp_um", unstated), rows.get("page", unstated), strict=True):
        yield Source(Path(name), mpp_um if scale != scale else scale, None if page != page else int(page))


def _image(item: Any, name: str) -> np.ndarray:
    """Return an array or PIL image as `image_HW3` uint8."""
    mode = getattr(item, "mode", "RGB")
    if isinstance(mode, str) and mode != "RGB":
        raise UserError(
            f"The image '{name}' is {images.MODES.get(mode, mode)}.", allowed="8-bit RGB", fix=images.REMEDY
        )
    image_HW3 = np.asarray(item)
    if image_HW3.ndim != 3 or image_HW3.shape[2] != 3 or image_HW3.dtype != np.uint8:
        what = f"The image '{name}' is an array of {image_HW3.dtype} with the shape {image_HW3.shape}."
        raise UserError(what, allowed="uint8 with the shape (height, width, 3), red, green, blue from 0 to 255")
    return image_HW3
