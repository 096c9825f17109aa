"""An image file in memory, such as an upload: it opens and prints like the path of a file on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path


@dataclass(frozen=True)
class EncodedImage:
    """The name and the bytes of an image file."""

    name: str
    raw: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.name

    def open(self, mode: str = "rb") -> BytesIO:
        """Return the bytes as an open file, which is read only."""
        return BytesIO(self.raw)


ImageFile = Path | EncodedImage
