"""Classify mitotic figures in H&E pathology as atypical or normal: train, benchmark, calibrate, deploy.

The functions of `mitotype.api` are names of this package: `from mitotype import classify, train, evaluate` …; each is loaded
on first use.
"""

from typing import TYPE_CHECKING, Any

from mitotype import api
from mitotype.api import __all__ as _names

if TYPE_CHECKING:
    from mitotype.api import *  # noqa: F403

__all__ = [*_names, "__version__"]
__version__ = "0.2.0.dev0"


def __getattr__(name: str) -> Any:
    if name not in _names:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
