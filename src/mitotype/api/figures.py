"""Figures of matplotlib that a notebook shows without pyplot."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mitotype.evaluation.report.plots import STYLE


class Plot(Figure):
    """A matplotlib figure that is its own image in a notebook; `savefig` writes it."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=144)
        return out.getvalue()


def style() -> Any:
    """Return a context in which what is drawn has the style of the reports."""
    return mpl.rc_context({**STYLE, "figure.facecolor": "white", "savefig.facecolor": "white"})


def plot(width_in: float, height_in: float) -> Plot:
    """Return an empty figure; call it and draw into it within `style`."""
    figure = Plot(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
