"""What is classified: paths, arrays, PIL images and data frames become sources, and what is none of these is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mitotype.core.errors import UserError
from mitotype.datasets.synthesis.examples import EXAMPLES
from mitotype.deploy.classify import read_pages
from mitotype.deploy.sources import list_images

IMAGE_HW3 = np.full((64, 64, 3), 200, np.uint8)
FIRST = EXAMPLES / "1.png"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (FIRST, ["1.png"]),
        (str(EXAMPLES), [f"{i}.png" for i in range(1, 7)]),
        ([FIRST, IMAGE_HW3], ["1.png", "image 0"]),
        (IMAGE_HW3, ["image 0"]),
        (np.stack([IMAGE_HW3] * 3), ["image 0", "image 1", "image 2"]),
        ([IMAGE_HW3, Image.fromarray(IMAGE_HW3)], ["image 0", "image 1"]),
        (Image.fromarray(IMAGE_HW3), ["image 0"]),
        (pd.DataFrame({"path": [str(FIRST), FIRST]}), ["1.png", "1.png"]),
        ((path for path in [FIRST]), ["1.png"]),
    ],
)
def test_one_or_several_of_each(given: Any, names: list[str]) -> None:
    assert [source.path.name for source in list_images(given)] == names


def test_a_frame_has_scales_and_pages() -> None:
    frame = pd.DataFrame({"path": [FIRST, FIRST], "mpp_um": [0.5, None], "page": [None, 0]})
    first, second = list_images(frame, 0.25)
    assert (first.mpp_um, first.page, second.mpp_um, second.page) == (0.5, None, 0.25, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((64, 64)), "array of float64 with the shape (64, 64)"),
        (np.zeros((64, 64, 3)), "array of float64"),
        (np.zeros((64, 64, 4), np.uint8), "shape (64, 64, 4)"),
        (Image.new("L", (64, 64)), "is greyscale"),
        ([], "No images are given"),
        (3, "from an object of the type int"),
        (pd.DataFrame({"image": ["a.png"]}), "lacks the column path"),
        (pd.DataFrame({"path": ["a.png", "absent.png"]}), "the data frame row 1: there is no file 'absent.png'"),
        (pd.DataFrame({"path": [FIRST], "mpp_um": ["0,25"]}), "row 0: mpp_um '0,25', not a number"),
        (pd.DataFrame({"path": [None]}), "row 0: the path is empty"),
    ],
)
def test_what_is_no_image_is_refused(given: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(FIRST.read_bytes())
    with pytest.raises(UserError) as error:
        list_images(given)
    assert message in str(error.value)


def test_a_page_holds_the_memory_of_its_centre_only() -> None:
    sources = list_images(np.zeros((300, 200, 3), np.uint8))
    (page,) = read_pages(sources, 64)
    assert isinstance(page.image, np.ndarray)
    assert page.image.shape == (3, 64, 64)
    assert page.image.base is None
