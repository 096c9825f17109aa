"""Labels as text: what the cells of a csv and the names of class folders mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotype.core.errors import UserError
from mitotype.core.schema import ATYPICAL, NORMAL

if TYPE_CHECKING:
    import pandas as pd

CLASS_FOLDERS = {"atypical": ATYPICAL, "amf": ATYPICAL, "normal": NORMAL, "nmf": NORMAL, "mf": NORMAL}  # in any case
LABELS = {**CLASS_FOLDERS, "1": ATYPICAL, "true": ATYPICAL, "0": NORMAL, "false": NORMAL}


def parse_labels(cells: pd.Series, source: str) -> list[float]:
    """Return labels from the cells of a table (see LABELS, in any case); "" becomes nan.

    The index of `cells` holds the lines of the file. Raises a UserError that names the first other cells.
    """
    keys = [str(cell).casefold().removesuffix(".0") for cell in cells]
    invalid = {
        str(cell)[:40]: line
        for line, cell, key in reversed(list(zip(cells.index, cells, keys, strict=True)))
        if key and key not in LABELS
    }
    if invalid:
        shown = ", ".join(
            f"'{cell}' ({cells.index.name or 'line'} {line})" for cell, line in list(reversed(invalid.items()))[:5]
        )
        raise UserError(
            f"{source} has unknown labels: {shown}.",
            allowed="atypical, AMF or 1; normal, NMF or 0; empty for an unlabelled patch",
            fix="fix those cells",
        )
    return [float(LABELS.get(key, float("nan"))) for key in keys]
