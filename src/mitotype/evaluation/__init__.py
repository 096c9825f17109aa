"""From rows to numbers: metrics of scores with intervals over cases, comparisons, and a report. No torch.

`evaluator` makes an Evaluation of a score table · `metrics` defines the numbers · `resample` is the bootstrap over cases ·
`interval` puts bounds on a number · `compare` pairs two tables · `experts` puts model and experts on one scale · `distinct`
counts each image once · `pooling` counts as the MIDOG 2025 challenge does · `checks` looks for leaks and thin data · `report` is
HTML, plots and text.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mitotype.evaluation.evaluator import decide_rows, evaluate
    from mitotype.evaluation.report.html import render_report

__all__ = ["decide_rows", "evaluate", "render_report"]
_MODULES = {"evaluate": "evaluator", "decide_rows": "evaluator", "render_report": "report.html"}


def __getattr__(name: str) -> Any:
    """Import one of the package's functions on first use: a listing of commands needs none of them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
