"""Rows to numbers: what the scores are worth, how sure that is, and a report that anybody can open. No torch.

`judging` makes an Evaluation of a score table · `metrics` define the numbers · `resample` draws cases again · `interval` puts
bounds on a number · `compare` pairs two tables · `experts` puts model and people on one scale · `distinct` counts each picture
once · `pooling` counts as the MIDOG 2025 challenge does · `checks` look for leaks and thin data · `published` holds what others
reached · `curves` and `plots` draw, `page` and `text` show it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mitotype.evaluation.judging import evaluate, judged
    from mitotype.evaluation.page import report

__all__ = ["evaluate", "judged", "report"]
_HOME = {"evaluate": "judging", "judged": "judging", "report": "page"}


def __getattr__(name: str) -> Any:
    """The room's three functions, imported when they are first asked for: a listing of commands needs none of them."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
