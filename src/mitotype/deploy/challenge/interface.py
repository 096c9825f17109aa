"""The interface of MIDOG 2025 Track 2: one stack of figures in, one JSON list with a class and P(atypical) per page out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from mitotype.core import files, images, records
from mitotype.core.errors import UserError
from mitotype.core.schema import CLASS_NAMES, MPP_UM
from mitotype.deploy.predictions import Prediction

if TYPE_CHECKING:
    import numpy as np

SLUG = "stacked-histopathology-roi-cropouts"
INPUTS = "inputs.json"
STACKS = f"images/{SLUG}"
OUTPUT = "multiple-mitotic-figure-classification.json"
SUFFIXES = (".tif", ".tiff")
MAX_JSON_BYTES = 2**20


class Interface(Struct, frozen=True):
    slug: str


class Socket(Struct, frozen=True):
    """An entry of inputs.json. Its other keys (image, file, value) are not needed."""

    interface: Interface


def find_stack(input_dir: Path) -> Path:
    """Return the stack of an input folder.

    Raises a UserError for other sockets than that of the stack, and without exactly one TIFF. The .mha that a sample may hold
    is a dummy.
    """
    raw = files.read_bytes(input_dir / INPUTS, what="list of inputs", max_bytes=MAX_JSON_BYTES)
    try:
        slugs = sorted(socket.interface.slug for socket in msgspec.json.decode(raw, type=list[Socket]))
    except records.INVALID as error:
        raise UserError(f"'{input_dir / INPUTS}' is no list of socket values: {error}.") from error
    if slugs != [SLUG]:
        raise UserError(f"The sockets of '{input_dir / INPUTS}' are {', '.join(slugs) or 'none'}.", allowed=SLUG)
    folder = input_dir / STACKS
    stacks = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if len(stacks) != 1:
        raise UserError(f"'{folder}' has {len(stacks)} TIFF files.", allowed="one stack of figures")
    return stacks[0]


def spacing_um(header: images.Header) -> float | None:
    """Return the µm/px that a stack states; None where it states none, or one that is not plausible (72 dpi)."""
    low, high = images.MPP_RANGE_UM
    return header.mpp_um if header.mpp_um is not None and low <= header.mpp_um <= high else None


def write_classifications(output_dir: Path, predictions: Sequence[Prediction]) -> Path:
    """Write the classes by the bundle's threshold and P(atypical), in the order of the pages, and return the file."""
    items = [{"class": p.label_name, "confidence": float(p.probability)} for p in predictions]
    files.write_bytes(output_dir / OUTPUT, records.encode(items))
    return output_dir / OUTPUT


def read_classifications(output_dir: Path, n_pages: int) -> list[tuple[str, float]]:
    """Return class and P(atypical) of every page. Raises a UserError for an output that the platform refuses."""
    path = output_dir / OUTPUT
    try:
        items = json.loads(files.read_bytes(path, what="output", max_bytes=MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is no JSON.") from error
    if not isinstance(items, list) or len(items) != n_pages:
        raise UserError(f"'{path}' is no list of {n_pages} items, one for each page.")
    for page, item in enumerate(items):
        if not isinstance(item, dict) or item.get("class") not in CLASS_NAMES:
            raise UserError(f"The class of page {page} in '{path}' is wrong.", allowed=", ".join(CLASS_NAMES))
        confidence = item.get("confidence")
        if not isinstance(confidence, float) or not 0 <= confidence <= 1:
            raise UserError(f"The confidence of page {page} in '{path}' is no float from 0.0 to 1.0.")
    return [(item["class"], item["confidence"]) for item in items]


def write_input(input_dir: Path, image_list_HW3: Sequence[np.ndarray]) -> None:
    """Write an input folder with one stack of images (uint8 arrays of one size, at 0.25 µm/px)."""
    from PIL import Image

    pages = [Image.fromarray(image_HW3) for image_HW3 in image_list_HW3]
    dpi = 25_400 / MPP_UM
    stack = input_dir / STACKS / "stack.tiff"
    with files.atomic(stack) as part:
        pages[0].save(part, "TIFF", save_all=True, append_images=pages[1:], dpi=(dpi, dpi), compression="tiff_lzw")
    interface = {"slug": SLUG, "kind": "Image", "super_kind": "Image", "relative_path": STACKS, "example_value": None}
    socket = {"file": None, "image": {"name": stack.name}, "value": None, "interface": interface}
    files.write_bytes(input_dir / INPUTS, records.encode([socket]))
