"""Classify mitotic figures in H&E pathology as atypical or normal: train, benchmark, calibrate, deploy.

The functions of `mitotype.api` are available as `mitotype.train`, `mitotype.classify` …; each is imported on first use.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    api = import_module("mitotype.api")
    if name not in api.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(api, name)
