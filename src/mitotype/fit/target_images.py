"""Target images of the step `fourier`: natural images of a folder, or the color photographs that scikit-image contains.

Of each image the centred square is resized to 2 C, C the side of the augmented crop, so that a crop shows a quarter of a scene.
The bank has N_CROPS crops at random positions, as many of each image as of any other; with more images, so many of them are
drawn. It follows from the recipe's seed alone and is the same for every member, rank and part of a batch.

Shapes: K crops, 3 red, green, blue, H and W height and width in px.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from mitotype.core import images, seeds, walk
from mitotype.core.errors import UserError
from mitotype.core.run_layout import TargetsRecord
from mitotype.fit.recipe import Recipe
from mitotype.transforms import Augment

N_CROPS = 256
CROPS_PER_SIDE = 2
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")


def describe(recipe: Recipe) -> TargetsRecord | None:
    """Return what run.json records of the target images; None where the augmentation needs none.

    Raises a UserError for a folder that is absent or has no image, and for images that cannot be read.
    """
    if not Augment(recipe.augment).needs_targets:
        return None
    digests = [images.digest(images.read(path)) for path in _paths(recipe)]
    return TargetsRecord(recipe.fourier_targets, digests)


def notes(record: TargetsRecord | None) -> list[str]:
    """Return a note if the targets are photographs of scikit-image."""
    if record is None or record.folder:
        return []
    titles = ", ".join(Path(name).stem for name in PHOTOGRAPHS)
    return [f"fourier_targets is empty: the targets of fourier are photographs of scikit-image ({titles})"]


def crops(recipe: Recipe, record: TargetsRecord | None, input_px: int) -> np.ndarray | None:
    """Return the bank `image_K3CC`, uint8, for patches of `input_px`; None for a run without target images.

    Raises a UserError for images that are not those of the record.
    """
    if record is None:
        return None
    crop_px = Augment(recipe.augment).output_px(input_px)
    paths = _paths(recipe)
    squares = []
    for i, path in enumerate(paths):
        image_HW3 = images.read(path)
        if len(record.digests) != len(paths) or images.digest(image_HW3) != record.digests[i]:
            what = f"The target images of the run have changed since it was started: '{path}' is another."
            raise UserError(what, fix=f"restore '{path.parent}', or train anew")
        squares.append(_square(image_HW3, CROPS_PER_SIDE * crop_px))
    generator = seeds.numpy_generator(recipe.seed, "fourier crops")
    start_K2 = generator.integers(0, squares[0].shape[0] - crop_px + 1, (N_CROPS, 2))
    bank_KHW3 = [
        squares[k % len(squares)][top : top + crop_px, left : left + crop_px] for k, (top, left) in enumerate(start_K2)
    ]
    return np.ascontiguousarray(np.stack(bank_KHW3).transpose(0, 3, 1, 2))


def _paths(recipe: Recipe) -> list[Path]:
    """Return the images that crops are cut from."""
    if not recipe.fourier_targets:
        return [Path(skimage.data.__file__).parent / name for name in PHOTOGRAPHS]
    folder = walk.expanded(recipe.fourier_targets)
    if not walk.is_folder(folder):
        raise UserError(
            f"There is no folder '{folder}' of target images.", fix="set fourier_targets to a folder of images"
        )
    paths = list(walk.iter_files(folder, images.SUFFIXES))
    if not paths:
        raise UserError(f"'{folder}' has no target images.", allowed=", ".join(images.SUFFIXES))
    order = seeds.numpy_generator(recipe.seed, "fourier targets").permutation(len(paths))
    return [paths[i] for i in order[:N_CROPS]]


def _square(image_HW3: np.ndarray, side_px: int) -> np.ndarray:
    """Return the centred square of an image, resized to `side_px` (Lanczos)."""
    square = images.center_crop(image_HW3, min(image_HW3.shape[:2]))
    return np.asarray(Image.fromarray(square).resize((side_px, side_px), Image.Resampling.LANCZOS))
