"""Seeds: every random number follows from a stored seed and the purpose that it is for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for one purpose: `derive(0, "augment", epoch, step)`. It is the same on every machine."""
    text = "\x1f".join([str(int(seed)), *(f"{type(word).__name__}:{word}" for word in purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *purpose: str | int) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng(derive(seed, *purpose))


def torch_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator: parameters are sampled on the CPU so that they are the same for a GPU."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *purpose))


@contextmanager
def forked_torch(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed torch's global generators inside the block only: initialisation and dropout take no generator."""
    import torch

    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(seed, *purpose))
        yield
