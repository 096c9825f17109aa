"""The table as files: table.csv and table.json for machines, table.md and table.html for people, all with the same numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mitotype.core import files, records, templates, text_tables
from mitotype.core.number_format import bounds, mean_sd, number
from mitotype.core.run_layout.evaluation import Number
from mitotype.core.schema import NOTICE, NOTICE_LONG
from mitotype.core.text_tables import escape_markdown as escape
from mitotype.datasets import published
from mitotype.evaluation.metrics import metrics
from mitotype.experiments.grid import Skipped
from mitotype.experiments.results import METRICS, Row, Table


def _titles() -> tuple[str, str]:
    """Return the titles of the two metrics of a row."""
    ba, auroc = (metrics.get(name).head for name in METRICS.values())
    return ba, auroc


def write(table: Table, folder: Path) -> None:
    """Write all four files; each is complete or absent."""
    columns = [field.name for field in dataclasses.fields(Row)]
    files.write_table(folder / "table.csv", pd.DataFrame(list(table.rows), columns=columns))
    records.write(folder / "table.json", table.to_record())
    files.write_text(folder / "table.md", markdown(table))
    files.write_text(folder / "table.html", html(table))


def markdown(table: Table) -> str:
    """Return a Markdown page: a table for each test set, the cells that failed or are skipped, and how it was made."""
    parts = ["# Benchmark", *([escape(table.title)] if table.title else []), f"*{NOTICE}*"]
    for test_set, rows in table.by_test_set.items():
        parts += [f"## {escape(published.title(test_set, rows[0].files))}", _description(rows[0]), markdown_rows(rows)]
    lists = {
        "Notes": table.notes,
        "Failed": _lines(table.failed),
        "Left out": _lines(table.skipped),
        "Still to be trained": table.pending,
        "How it was made": [f"{name}: {value}" for name, value in _settings(table)],
    }
    parts += [
        "\n".join([f"## {title}", *(f"- {escape(line)}" for line in lines)]) for title, lines in lists.items() if lines
    ]
    return "\n\n".join([*parts, NOTICE_LONG]) + "\n"


def markdown_rows(rows: Sequence[Row]) -> str:
    cells = [
        (
            _cell(row) + ("" if row.commercial else " (non-commercial)"), row.weights,
            f"{_parameters(row.parameters)}, {row.members}",
            mean_sd(row.member_ba, row.member_ba_sd), _published(row),
            _ensemble(row.ensemble_ba, row.ensemble_ba_low, row.ensemble_ba_high, row.all_files_ba), number(row.half_ba),
            mean_sd(row.member_auroc, row.member_auroc_sd), mean_sd(row.published_auroc, row.published_auroc_sd),
            _ensemble(row.ensemble_auroc, row.ensemble_auroc_low, row.ensemble_auroc_high, row.all_files_auroc),
            f"{number(row.out_of_fold_ba)}, {number(row.out_of_fold_auroc)}, {number(row.threshold)}",
        )
        for row in rows
    ]  # fmt: skip
    ba, auroc = _titles()
    headers = (
        "cell", "weights", "trained, members", f"members' {ba} at 0.5", "published", f"ensemble {ba}", "at 0.5",
        f"members' {auroc}", "published", f"ensemble {auroc}", f"out of fold {ba}, {auroc}, threshold",
    )  # fmt: skip
    return text_tables.markdown(headers, cells)


def plain(table: Table) -> str:
    """Return the numbers as text for a terminal."""
    parts = [table.title] if table.title else []
    for test_set, rows in table.by_test_set.items():
        cells = [
            (
                _cell(row), mean_sd(row.member_ba, row.member_ba_sd), number(row.published_ba), number(row.ensemble_ba),
                bounds(row.ensemble_ba_low, row.ensemble_ba_high), number(row.half_ba),
                mean_sd(row.member_auroc, row.member_auroc_sd), number(row.published_auroc), number(row.ensemble_auroc),
                bounds(row.ensemble_auroc_low, row.ensemble_auroc_high), number(row.out_of_fold_ba),
            )
            for row in rows
        ]  # fmt: skip
        head = f"{published.title(test_set, rows[0].files)}: {_description(rows[0])}"
        headers = (
            "", "members at 0.5", "published", "ensemble", "", "at 0.5", _titles()[1], "published", "ensemble", "",
            "out of fold",
        )  # fmt: skip
        parts.append(f"{head}\n{text_tables.plain(headers, cells)}")
    for title, skipped in (("failed", table.failed), ("left out", table.skipped)):
        if skipped:
            parts.append("\n  ".join([title, *_lines(skipped)]))
    if table.notes:
        parts.append("\n".join(f"note: {note}" for note in table.notes))
    return "\n\n".join([*parts, NOTICE])


def html(table: Table) -> str:
    """Return one self-contained HTML page, for the screen and for print: every text escaped, no script, font or address."""
    return templates.render(
        "mitotype.experiments",
        "table.html.j2",
        table=table,
        titles=_titles(),
        title=lambda name, rows: published.title(name, rows[0].files),
        failed=_grouped(table.failed),
        skipped=_grouped(table.skipped),
        made=_settings(table),
        sources=published.study_sources(table.by_test_set),
        notice=NOTICE,
        notice_long=NOTICE_LONG,
        number=number,
        bounds=bounds,
        all_files=_all_files,
        parameters=_parameters,
        description=_description,
    )


def _ensemble(value: Number, low: Number, high: Number, all_files: Number) -> str:
    interval = f" ({bounds(low, high)})" if bounds(low, high) else ""
    return "; ".join(filter(None, (number(value) + interval, _all_files(all_files))))


def _published(row: Row) -> str:
    folds = f" (folds 1 … 5: {row.published_ba_folds})" if row.published_ba_folds else ""
    return mean_sd(row.published_ba, row.published_ba_sd) + folds


def _all_files(value: Number) -> str:
    """Return an ensemble's number over all files, if several contain the same image."""
    return "" if value is None else f"all files {number(value)}"


def _parameters(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count:,}"


def _description(row: Row) -> str:
    """Return the composition of a test set."""
    composition = f"{row.atypical} atypical, {row.cases} cases"
    if row.images == row.files:
        return f"{row.files} figures, {composition}"
    return (
        f"{row.files} files; {row.images} distinct images without conflicting labels ({composition}), "
        "on which ensembles are evaluated"
    )


def _cell(row: Row) -> str:
    return f"{row.backbone}, {row.regime if row.regime == 'floor' else row.adaptation}"


def _grouped(cells: Sequence[Skipped]) -> list[tuple[str, str, str]]:
    """Return backbone, adaptations and the reason that they share."""
    adaptations: dict[tuple[str, str], list[str]] = {}
    for skip in cells:
        adaptations.setdefault((skip.backbone, skip.reason), []).append(skip.adaptation)
    return [(backbone, "; ".join(names), reason) for (backbone, reason), names in adaptations.items()]


def _lines(cells: Sequence[Skipped]) -> list[str]:
    return [f"{net}, {names}: {reason}" for net, names, reason in _grouped(cells)]


def _settings(table: Table) -> list[tuple[str, str]]:
    """Return names and values of the settings that are not empty."""
    texts = {name.replace("_", " "): _text(value) for name, value in table.settings.items()}
    return [(name, text) for name, text in texts.items() if text]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items() if _text(item))
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value))
    return str(value)
