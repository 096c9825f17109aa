"""Small pieces of HTML for notebooks; every text in them is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from mitotype.core.text_tables import printable


def escape(value: object) -> str:
    """Return a value as text of HTML, without a tag and without control characters."""
    return html.escape(printable(str(value)))


def table(title: str, rows: Iterable[Sequence[object]], headers: Sequence[str] = ()) -> str:
    """Return a title and a table below it; without `headers` the first cell of each row is its header."""
    head = f"<thead><tr>{_cells(headers, 'th')}</tr></thead>" if headers else ""
    body = "".join(
        f"<tr>{_cells(row, 'td')}</tr>" if headers else f"<tr>{_cells(row[:1], 'th')}{_cells(row[1:], 'td')}</tr>"
        for row in rows
    )
    return f"<p><strong>{escape(title)}</strong></p><table>{head}<tbody>{body}</tbody></table>"


def _cells(values: Sequence[object], tag: str) -> str:
    return "".join(f"<{tag}>{escape(value)}</{tag}>" for value in values)
