"""The cache folder of this user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the folder of packs, embeddings and notes on weights: $XDG_CACHE_HOME/mitotype or ~/.cache/mitotype."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mitotype"
