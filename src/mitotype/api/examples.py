"""The example images, for a first try without data."""

from __future__ import annotations

from pathlib import Path

from mitotype.core.examples import example_paths


def example_images() -> list[Path]:
    """Return six synthetic patches that ship with the package.

    Returns
    -------
    list of Path
        PNG files of 80 × 80 px at 0.25 µm/px, each with one generated figure in the middle.

    See Also
    --------
    classify : Classify images.
    synthetic_cohort : Generate more of them, with labels.

    Examples
    --------
    >>> import mitotype
    >>> [path.name for path in mitotype.example_images()][:2]
    ['1.png', '2.png']
    """
    return example_paths()
