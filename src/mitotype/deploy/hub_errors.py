"""What the hub and its client refuse, as errors that the user can fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mitotype.core import extras
from mitotype.core.errors import UserError


@contextmanager
def translated_refusals(what: str, fix: str) -> Iterator[None]:
    """Raise a UserError that begins with `what` for whatever the hub refuses inside the block, or a network that is absent."""
    with extras.translated():
        from huggingface_hub.errors import HTTPError, LocalTokenNotFoundError
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise UserError("Not logged in to the Hugging Face Hub.", fix="hf auth login") from error
    except (HTTPError, OSError, ValueError) as error:  # HTTPError: the hub refuses or cannot be reached
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(f"{what}: {reason}.", fix=fix) from error
