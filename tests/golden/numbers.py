"""Stored numbers: flat mappings {path: number} as JSON, and how they are compared."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.golden.package import RENAMED

HERE = Path(__file__).parent
Flat = dict[str, float | int | bool | None]
CLOSE = {"absolute": 1e-3}  # what passes through a net: AVX2 instead of AVX-512 moved it by up to 6e-5
# What is computed from stored logits has the same bits on one machine: GOLDEN_EXACT=1 demands them. Other processors add in
# another order, and an optimiser stops elsewhere: AVX2 moved evaluations by up to 2e-9 and probabilities by up to 5e-8.
SAME_BITS = bool(os.environ.get("GOLDEN_EXACT"))
EXACT = {"relative": 0.0} if SAME_BITS else {"relative": 1e-7, "absolute": 1e-12}
SOLVED = {"relative": 0.0} if SAME_BITS else {"relative": 1e-6}


def flat(value: Any, path: str = "") -> Flat:
    """Every number (bool and null too) of nested dicts and lists by its path; text is left out."""
    if isinstance(value, Mapping):
        items: Any = [item for item in value.items() if item[0] != "format"]
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    elif isinstance(value, str):
        return {}
    else:
        number = value.item() if hasattr(value, "item") else value
        return {path: None if isinstance(number, float) and math.isnan(number) else number}
    return {
        key: number
        for name, item in items
        for key, number in flat(item, f"{path}/{name}" if path else str(name)).items()
    }


def write(name: str, numbers: Mapping[str, Any], *, digits: int | None = None) -> None:
    """Store numbers, one a line; floats are rounded to `digits` where the comparison allows it."""
    rounded = {k: round(v, digits) if digits and isinstance(v, float) else v for k, v in numbers.items()}
    (HERE / name).write_text(json.dumps(rounded, indent=0) + "\n", encoding="utf-8")


def read(name: str) -> Flat:
    """Stored numbers under the names that the package has now."""
    stored = json.loads((HERE / name).read_text(encoding="utf-8"))
    return {renamed(path): number for path, number in stored.items()}


def renamed(path: str) -> str:
    for old, new in RENAMED.items():
        path = re.sub(rf"(?<![^/]){old}(?![^/])", new, path)
    return path


def differences(stored: Flat, current: Flat, *, absolute: float = 0.0, relative: float = 0.0) -> list[str]:
    """What is missing, new or has another value. Whole numbers, bools and nulls must be the same."""
    lines = [f"{path} is missing" for path in stored.keys() - current.keys()]
    lines += [f"{path} is new" for path in current.keys() - stored.keys()]
    for path in stored.keys() & current.keys():
        old, new = stored[path], current[path]
        if isinstance(old, float) and isinstance(new, int | float):
            same = math.isclose(old, new, rel_tol=relative, abs_tol=absolute)
        else:
            same = old == new
        if not same:
            lines.append(f"{path}: {old} stored, {new} now")
    return sorted(lines)


def assert_close(name: str, current: Flat, **tolerance: float) -> None:
    lines = differences(read(name), current, **tolerance)
    shown = "\n".join(lines[:20])
    assert not lines, f"{len(lines)} numbers of {name} differ:\n{shown}"
