"""Seeds: every random draw follows from a written seed and the words that say what it is for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose: `derive(0, "augment", epoch, step)`. Same words, same seed, on every machine."""
    text = "\x1f".join([str(int(seed)), *(f"{type(word).__name__}:{word}" for word in purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *purpose: str | int) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng(derive(seed, *purpose))


def torch_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator: parameters are drawn on the CPU so that a GPU sees the same ones."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *purpose))


@contextmanager
def forked_torch(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed torch's global generators inside the block only: for initialisation and dropout, which take no generator."""
    import torch

    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(seed, *purpose))
        yield
