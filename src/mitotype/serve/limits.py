"""Limits of the service: what a request may contain, how long it may take to arrive, how many may wait."""

from __future__ import annotations

from dataclasses import dataclass

from mitotype.core import images

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What one request may contain, and how many requests may wait for their answers at once."""

    max_bytes: int = 16 * MIB  # of a request's body
    max_images: int = 64  # figures of a request, each page of a TIFF counted
    max_pixels: int = 1024 * 1024  # of a figure
    max_waiting: int = 32  # requests that are accepted and unanswered
    upload_s: float = 30.0  # seconds in which a body arrives

    @property
    def of_image(self) -> images.Limits:
        """The limits on one image file."""
        return images.Limits(self.max_pixels, self.max_images)


LIMITS = Limits()
