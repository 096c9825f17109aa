"""Evaluations and comparisons as plain text for a terminal: the same numbers as in the report, in lines of at most 120 characters."""

from __future__ import annotations

from collections.abc import Sequence

from mitotype.core import number_format
from mitotype.core.run_layout.evaluation import Group, Interval
from mitotype.core.schema import NOTICE
from mitotype.core.text_tables import plain
from mitotype.evaluation.compare import ComparedSet, Comparison
from mitotype.evaluation.interval import note_without_case
from mitotype.evaluation.metrics import metrics, metrics_of
from mitotype.evaluation.metrics.metric import CALIBRATION, SET
from mitotype.evaluation.results import Entry, Evaluation


def evaluation_text(evaluation: Evaluation) -> str:
    """Return all numbers of an evaluation as text."""
    settings = evaluation.settings
    parts = [evaluation.about.title, *(_entry(entry) for entry in evaluation.entries)]
    lines = [f"  {f.code} {f.title}: {f.text}" for f in evaluation.checks if f.text]
    if lines:
        parts.append("\n".join(["checks", *lines]))
    if evaluation.notes:
        parts.append("\n".join(["notes", *(f"  {note}" for note in evaluation.notes)]))
    parts.append(_footer(settings.level, f"{settings.n_boot} bootstrap replicates of cases", settings.seed))
    return "\n\n".join(parts) + "\n"


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as text: each metric of both, the difference with its interval and p-value."""
    parts = [f"A {comparison.name_a}\nB {comparison.name_b}", *(_compared_set(s) for s in comparison.sets)]
    parts.append(
        _footer(comparison.level, f"{comparison.n_boot} paired bootstrap replicates of cases", comparison.seed)
    )
    return "\n\n".join(parts) + "\n"


def _footer(level: float, replicates: str, seed: int) -> str:
    return f"{level:.0%} intervals: {replicates}, seed {seed}.\n{NOTICE}"


def _entry(entry: Entry) -> str:
    head = f"{entry.name}: {entry.patches} patches, {entry.atypical} atypical, {entry.cases} cases"
    if entry.unlabelled:
        head += f", {entry.unlabelled} unlabelled left out"
    columns, rows = metrics_of(SET), []
    for variant in entry.variants:
        intervals = [variant.metrics.get(name) for name in columns]
        rows.append([variant.title, *(_number(interval.value if interval else None) for interval in intervals)])
        rows.append(["", *(_bounds(interval) if interval else "" for interval in intervals)])
    parts = [head, plain(["", *(metric.head for metric in columns.values())], rows)]
    if calibration := calibration_line(entry):
        parts.append(calibration)
    published = entry.published
    if published:
        parts.append(
            f"published best {_number(published.balanced_accuracy, 4)} ({published.net}),"
            f" AUROC {_number(published.auroc)} ({published.auroc_net})"
        )
        if published.floor_single is not None:
            parts[-1] += (
                f"; baseline of shape descriptors {_number(published.floor_single)},"
                f" mean of five {_number(published.floor_balanced_accuracy)}"
            )
    if len(entry.domains) > 1:
        parts.append(_groups("domain", entry.domains))
        parts.append(_over_domains(entry))
    if entry.agreement:
        parts.append(_groups("experts", entry.agreement))
    if entry.experts:
        rows = [
            [
                f"expert {score.expert}", str(score.patches), _number(score.human.value), _bounds(score.human),
                _number(score.model.value), _bounds(score.model),
            ]
            for score in entry.experts.each
        ]  # fmt: skip
        low, high, model = map(_number, (entry.experts.band_low, entry.experts.band_high, entry.experts.model_mean))
        table = plain(["against the majority of the others", "patches", "expert", "", "model", ""], rows)
        parts.append(f"{table}\nband of the experts {low} to {high}; model {model}")
    return "\n\n".join([*parts, *entry.notes])


def _over_domains(entry: Entry) -> str:
    """Return mean ± SD over domains of each metric, as studies report what they leave out domain by domain."""
    columns = {name: metrics.get(name).head for name in entry.domains[0].metrics}
    shown = [f"{head} {' ± '.join(map(_number, entry.over_domains(name)))}" for name, head in columns.items()]
    return f"mean ± SD over {len(entry.domains)} domains: {', '.join(shown)}"


def calibration_line(entry: Entry) -> str:
    """Return the metrics of the calibration of the probabilities as decided, with their intervals, and their best values."""
    known = [(metric, entry.headline.metrics.get(name)) for name, metric in metrics_of(CALIBRATION).items()]
    defined = [(metric, x) for metric, x in known if x and x.value is not None]
    shown = ", ".join(f"{metric.head} {number_format.interval(x.value, x.low, x.high)}" for metric, x in defined)
    return f"{shown} (calibrated: {', '.join(f'{metric.ideal:g}' for metric, _ in defined)})" if shown else ""


def _groups(kind: str, groups: Sequence[Group]) -> str:
    names = list(groups[0].metrics)
    rows = [
        [group.name, group.patches, group.atypical, group.cases, *(_interval(group.metrics[name]) for name in names)]
        for group in groups
    ]
    return plain([kind, "n", "atypical", "cases", *(metrics.get(name).head for name in names)], rows)


def _compared_set(patches: ComparedSet) -> str:
    rows = []
    for name, metric in metrics_of(SET).items():
        gain = patches.difference[name]
        value = number_format.number(gain.value, leading_zero=False, sign=True)
        bounds = number_format.bracketed(gain.low, gain.high, leading_zero=False, sign=True)
        p = _number(patches.p[name], 4)
        rows.append([metric.head, _interval(patches.a[name]), _interval(patches.b[name]), f"{value} {bounds}", p])
    head = f"{patches.name}: {patches.patches} patches, {patches.atypical} atypical, {patches.cases} cases"
    if patches.only_a or patches.only_b:
        head += f" (left out, scored by A only: {patches.only_a}, by B only: {patches.only_b})"
    if patches.without_case:
        head += f"\n{note_without_case(patches.without_case)}"
    return "\n\n".join([head, plain(["", "A", "B", "B - A", "p"], rows)])


def _number(value: float | None, digits: int = 3) -> str:
    return number_format.number(value, digits, leading_zero=False)


def _bounds(interval: Interval) -> str:
    return number_format.bounds(interval.low, interval.high, leading_zero=False)


def _interval(interval: Interval) -> str:
    return f"{_number(interval.value)} {_bounds(interval)}".strip()
