"""The table as files: table.csv and table.json for machines, table.md and table.html for people, all with the same numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mitotype.core import files
from mitotype.core.words import NOTICE, NOTICE_LONG
from mitotype.evaluation import published
from mitotype.jobs.grid import LeftOut
from mitotype.jobs.table import Row, Table

HEADS = (
    "cell", "weights", "trained, members", "members' BA at 0.5", "published", "ensemble BA", "at 0.5", "members' AUROC", "published",
    "ensemble AUROC", "out of fold BA, AUROC, threshold",
)  # fmt: skip


def write(table: Table, folder: Path) -> None:
    """All four files; each is whole or absent."""
    import pandas as pd

    lines = [dataclasses.asdict(row) for row in table.rows]
    files.write_table(folder / "table.csv", pd.DataFrame(lines, columns=[f.name for f in dataclasses.fields(Row)]))
    files.write_json(folder / "table.json", table.to_dict())
    files.write_text(folder / "table.md", markdown(table))
    files.write_text(folder / "table.html", html(table))


def number(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def spread(value: float, sd: float) -> str:
    return number(value) if math.isnan(sd) else f"{number(value)} ± {number(sd)}"


def bounds(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{number(low)}–{number(high)}"


def within(value: float, low: float, high: float) -> str:
    return f"{number(value)} ({bounds(low, high)})" if bounds(low, high) else number(value)


def every(value: float) -> str:
    """An ensemble's number over all files, where some hold the same picture."""
    return "" if math.isnan(value) else f"all files {number(value)}"


def judged(value: float, low: float, high: float, over_all: float) -> str:
    return "; ".join(filter(None, (within(value, low, high), every(over_all))))


def parameters(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count:,}"


def heading(row: Row) -> str:
    """What a test set is made of."""
    made = f"{row.atypical} atypical, {row.cases} cases"
    if row.pictures == row.files:
        return f"{row.files} figures, {made}"
    return f"{row.files} files; {row.pictures} distinct pictures without conflicting labels ({made}), by which ensembles are judged"


def title_of(test_set: str, rows: Sequence[Row]) -> str:
    found = published.published(test_set, "test", rows[0].files)
    return found.title if found else test_set


def cell(row: Row) -> str:
    return f"{row.backbone}, {row.regime if row.regime == 'floor' else row.adaptation}"


def reasons(cells: Sequence[LeftOut]) -> list[tuple[str, str, str]]:
    """Net, adaptations and the reason that they share."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in cells:
        found.setdefault((one.cell.backbone, one.reason), []).append(one.cell.adaptation)
    return [(net, "; ".join(words), why) for (net, why), words in found.items()]


def markdown(table: Table) -> str:
    """One table for each test set, the cells left out, how it was made."""
    parts = ["# Benchmark", *([table.title] if table.title else []), f"*{NOTICE}*"]
    for test_set, rows in table.sets.items():
        parts += [f"## {title_of(test_set, rows)}", heading(rows[0]), text_table(rows)]
    if table.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in table.notes)]
    for title, cells in (("Failed", table.failed), ("Left out", table.left_out)):
        if cells:
            parts += [f"## {title}", "\n".join(f"- {net}, {words}: {why}" for net, words, why in reasons(cells))]
    if table.pending:
        parts += ["## Still to be trained", "\n".join(f"- {cell}" for cell in table.pending)]
    parts += ["## How it was made", *(f"- {name}: {value}" for name, value in _made(table.made)), NOTICE_LONG]
    return "\n\n".join(parts).replace("\n\n- ", "\n- ") + "\n"


def text_table(rows: Sequence[Row]) -> str:
    lines = ["| " + " | ".join(HEADS) + " |", "|---" * len(HEADS) + "|"]
    for row in rows:
        flag = "" if row.commercial else " (non-commercial)"
        cells = (
            f"{cell(row)}{flag}", row.weights, f"{parameters(row.parameters)}, {row.members}",
            spread(row.member_ba, row.member_ba_sd), spread(row.published_ba, row.published_ba_sd),
            judged(row.ensemble_ba, row.ensemble_ba_low, row.ensemble_ba_high, row.all_files_ba), number(row.half_ba),
            spread(row.member_auroc, row.member_auroc_sd), spread(row.published_auroc, row.published_auroc_sd),
            judged(row.ensemble_auroc, row.ensemble_auroc_low, row.ensemble_auroc_high, row.all_files_auroc),
            f"{number(row.out_of_fold_ba)}, {number(row.out_of_fold_auroc)}, {number(row.threshold)}",
        )  # fmt: skip
        lines.append("| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |")
    return "\n".join(lines)


def plain(table: Table) -> str:
    """The numbers as text for a terminal."""
    from mitotype.evaluation.text import grid

    parts = [table.title] if table.title else []
    head = (
        "", "members at 0.5", "published", "ensemble", "", "at 0.5", "AUROC", "published", "ensemble", "", "out of fold",
    )  # fmt: skip
    for test_set, rows in table.sets.items():
        lines = [
            (
                cell(row), spread(row.member_ba, row.member_ba_sd), number(row.published_ba), number(row.ensemble_ba),
                bounds(row.ensemble_ba_low, row.ensemble_ba_high), number(row.half_ba),
                spread(row.member_auroc, row.member_auroc_sd), number(row.published_auroc), number(row.ensemble_auroc),
                bounds(row.ensemble_auroc_low, row.ensemble_auroc_high), number(row.out_of_fold_ba),
            )
            for row in rows
        ]  # fmt: skip
        parts.append(f"{title_of(test_set, rows)}: {heading(rows[0])}\n{grid(head, lines)}")
    for title, cells in (("failed", table.failed), ("left out", table.left_out)):
        if cells:
            parts.append(f"{title}\n" + "\n".join(f"  {net}, {words}: {why}" for net, words, why in reasons(cells)))
    if table.notes:
        parts.append("\n".join(f"note: {note}" for note in table.notes))
    return "\n\n".join([*parts, NOTICE])


def html(table: Table) -> str:
    """One page that opens anywhere and prints. Every text in it is escaped; no script, no font, no address."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mitotype.jobs", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        number=number, spread=spread, bounds=bounds, every=every, parameters=parameters, heading=heading, nan=math.isnan
    )
    sets = [{"title": title_of(name, rows), "anchor": f"set-{name}", "rows": rows} for name, rows in table.sets.items()]
    return environment.get_template("table.html.j2").render(
        table=table,
        sets=sets,
        failed=reasons(table.failed),
        left_out=reasons(table.left_out),
        made=_made(table.made),
        source=published.STUDY_SOURCE,
        notice=NOTICE,
        notice_long=NOTICE_LONG,
    )


def _made(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was asked, in words; what is empty is not told."""
    return [(name.replace("_", " "), _said(value)) for name, value in made.items() if value not in ("", None, [], {})]


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(item)}" for key, item in value.items() if item not in ("", None, [], {}))
    if isinstance(value, list | tuple):
        return "; ".join(map(_said, value))
    return str(value)
