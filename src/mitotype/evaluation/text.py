"""The numbers of an evaluation as plain text for a terminal: the same as in the report, in lines of at most 120 signs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mitotype.core.words import NOTICE
from mitotype.evaluation.compare import Comparison
from mitotype.evaluation.interval import Interval
from mitotype.evaluation.metrics import get
from mitotype.evaluation.published import published
from mitotype.evaluation.record import Entry, Evaluation, Group

SHOWN = ("balanced_accuracy", "sensitivity", "specificity", "auroc", "auprc", "brier", "ece")
SHORT = {
    "balanced_accuracy": "bal. acc.",
    "sensitivity": "sens.",
    "specificity": "spec.",
    "brier": "Brier",
}


def number(value: float, digits: int = 3) -> str:
    """A value without its leading zero (.813), or a dash for nan."""
    return "–" if math.isnan(value) else _bare(f"{value:.{digits}f}")


def bounds(interval: Interval) -> str:
    """The bounds (.781–.845), or nothing where there are none."""
    return "" if math.isnan(interval.low) else f"{number(interval.low)}–{number(interval.high)}"


def _bare(text: str) -> str:
    return text.replace("0.", ".", 1) if text.lstrip("+-").startswith("0.") else text


def short(name: str) -> str:
    return SHORT.get(name) or get(name).title


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns that line up: the first to the left, the others to the right."""
    table = [list(head), *map(list, rows)]
    widths = [max(len(row[k]) for row in table) for k in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


def tables(evaluation: Evaluation) -> str:
    """The whole evaluation as text."""
    parts = [evaluation.about.title]
    for entry in evaluation.entries:
        parts += [_entry(entry)]
    fired = [f"{f.code} {f.title}: {f.text}" for f in evaluation.findings if f.text]
    if fired:
        parts.append("checks\n" + "\n".join(f"  {line}" for line in fired))
    if evaluation.notes:
        parts.append("notes\n" + "\n".join(f"  {note}" for note in evaluation.notes))
    parts.append(
        f"{evaluation.level:.0%} intervals: {evaluation.draws} bootstrap draws of cases, seed {evaluation.seed}.\n{NOTICE}"
    )
    return "\n\n".join(parts) + "\n"


def _entry(entry: Entry) -> str:
    head = f"{entry.name}: {entry.patches} patches, {entry.atypical} atypical, {entry.cases} cases"
    if entry.unlabelled:
        head += f", {entry.unlabelled} unlabelled left out"
    rows = []
    for variant in entry.variants:
        shown = [variant.metrics.get(name) for name in SHOWN]
        rows.append([variant.title, *(number(i.value) if i else "–" for i in shown)])
        rows.append(["", *(bounds(i) if i else "" for i in shown)])
    parts = [head, grid(["", *(short(n) for n in SHOWN)], rows)]
    known = published(entry.dataset, entry.part, entry.files)
    if known:
        parts.append(
            f"published best {number(known.balanced_accuracy, 4)} ({known.net}), AUROC {number(known.auroc)} ({known.auroc_net});"
            f" floor of shape descriptors {number(known.floor_single)}, mean of five {number(known.floor_balanced_accuracy)}"
        )
    if len(entry.domains) > 1:
        parts.append(_groups("domain", entry.domains))
    if entry.agreement:
        parts.append(_groups("experts", entry.agreement))
    if entry.experts:
        rows = [
            [f"expert {j.expert}", str(j.patches), number(j.people.value), bounds(j.people), number(j.model.value), bounds(j.model)]
            for j in entry.experts.each
        ]  # fmt: skip
        low, high, mean = (
            number(v) for v in (entry.experts.band_low, entry.experts.band_high, entry.experts.model_mean)
        )
        band = f"band of people {low} to {high}; model {mean}"
        parts.append(
            grid(["against the majority of the others", "patches", "expert", "", "model", ""], rows) + f"\n{band}"
        )
    parts += list(entry.notes)
    return "\n\n".join(parts)


def _groups(kind: str, groups: Sequence[Group]) -> str:
    names = list(groups[0].metrics)
    rows = []
    for group in groups:
        cells = [_cell(group.metrics[name]) for name in names]
        rows.append([group.name, str(group.patches), str(group.atypical), str(group.cases), *cells])
    return grid([kind, "n", "atypical", "cases", *(short(n) for n in names)], rows)


def _cell(interval: Interval) -> str:
    return f"{number(interval.value)} {bounds(interval)}".strip()


def comparison(found: Comparison) -> str:
    """A comparison as text: each metric of both, the difference with its interval, and the two tests."""
    parts = [f"A {found.name_a}\nB {found.name_b}"]
    for one in found.sets:
        rows = [
            [
                short(n),
                _cell(one.a[n]),
                _cell(one.b[n]),
                f"{_signed(one.difference[n].value)} {_between(one.difference[n])}",
            ]
            for n in SHOWN
        ]
        head = f"{one.name}: {one.patches} patches, {one.atypical} atypical, {one.cases} cases"
        if one.only_a or one.only_b:
            head += f" (scored by A alone {one.only_a}, by B alone {one.only_b}: left out)"
        tests = "\n".join(f"{t.name}: p = {number(t.p, 4)} ({t.detail})" for t in (one.delong, one.mcnemar))
        gains = grid(["", "A", "B", "B - A"], rows)
        parts.append(f"{head}\n\n{gains}\n\n{tests}\nboth tests take patches for independent; the intervals do not")
    parts.append(
        f"{found.level:.0%} intervals: {found.draws} paired bootstrap draws of cases, seed {found.seed}.\n{NOTICE}"
    )
    return "\n\n".join(parts) + "\n"


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else _bare(f"{value:+.3f}")


def _between(interval: Interval) -> str:
    return "" if math.isnan(interval.low) else f"[{_signed(interval.low)}, {_signed(interval.high)}]"
