"""The result of an ablation as a Markdown page, a plot and a record."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mitotype.core import text_tables
from mitotype.core.run_layout.evaluation import Interval
from mitotype.core.schema import NOTICE
from mitotype.experiments.ablation.effects import METRICS, Effect
from mitotype.experiments.ablation.result import AblationResult
from mitotype.experiments.ablation.untrained import CHANCE

HEADERS = ("ingredient", "AUROC", "log loss", "balanced accuracy", "reading")


def markdown(result: AblationResult, plot_name: str) -> str:
    """Return the page: what was done, the effects with intervals, and a reading of each."""
    record = result.record
    folds = " and ".join(map(str, record.folds))
    parts = [
        f"# What each ingredient of {record.name} is worth",
        f"*{NOTICE}*",
        f"![effects]({plot_name})",
        f"{len(record.is_on)} screening runs in a Plackett–Burman design, each with the folds {folds} ({record.recipes[0]['folds']}) "
        f"left out; the {record.strongest} strongest ingredients confirmed with all folds, {record.seeds} "
        f"{'seed' if record.seeds == 1 else 'seeds'}. All numbers are out of fold on training patches; values with the ingredient minus "
        "values without it, 95 % intervals over cases. *Noise* is the standard deviation of the same contrast of no ingredient, "
        "which has the noise of seeds; for confirmed differences it is scaled to their number of fits, and pooled with what their seeds "
        "differ by. An effect is told apart if its interval excludes 0 and it is above twice the noise. No test set was opened. The "
        "domains and cases that the numbers are reported on also chose which effects are called strongest: read those as optimistic.",
        f"Machine: {result.machine}. Seed {record.recipes[0]['seed']}. "
        + "; ".join(f"{recipe['backbone']}, {recipe['epochs']} epochs" for recipe in record.recipes)
        + ".",
        *_untrained(result),
        "## Screening",
        _table(result.screened),
    ]
    if result.confirmed:
        parts += ["## Confirmed", _table(result.confirmed)]
    if result.combined:
        parts += [
            "## Ways to combine and decide, without a new fit",
            "Intervals are over cases alone: the members are the same on both sides, and others could differ.",
            text_tables.markdown(HEADERS, [_row(effect) for effect in result.combined]),
        ]
    if result.levels:
        rows = [(level.name, *(_level(level.value[metric]) for metric in METRICS)) for level in result.levels]
        parts += ["## The complete recipe, out of fold", text_tables.markdown(("scores", *HEADERS[1:4]), rows)]
    return "\n\n".join(parts) + "\n"


def _untrained(result: AblationResult) -> list[str]:
    if not result.untrained:
        return []
    fits = ", ".join(result.untrained[:12]) + (" …" if len(result.untrained) > 12 else "")
    return [
        f"**{len(result.untrained)} of {result.n_fits} fits learned nothing**: their AUROC on the fold left out is below {CHANCE:g} "
        f"({fits}). Effects that rest on them are those of a training that fails. Lower the learning rate, or raise warmup_epochs."
    ]


def reading(effect: Effect) -> str:
    """Return "helps", "harms", or that it cannot be told apart from nothing, by AUROC; by balanced accuracy where AUROC is equal to
    the three decimals that are shown."""
    metric = "auroc" if abs(effect.difference["auroc"].value or 0.0) >= 5e-4 else "balanced_accuracy"
    if not effect.is_told_apart(metric):
        return "cannot be told apart"
    return "helps" if effect.improves(metric) else "harms"


def _table(effects: Sequence[Effect]) -> str:
    rows = [(*_row(effect), _unsigned(effect.noise["auroc"])) for effect in effects]
    return text_tables.markdown((*HEADERS, "noise of AUROC"), rows)


def _row(effect: Effect) -> tuple[str, ...]:
    return (effect.name, *(_difference(effect.difference[metric]) for metric in METRICS), reading(effect))


def _difference(interval: Interval) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return _signed(math.nan if interval.value is None else interval.value)
    return f"{_signed(interval.value)} [{_signed(interval.low)}, {_signed(interval.high)}]"


def _level(interval: Interval) -> str:
    value, low, high = (_unsigned(number) for number in (interval.value, interval.low, interval.high))
    return value if interval.low is None else f"{value} [{low}, {high}]"


def _unsigned(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.3f}".removeprefix("0")


def _signed(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:+.3f}".replace("+0.", "+.").replace("-0.", "−.")


def plot(result: AblationResult) -> str:
    """Return the effects on AUROC with their intervals as SVG; two of the noise are shaded."""
    effects = [*((e, "#3b6ea5") for e in result.screened), *((e, "#a5523b") for e in result.confirmed)]
    figure = Figure(figsize=(7.0, 1.0 + 0.32 * len(effects)), layout="constrained")
    axes = figure.add_subplot()
    for y, (effect, color) in enumerate(reversed(effects)):
        interval = effect.difference["auroc"]
        axes.plot(interval.value or 0.0, y, "o", color=color)
        if interval.low is not None and interval.high is not None:
            axes.plot([interval.low, interval.high], [y, y], color=color)
    noise = result.screened[0].noise["auroc"] if result.screened else math.nan
    if math.isfinite(noise):
        axes.axvspan(-2 * noise, 2 * noise, color="0.9", zorder=0)
    axes.axvline(0.0, color="0.4", linewidth=0.8)
    axes.set_yticks(range(len(effects)), [effect.name for effect, _ in reversed(effects)])
    axes.set_xlabel("AUROC with the ingredient − without\n(blue: screened, red: confirmed, grey: twice the noise)")
    raw = io.StringIO()
    FigureCanvasSVG(figure).print_svg(raw, metadata={"Date": None})
    return raw.getvalue()
