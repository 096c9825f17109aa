"""Tables as text: Markdown, and aligned columns for a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return text with control characters, those that reverse its direction, and bytes that are no text escaped.

    Line ends and tabs remain.
    """
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escape_markdown(text: str) -> str:
    """Return printable text in which names contain no tag of HTML and no link of Markdown."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(")


def markdown(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; what is no text in cells is escaped, line breaks become spaces."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    for row in rows:
        cells = (escape_markdown(str(cell)).replace("|", "\\|").replace("\n", " ") for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plain(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return aligned columns under a rule: the first to the left, the others to the right."""
    table = [list(headers), *([str(cell) for cell in row] for row in rows)]
    first, *others = (max(map(len, column)) for column in zip(*table, strict=True))
    lines = [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        for row in table
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])
