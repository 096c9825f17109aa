"""The folder of the example images, which ship with the package."""

from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def example_paths() -> list[Path]:
    """Return the files of the example images, by name."""
    return sorted(EXAMPLES.glob("*.png"))
