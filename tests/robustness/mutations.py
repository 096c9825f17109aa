"""Seeded mutations of bytes, of JSON, of csv text, of TIFF tags and of PNG chunks, and values that nobody expects."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

TEXTS = (
    "", " ", "\0", "\x1b[2J", "é", "\u202e", "\ud800", "NaN", "nan", "-1", "0", "1e999", "9" * 400, "x" * 255, "y" * 5000,
    "../../etc/passwd", "/etc/passwd", "/dev/null", "/proc/self/mem", "C:\\x", "a/b", ".", "..", "~", "~nobody/x", "=1+1",
    "-rf", "--out", "{}", "[]", "null", "true", "<script>", "%s%n", "1j", "0x10", "1_000", "١", "crop(64)",
)  # fmt: skip
NUMBERS = (0, -1, 1, 2, 3, 255, 2**31, 2**53, 2**64, 10**400, -0.5, 0.5, 1.5, 1e-320, 1e308, -1e308)
VALUES: tuple[Any, ...] = (
    *TEXTS, *NUMBERS, None, True, False, [], {}, [[]], [{}], [None], {"": None}, [0] * 1000, ["a"] * 1000,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
SPECS = (
    "(" * 300, "((((((1))))))", "-" * 300 + "1", "a" * 501, "crop(" * 90, "crop(64) | " * 40, "[" * 250, "crop(9" + "9" * 400 + ")",
    "crop(1j)", "crop(b'x')", "crop(64, 64)", "crop(-64)", "crop(0)", "crop(1)", "crop(1e5)", "crop(1e300)",
    "lambda: 0", "crop(x=1)", "crop(*a)", "crop(**a)",
    "d4 | d4", "soft_bce + 1e999 * bce", "0 * soft_bce", "-1 * soft_bce", "soft_bce * 2", "\0", "crop(64) # x", "crop\n(64)", "crop(64);1",
    "__import__('os')", "crop(__class__)", "a.b(1)", "f'{x}'", "...", "True", "None", "1", "()", "(1,)", "crop((1, 2))", "é(1)",
    "lora(0)", "lora(1e9)", "lora(8, 16, 0.3)", "full(0)", "full(2)", "prompts(0)", "prompts(1e9)", "share(1)",
    "share(-1)", "plateau(0, 0)",
    "class_balanced(9)", "sensitivity(2)", "not " * 100 + "1", "1 if 1 else 2", "a " + "| a" * 120, "+".join("a" * 200), "crop(1_0)",
)  # fmt: skip


def mutate_bytes(raw: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to four edits: flipped, cut, doubled, removed, inserted, zeroed; near the start more often."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        size = len(data)
        at = rng.randrange(min(size, 64) if rng.random() < 0.5 else size) if size else 0
        end = min(size, at + rng.choice((1, 2, 4, 16, 256, 4096)))
        edit = rng.randrange(8)
        if edit == 0 and size:
            data[at] ^= 1 << rng.randrange(8)
        elif edit == 1:
            del data[at:]
        elif edit == 2:
            del data[at:end]
        elif edit == 3:
            data[at:at] = rng.randbytes(rng.choice((1, 2, 8, 64)))
        elif edit == 4:
            data[at:end] = bytes(end - at)
        elif edit == 5:
            data[at:at] = data[at:end]
        elif edit == 6:
            data[at:end] = rng.choice((b"\xff", b"\x7f", b"\x80")) * (end - at)
        elif size >= 4:
            struct.pack_into("<I", data, min(at, size - 4), rng.choice((0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)))
    return bytes(data)


def mutate_json(raw: bytes, rng: random.Random) -> bytes:
    """Return a JSON document with one to three values replaced, keys removed, renamed or added, or its text damaged."""
    if rng.random() < 0.12:
        return mutate_bytes(raw, rng)
    if rng.random() < 0.05:
        return rng.choice(
            (b"", b"[]", b"{}", b"null", b"1", b'"x"', b"[" * 100_000, b'{"a":' * 5000, b"\xef\xbb\xbf" + raw, raw * 2)
        )
    value = json.loads(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _mutate_value(value, rng)
    return json.dumps(value, ensure_ascii=rng.random() < 0.9).encode("utf-8", "surrogatepass")


def _mutate_value(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.95:
        key = rng.choice(list(value))
        draw = rng.random()
        if draw < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if draw < 0.15:
            return value | {rng.choice(TEXTS): rng.choice(VALUES)}
        if draw < 0.2:
            return {rng.choice(TEXTS) if k == key else k: v for k, v in value.items()}
        return value | {key: _mutate_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        i, draw = rng.randrange(len(value)), rng.random()
        if draw < 0.15:
            return value[:i] + value[i + 1 :]
        if draw < 0.25:
            return value[: i + 1] + value[i:]
        return [*value[:i], _mutate_value(value[i], rng), *value[i + 1 :]]
    if isinstance(value, str) and value and rng.random() < 0.4:
        return value[: rng.randrange(len(value))] + rng.choice(TEXTS)
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.4:
        return rng.choice((-value, value + 1, value * 2**40, value / 3, str(value)))
    return rng.choice(VALUES)


def mutate_csv(text: str, rng: random.Random) -> bytes:
    """Return a csv with cells, columns, lines, separators, quotes or the encoding changed."""
    rows = [line.split(",") for line in text.strip().split("\n")]
    for _ in range(rng.choice((1, 1, 2, 3))):
        row, column = rng.randrange(len(rows)), rng.randrange(len(rows[0]))
        edit = rng.randrange(10)
        if edit <= 2:
            row = max(row, 1) if len(rows) > 1 else 0
            rows[row][min(column, len(rows[row]) - 1)] = rng.choice((*TEXTS, *map(str, NUMBERS)))
        elif edit == 3:
            rows[0][min(column, len(rows[0]) - 1)] = rng.choice((*TEXTS, rng.choice(rows[0])))
        elif edit == 4:
            rows = [[cell for i, cell in enumerate(line) if i != column] or [""] for line in rows]
        elif edit == 5:
            rows = [[*line, line[min(column, len(line) - 1)]] for line in rows]
        elif edit == 6:
            rows = rows[: rng.choice((1, 2, row + 1))]
        elif edit == 7:
            rows[row:row] = [list(rows[row])]
        elif edit == 8:
            rows[row] = rng.choice(([], [""], rows[row] * 2, rows[row][:1], ['"' + rows[row][0]]))
            rows[row] = rows[row] or [""]
        else:
            rows = [
                [rng.choice((cell, "")) if i == column and n else cell for i, cell in enumerate(line)]
                for n, line in enumerate(rows)
            ]
    result = rng.choice((",",) * 8 + (";", "\t")).join(("",)) or ""
    separator = rng.choice((",",) * 12 + (";", "\t", "|"))
    result = rng.choice(("\n",) * 8 + ("\r\n", "\r")).join(separator.join(line) for line in rows) + rng.choice(
        ("\n", "", "\n\n")
    )
    raw = result.encode(rng.choice(("utf-8",) * 10 + ("utf-16", "latin-1", "utf-8-sig")), "replace")
    return mutate_bytes(raw, rng) if rng.random() < 0.2 else raw


def mutate_spec(text: str, rng: random.Random) -> str:
    """Return a spec or value of a recipe with a character, a number or a part changed, or another text."""
    draw = rng.random()
    if draw < 0.4:
        return rng.choice(SPECS)
    if draw < 0.5:
        return rng.choice(TEXTS)
    if draw < 0.6:
        return str(rng.choice(NUMBERS))
    at = rng.randrange(len(text) + 1)
    insert = rng.choice(
        (
            "(",
            ")",
            "|",
            "+",
            "*",
            ",",
            "=",
            "-",
            ".",
            "9" * 30,
            "e9",
            "1e400",
            "\0",
            " ",
            "'",
            "0",
            "x",
            "\n",
            "j",
            "~",
            "**",
        )
    )
    return rng.choice(
        (
            text[:at] + insert + text[at:],
            text[:at] + text[at + 1 :],
            text[:at],
            text + insert + text,
            text[:at] + insert,
        )
    )


def mutate_tiff(raw: bytes, rng: random.Random) -> bytes:
    """Return a little-endian TIFF with entries of its first directory removed or given another tag, type, count or value."""
    data = bytearray(raw)
    if data[:4] != b"II*\0":
        return mutate_bytes(raw, rng)
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for _ in range(rng.choice((1, 1, 2, 3))):
        entry = at + 2 + 12 * rng.randrange(count)
        edit = rng.randrange(5)
        if edit == 0:  # the tag becomes a private one: as good as removed
            struct.pack_into("<H", data, entry, 65000 + rng.randrange(500))
        elif edit == 1:
            struct.pack_into("<H", data, entry + 2, rng.choice((0, 1, 2, 3, 4, 5, 7, 11, 12, 16, 99)))
        elif edit == 2:
            struct.pack_into("<I", data, entry + 4, rng.choice((0, 1, 2, 3, 100, 2**16, 2**31, 2**32 - 1)))
        elif edit == 3:
            struct.pack_into(
                "<I", data, entry + 8, rng.choice((0, 1, 2, 5, 8, 32, 64, 33003, 2**16, 2**31, 2**32 - 1, len(data)))
            )
        else:
            struct.pack_into(
                "<H", data, rng.choice((at, entry)), rng.choice((0, 1, 256, 257, 258, 259, 262, 277, 278, 284, 65535))
            )
    return bytes(data)


def mutate_png(raw: bytes, rng: random.Random) -> bytes:
    """Return a PNG with a chunk changed, doubled, moved or removed; checksums are right, so that the change is read."""
    chunks, at = [], 8
    while at + 8 <= len(raw):
        (size,) = struct.unpack_from(">I", raw, at)
        chunks.append((raw[at + 4 : at + 8], raw[at + 8 : at + 8 + size]))
        at += 12 + size
    i = rng.randrange(len(chunks))
    kind, body = chunks[i]
    edit = rng.randrange(6)
    if edit <= 2:
        chunks[i] = (kind, mutate_bytes(body, rng))
    elif edit == 3:
        chunks.insert(rng.randrange(len(chunks)), chunks[i])
    elif edit == 4:
        del chunks[i]
    else:
        name = rng.choice(
            (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"acTL", b"fcTL", b"fdAT", b"tRNS", b"PLTE", b"gAMA", b"eXIf", b"pHYs")
        )
        chunks.insert(
            1, (name, rng.choice((b"", rng.randbytes(9), b"a\0\0" + zlib.compress(bytes(10_000)), bytes(26))))
        )
    return raw[:8] + b"".join(
        struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks
    )


MUTATIONS_BY_SUFFIX: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".tif": mutate_tiff,
    ".png": mutate_png,
    ".json": mutate_json,
}


def mutate_file(raw: bytes, suffix: str, rng: random.Random) -> bytes:
    """Return a mutation by the structure of a format, or of the bytes."""
    structured = MUTATIONS_BY_SUFFIX.get(suffix)
    return structured(raw, rng) if structured and raw and rng.random() < 0.6 else mutate_bytes(raw, rng)
