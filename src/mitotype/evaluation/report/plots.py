"""Plots as SVG text: ROC, calibration, confusion, a forest plot of domains, risk against coverage."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mitotype.core.run_layout.evaluation import Interval
from mitotype.core.schema import CLASS_NAMES
from mitotype.evaluation.metrics import metrics
from mitotype.evaluation.report.curves import GRID, reliability_curve, roc_curve
from mitotype.evaluation.resample import Bootstrap
from mitotype.scores.risk_coverage import risk_coverage

INK, GREY, RULE, BLUE, RED = "#1c2430", "#6b7480", "#d9dee4", "#2b5f8f", "#b3472e"
PANEL = (3.3, 3.05)  # inches; at 96 px per inch these stand three in a row
STYLE: Any = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "mitotype",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
SMALL: Any = {"va": "center", "color": GREY, "fontsize": 7.5}
Drawing = Callable[[Any, Axes], None]  # draws into a figure or a part of one, and its axes
FONTS = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


def _svg(size: tuple[float, float], draw: Drawing) -> str:
    """Return a figure as SVG in the reader's own fonts; the same numbers give the same bytes."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure, figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"'DejaVu Sans'[^;\"]*?sans-serif", FONTS, text)
    return text[text.index("<svg") :]


def data_url(svg: str) -> str:
    """Return an SVG as a data URL of an image: its ids are separate from the page's, and nothing in it can run."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _unit_square(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))


def roc_plot(
    label: np.ndarray, probability: np.ndarray, bootstrap: Bootstrap, at: tuple[float, float], *, level: float = 0.95
) -> str:
    """Return the ROC curve with its band over cases; `at` is (sensitivity, specificity) of the decision."""
    return _svg(PANEL, roc_drawing(label, probability, bootstrap, at, level=level))


def roc_drawing(
    label: np.ndarray, probability: np.ndarray, bootstrap: Bootstrap, at: tuple[float, float], *, level: float = 0.95
) -> Drawing:
    curve = roc_curve(label, probability, bootstrap, level=level)

    def draw(_: Figure, axes: Axes) -> None:
        _unit_square(axes, "1 - specificity", "sensitivity")
        axes.fill_between(GRID, curve.low, curve.high, color=BLUE, alpha=0.16, linewidth=0)
        axes.plot(curve.fpr, curve.tpr, color=BLUE, linewidth=1.5, drawstyle="steps-post")
        axes.plot(1 - at[1], at[0], "o", color=RED, markersize=5)
        axes.annotate("as decided", (1 - at[1], at[0]), (7, -10), textcoords="offset points", color=RED)

    return draw


def calibration_plot(label: np.ndarray, probability: np.ndarray, bootstrap: Bootstrap, *, level: float = 0.95) -> str:
    """Return the share of atypical figures against mean P(atypical) per bin with bounds, above the counts of the bins."""
    return _svg(PANEL, calibration_drawing(label, probability, bootstrap, level=level))


def calibration_drawing(
    label: np.ndarray, probability: np.ndarray, bootstrap: Bootstrap, *, level: float = 0.95
) -> Drawing:
    curve = reliability_curve(label, probability, bootstrap, level=level)

    def draw(figure: Figure, axes: Axes) -> None:
        figure.delaxes(axes)
        top, low = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1]})
        _unit_square(top, "", "share atypical")
        top.tick_params(labelbottom=False)
        bounded = np.isfinite(curve.low)
        if bounded.any():
            top.vlines(
                curve.mean[bounded], curve.low[bounded], curve.high[bounded], color=BLUE, linewidth=1.1, alpha=0.7
            )
        top.plot(curve.mean, curve.share, "o-", color=BLUE, linewidth=1.2, markersize=4)
        edges = np.linspace(0, 1, 11)
        for cls, color in ((0, RULE), (1, RED)):
            counts = np.histogram(probability[label >= cls], edges)[0]
            low.bar(edges[:-1] + 0.05, counts, width=0.09, color=color, alpha=1 if cls == 0 else 0.75)
        low.set(xlabel="P(atypical)", ylabel="figures")
        low.set_yticks([0, int(np.histogram(probability, edges)[0].max())])
        low.grid(False)

    return draw


def risk_plot(label: np.ndarray, probability: np.ndarray, threshold: float, coverage: float | None) -> str:
    """Return the metrics of the certain figures as the band of uncertainty widens; `coverage` marks the band in use."""
    table = risk_coverage(probability, label, threshold)
    table = table[table["coverage"] >= 0.4]

    def draw(_: Figure, axes: Axes) -> None:
        for name, color, width in (
            ("sensitivity", RED, 0.9),
            ("specificity", GREY, 0.9),
            ("balanced_accuracy", BLUE, 1.7),
        ):
            axes.plot(table["coverage"], table[name], color=color, linewidth=width, label=metrics.get(name).title)
        if coverage is not None:
            axes.axvline(coverage, color=INK, linewidth=0.8, linestyle=(0, (2, 3)))
            axes.text(
                coverage - 0.008,
                0.98,
                "band in use",
                transform=axes.get_xaxis_transform(),
                rotation=90,
                **{**SMALL, "va": "top"},
            )
        lowest = np.nanmin(table[["sensitivity", "specificity"]].to_numpy())
        axes.set(xlim=(1.01, 0.4), ylim=(max(0, math.floor(lowest * 10) / 10), 1.01))
        axes.set(xlabel="share of certain figures", ylabel="of certain figures")
        axes.legend(frameon=False, loc="best", handlelength=1.4, fontsize=7.5)

    return _svg(PANEL, draw)


def confusion_plot(tp: int, fn: int, fp: int, tn: int) -> str:
    """Return counts and shares of each true class."""
    cells = np.array([[tn, fp], [fn, tp]])

    def draw(_: Figure, axes: Axes) -> None:
        axes.grid(False)
        for row in range(2):
            total = max(1, int(cells[row].sum()))
            for column in range(2):
                share = cells[row, column] / total
                corner, style = (column - 0.485, row - 0.485), {"alpha": 0.08 + 0.5 * share, "linewidth": 0}
                axes.add_patch(Rectangle(corner, 0.97, 0.97, facecolor=BLUE if row == column else RED, **style))
                axes.text(column, row - 0.08, f"{cells[row, column]:,}", ha="center", va="center", fontsize=13)
                axes.text(
                    column, row + 0.2, f"{share:.0%} of {CLASS_NAMES[row]}", ha="center", va="center", fontsize=7.5
                )
        axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), xlabel="called", ylabel="label")
        axes.set_xticks([0, 1], CLASS_NAMES)
        axes.set_yticks([0, 1], CLASS_NAMES, rotation=90, va="center")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    return _svg(PANEL, draw)


def forest_plot(rows: Sequence[tuple[str, str, Interval]], overall: Interval, label: str) -> str:
    """Return one line per group (name, size as text, interval), the overall one below; a number without bounds is hollow."""
    lines = [*rows, ("all", "", overall)]

    def draw(_: Figure, axes: Axes) -> None:
        axes.grid(axis="y", visible=False)
        heights = np.arange(len(lines), dtype=float)
        heights[-1] += 0.35
        if overall.value is not None:
            axes.axvline(overall.value, color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        for height, (_name, _size, interval) in zip(heights, lines, strict=True):
            last = height == heights[-1]
            if interval.value is None:
                axes.text(0.02, height, interval.reason, transform=axes.get_yaxis_transform(), **SMALL)
                continue
            if interval.low is not None and interval.high is not None:
                axes.plot([interval.low, interval.high], [height, height], color=BLUE, linewidth=2.2 if last else 1.3)
            face = BLUE if interval.low is not None else "white"
            axes.plot(
                interval.value,
                height,
                "D" if last else "o",
                color=BLUE,
                markerfacecolor=face,
                markersize=6 if last else 5,
            )
        axes.set_yticks(heights, [f"{name}\n{size}" if size else name for name, size, _ in lines])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(label)
        values = [v for _, _, i in lines for v in (i.value, i.low, i.high) if v is not None]
        if values:
            low, high = min(values), max(values)
            axes.set_xlim(max(0, min(0.5, low - 0.03)), min(1.005, high + 0.03))

    return _svg((6.6, 0.75 + 0.37 * len(lines)), draw)
