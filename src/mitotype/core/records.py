"""JSON files as frozen typed records, encoded and decoded by msgspec: right types, finite numbers, no unknown keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from mitotype.core import files
from mitotype.core.errors import UserError

MAX_BYTES = 64 * 2**20

Name = Annotated[str, Meta(min_length=1, max_length=200)]
FileName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}$")
]  # a single part of a path, never "..", never hidden
Text = Annotated[str, Meta(max_length=10_000)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{16,64}$")]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Share = Annotated[float, Meta(ge=0, le=1)]
Scalar = str | int | float | bool | None


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object. A subclass that replaces an older format maps the keys of that format in `upgrade`."""

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Return a decoded object of an older format with the keys of this one."""
        return value


class Format2(Record, frozen=True, kw_only=True):
    """A record that is a file of its own and carries its format. 0.1.0 wrote format 1, mostly without the key."""

    format: Literal[2] = 2


R = TypeVar("R", bound=Struct)
INVALID = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)  # what decoding raises on hostile input


def encode(record: Any) -> bytes:
    """Return indented UTF-8 JSON; nan and infinity become null."""
    return msgspec.json.format(msgspec.json.encode(record, enc_hook=_to_builtin), indent=2) + b"\n"


def to_builtins(record: Any) -> Any:
    """Return a record as dicts, lists, numbers and text."""
    return msgspec.to_builtins(record, enc_hook=_to_builtin)


def _to_builtin(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    raise NotImplementedError(f"{type(value).__name__} is not written as JSON")


def decode(raw: bytes, record: type[R], source: str) -> R:
    """Return the record that `raw` holds. Raises a UserError that names `source` and the key for whatever does not fit."""
    try:
        return msgspec.json.decode(raw, type=record, strict=True)
    except INVALID as error:
        message = str(error)
    try:
        value = msgspec.json.decode(raw)
        if issubclass(record, Record) and isinstance(value, dict) and value.get("format", 1) == 1:
            return msgspec.convert(record.upgrade(value), type=record, strict=True)
    except msgspec.ValidationError as error:
        message = str(error)
    except (*INVALID, LookupError, TypeError, AttributeError):
        pass
    message = message.replace("`$.", "key `").replace(" - at `$`", "")
    raise UserError(f"{source} is not valid: {message}.", fix="restore it from a copy, or make it again")


def read(path: Path, record: type[R], *, what: str = "file", max_bytes: int = MAX_BYTES) -> R:
    """Return the record in a JSON file. Raises a UserError for an absent, huge or damaged file."""
    return decode(files.read_bytes(path, what=what, max_bytes=max_bytes), record, f"The {what} '{path}'")


def write(path: Path, record: Any) -> None:
    """Write a record as a JSON file that is complete or absent."""
    files.write_bytes(path, encode(record))


def append(path: Path, record: Any) -> None:
    """Add a record as one line to a file of JSON lines."""
    files.append_line(path, msgspec.json.encode(record, enc_hook=_to_builtin))


def read_lines(path: Path, record: type[R], *, what: str = "file") -> list[R]:
    """Return the records in a file of JSON lines, none where it is absent. Half a last line of a killed process is ignored.

    Raises a UserError that names the file and the line for any other damage.
    """
    if not path.is_file():
        return []
    lines = files.read_bytes(path, what=what, max_bytes=MAX_BYTES).split(b"\n")
    complete = [*lines[:-1], *([lines[-1]] if _is_json(lines[-1]) else [])]
    return [
        decode(line, record, f"Line {number} of the {what} '{path}'")
        for number, line in enumerate(complete, 1)
        if line.strip()
    ]


def _is_json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except INVALID:
        return False
    return True


def renamed(value: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return `value` with the keys in `names` replaced; a new key that is present wins."""
    return {
        names.get(key, key): item
        for key, item in value.items()
        if names.get(key, key) == key or names[key] not in value
    }


def convert(record: Struct, kind: type[R]) -> R:
    """Return a record as another type with the same fields, such as a subclass with methods."""
    return msgspec.convert(record, kind, from_attributes=True)
