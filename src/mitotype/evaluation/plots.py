"""Pictures of the numbers, as SVG text: ROC, calibration, confusion, a forest of domains, risk against coverage."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotype.evaluation.curves import GRID, reliability, roc
from mitotype.evaluation.interval import Interval
from mitotype.evaluation.resample import Draws
from mitotype.scores.abstain import risk_coverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
FONTS = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


def _drawn(size: tuple[float, float], paint: Callable[[Figure, Axes], None]) -> str:
    """One figure as SVG whose letters are the reader's own; the same numbers give the same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure, figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"'DejaVu Sans'[^;\"]*?sans-serif", FONTS, text)
    return text[text.index("<svg") :]


def data_address(svg: str) -> str:
    """An SVG as the address of an image: its names stay its own, and nothing in it can run."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _unit(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))


def roc_plot(
    label: np.ndarray, probability: np.ndarray, draws: Draws, at: tuple[float, float], *, level: float = 0.95
) -> str:
    """The ROC curve with its band over cases; `at` is (sensitivity, specificity) where the decision stands."""
    curve = roc(label, probability, draws, level=level)

    def paint(_: Figure, axes: Axes) -> None:
        _unit(axes, "1 - specificity", "sensitivity")
        axes.fill_between(GRID, curve.low, curve.high, color=BLUE, alpha=0.16, linewidth=0)
        axes.plot(curve.fpr, curve.tpr, color=BLUE, linewidth=1.5, drawstyle="steps-post")
        axes.plot(1 - at[1], at[0], "o", color=RED, markersize=5)
        axes.annotate("as decided", (1 - at[1], at[0]), (7, -10), textcoords="offset points", color=RED)

    return _drawn(PANEL, paint)


def calibration_plot(label: np.ndarray, probability: np.ndarray, draws: Draws, *, level: float = 0.95) -> str:
    """Share of atypical figures against mean P(atypical) per bin with bounds, over the counts of the bins."""
    curve = reliability(label, probability, draws, level=level)

    def paint(figure: Figure, axes: Axes) -> None:
        figure.delaxes(axes)
        top, low = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1]})
        _unit(top, "", "share atypical")
        top.tick_params(labelbottom=False)
        known = np.isfinite(curve.low)
        if known.any():
            top.vlines(curve.mean[known], curve.low[known], curve.high[known], color=BLUE, linewidth=1.1, alpha=0.7)
        top.plot(curve.mean, curve.share, "o-", color=BLUE, linewidth=1.2, markersize=4)
        edges = np.linspace(0, 1, 11)
        for cls, colour in ((0, RULE), (1, RED)):
            counts = np.histogram(probability[label >= cls], edges)[0]
            low.bar(edges[:-1] + 0.05, counts, width=0.09, color=colour, alpha=1 if cls == 0 else 0.75)
        low.set(xlabel="P(atypical)", ylabel="figures")
        low.set_yticks([0, int(np.histogram(probability, edges)[0].max())])
        low.grid(False)

    return _drawn(PANEL, paint)


def risk_plot(label: np.ndarray, probability: np.ndarray, threshold: float, coverage: float | None) -> str:
    """Balanced accuracy of what is kept as the most doubtful figures are left out; `coverage` marks the band in use."""
    table = risk_coverage(probability, label, threshold)
    table = table[table["coverage"] >= 0.4]

    def paint(_: Figure, axes: Axes) -> None:
        for column, name, colour, width in (
            ("sensitivity", "sensitivity", RED, 0.9),
            ("specificity", "specificity", GREY, 0.9),
            ("balanced_accuracy", "balanced accuracy", BLUE, 1.7),
        ):
            axes.plot(table["coverage"], table[column], color=colour, linewidth=width, label=name)
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
        axes.set(xlabel="share of figures kept", ylabel="of what is kept")
        axes.legend(frameon=False, loc="best", handlelength=1.4, fontsize=7.5)

    return _drawn(PANEL, paint)


def confusion_plot(tp: int, fn: int, fp: int, tn: int) -> str:
    """Counts and shares of each true class."""
    cells = np.array([[tn, fp], [fn, tp]])
    names = ("normal", "atypical")

    def paint(_: Figure, axes: Axes) -> None:
        axes.grid(False)
        for row in range(2):
            total = max(1, int(cells[row].sum()))
            for column in range(2):
                share, right = cells[row, column] / total, row == column
                colour = BLUE if right else RED
                axes.add_patch(_rectangle(column - 0.5, row - 0.5, colour, 0.08 + 0.5 * share))
                axes.text(column, row - 0.08, f"{cells[row, column]:,}", ha="center", va="center", fontsize=13)
                axes.text(column, row + 0.2, f"{share:.0%} of {names[row]}", ha="center", va="center", fontsize=7.5)
        axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), xlabel="called", ylabel="label")
        axes.set_xticks([0, 1], names)
        axes.set_yticks([0, 1], names, rotation=90, va="center")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    return _drawn(PANEL, paint)


def _rectangle(x: float, y: float, colour: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x + 0.015, y + 0.015), 0.97, 0.97, facecolor=colour, alpha=alpha, linewidth=0)


def forest_plot(rows: Sequence[tuple[str, str, Interval]], whole: Interval, label: str) -> str:
    """One line per group (name, a clause on its size, interval), the whole below; a number without bounds is hollow."""
    lines = [*rows, ("all", "", whole)]

    def paint(_: Figure, axes: Axes) -> None:
        axes.grid(axis="y", visible=False)
        spots = np.arange(len(lines), dtype=float)
        spots[-1] += 0.35
        if not math.isnan(whole.value):
            axes.axvline(whole.value, color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        for spot, (_name, _clause, interval) in zip(spots, lines, strict=True):
            last = spot == spots[-1]
            if math.isnan(interval.value):
                axes.text(0.02, spot, interval.reason, transform=axes.get_yaxis_transform(), **SMALL)
                continue
            bounded = not math.isnan(interval.low)
            if bounded:
                axes.plot([interval.low, interval.high], [spot, spot], color=BLUE, linewidth=2.2 if last else 1.3)
            face = BLUE if bounded else "white"
            axes.plot(
                interval.value,
                spot,
                "D" if last else "o",
                color=BLUE,
                markerfacecolor=face,
                markersize=6 if last else 5,
            )
        axes.set_yticks(spots, [f"{name}\n{clause}" if clause else name for name, clause, _ in lines])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(label)
        values = [v for _, _, i in lines for v in (i.value, i.low, i.high) if not math.isnan(v)]
        if values:
            low, high = min(values), max(values)
            axes.set_xlim(max(0, min(0.5, low - 0.03)), min(1.005, high + 0.03))

    return _drawn((6.6, 0.75 + 0.37 * len(lines)), paint)
