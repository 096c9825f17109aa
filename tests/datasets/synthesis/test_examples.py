"""The shipped example images are those that the painter makes of their seeds, and they are small."""

from __future__ import annotations

import numpy as np

from mitotype.core import images
from mitotype.datasets.synthesis.examples import EXAMPLES, examples


def test_the_files_are_what_is_generated() -> None:
    generated = dict(examples())
    assert sorted(generated) == sorted(EXAMPLES.glob("*"))
    for path, image_HW3 in generated.items():
        difference = images.read(path).astype(int) - image_HW3
        assert np.abs(difference).max() <= 1, path  # libraries round differently


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in EXAMPLES.iterdir()) < 100_000
