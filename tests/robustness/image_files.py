"""Kinds of trials on images: damaged files, decompression bombs, lists of images, tables of labels, tables of scores."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from pathlib import Path

from PIL import Image

from mitotype.core import images
from mitotype.datasets.download import archives
from tests.robustness.mutations import mutate_csv, mutate_file
from tests.robustness.trial import Sandbox, Trial


def image(box: Sandbox) -> Trial:
    source, rng = box.pick("images/*"), box.rng
    suffix = source.suffix if rng.random() < 0.9 else rng.choice(images.SUFFIXES)
    path = box.folder / "in" / f"x{suffix}"
    path.parent.mkdir()
    path.write_bytes(mutate_file(source.read_bytes(), source.suffix, rng))
    return _reader(box, path)


def _reader(box: Sandbox, path: Path) -> Trial:
    """Return a command that reads an image: classify, audit, embed, or the function below them."""
    bundle, draw = str(box.material / "bundle"), box.rng.random()
    if draw < 0.3:
        return Trial(["classify", str(path), "--bundle", bundle])
    if draw < 0.5:
        out = box.out / f"x{box.rng.choice(('.csv', '.json', '.parquet'))}"
        good = str(box.material / "images" / "rgb.png")
        return Trial(["classify", good, str(path.parent), "--bundle", bundle, "--out", str(out)], out=(out,))
    if draw < 0.7:
        return Trial(["audit", str(path.parent)])
    if draw < 0.8:
        out = box.out / "e.csv"
        return Trial(["embed", "morphology", "--data", str(path.parent), "--out", str(out)], out=(out,))
    return Trial(call=lambda: list(images.iter_pages(path)))


def bomb(box: Sandbox) -> Trial:
    rng = box.rng
    path = box.folder / "in" / f"bomb{rng.choice(('.png', '.tif', '.zip', '.csv', '.json', '.webp', '.bmp', '.jpg'))}"
    path.parent.mkdir()
    if path.suffix == ".zip":
        _zip_bomb(path, rng)
        return Trial(call=lambda: archives.unpack(path, box.out), out=(box.out,))
    if path.suffix == ".csv":
        path.write_bytes(_csv_bomb(rng))
        option = rng.choice(
            (
                ["audit", str(path)],
                ["classify", str(path)],
                ["evaluate", str(path), "--n-boot", "20", "--out", str(box.out / "r.html")],
            )
        )
        return Trial(option, out=(box.out,))
    if path.suffix == ".json":
        return _json_bomb(box)
    path.write_bytes(_image_bomb(path.suffix, rng))
    return _reader(box, path)


def _image_bomb(suffix: str, rng: random.Random) -> bytes:
    """Return a small file that states or unfolds a huge image, or many pages."""
    side = rng.choice((4097, 20_000, 100_000, 2**20, 2**31 - 1))
    if suffix == ".png":
        rows = zlib.compress(bytes(rng.choice((10, 10**6, 3 * 10**7))), 9)
        header = struct.pack(
            ">IIBBBBB",
            side,
            rng.choice((1, side, 2**31 - 1)),
            rng.choice((1, 8, 16)),
            rng.choice((0, 2, 3, 6)),
            0,
            0,
            rng.choice((0, 1)),
        )
        text = b"a\0\0" + zlib.compress(bytes(rng.choice((10**6, 10**8))), 9)
        chunks = [
            (b"IHDR", header),
            *[(rng.choice((b"zTXt", b"iCCP")), text)] * rng.choice((0, 1, 40)),
            (b"IDAT", rows),
            (b"IEND", b""),
        ]
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks
        )
    raw = io.BytesIO()
    tile = Image.new("RGB", (4, 4))
    if suffix == ".tif":
        pages = rng.choice((1, 300, 3000))
        Image.new("RGB", (rng.choice((1, 4, 4096, 5000)), rng.choice((1, 4096, 4097)))).save(
            raw, format="TIFF", compression="tiff_adobe_deflate", save_all=pages > 1, append_images=[tile] * (pages - 1)
        )
        data = bytearray(raw.getvalue())
        if rng.random() < 0.5:  # the directories form a loop, or the first has another size
            (at,) = struct.unpack_from("<I", data, 4)
            (count,) = struct.unpack_from("<H", data, at)
            struct.pack_into(
                "<I", data, rng.choice((at + 2 + 12 * count, at + 2 + 8, at + 14 + 8)), rng.choice((at, side, 8))
            )
        return bytes(data)
    Image.new("RGB", (rng.choice((4096, 4097, 9000)), rng.choice((16, 4097)))).save(
        raw, format={".webp": "WEBP", ".bmp": "BMP", ".jpg": "JPEG"}[suffix]
    )
    data = bytearray(raw.getvalue())
    if suffix == ".bmp":
        struct.pack_into("<ii", data, 18, side % 2**31, rng.choice((1, -1, 2**31 - 1, -(2**31))))
    return bytes(data)


def _zip_bomb(path: Path, rng: random.Random) -> None:
    with zipfile.ZipFile(path, "w", rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))) as archive:
        count, size = rng.choice(((1, 2 * 10**6), (3, 10**6), (2000, 10), (100, 10**5)))
        for number in range(count):
            archive.writestr(f"d{number}/" * rng.choice((1, 40)) + "x.png", bytes(size))
    if rng.random() < 0.6:
        data = bytearray(path.read_bytes())
        central = data.rfind(b"PK\x01\x02")
        struct.pack_into("<I", data, central + rng.choice((20, 24, 42)), rng.choice((0, 1, 2**31, 2**32 - 1)))
        path.write_bytes(data)


def _csv_bomb(rng: random.Random) -> bytes:
    head = b"patch_id,path,label,score,case_id\n"
    return rng.choice((
        head + b"a" * 10**7, b"," * 10**5, b"a," * 20_000 + b"\n" + b"1," * 20_000, head + b'"' + b"x\n" * 10**6, head + b"\n" * 10**6,
        head + b"p,x.png,1,0.5,c\n" * 100_000, head + b"p,x.png," + b"9" * 10**5 + b",0.5,c\n", b"\0" * 10**6,
        head + b"p,x.png,1,1e" + b"9" * 1000 + b",c\n",
    ))  # fmt: skip


def _json_bomb(box: Sandbox) -> Trial:
    """Put a huge or deeply nested document in the box of bundle.json or run.json."""
    rng = box.rng
    raw = rng.choice((b"[" * 10**6, b'{"a":' * 10**6, b"[" + b"1," * 10**6 + b"1]",
    b'{"name": "' + b"x" * 10**7 + b'"}', b"9" * 10**5, b" " * 10**7,
                      b'{"a":1,' * 3, b'"\\ud800"'))  # fmt: skip
    if rng.random() < 0.5:
        (box.copy("bundle") / "bundle.json").write_bytes(raw)
        return Trial(["classify", str(box.material / "images" / "rgb.png"), "--bundle", str(box.folder / "bundle")])
    (box.copy("run") / rng.choice(("run.json", "decision.json", "ood.json"))).write_bytes(raw)
    return Trial(["bundle", str(box.folder / "run"), "--out", str(box.out)], out=(box.out,))


def image_list(box: Sandbox) -> Trial:
    box.copy("set")
    path = box.folder / "list.csv"
    path.write_bytes(mutate_csv((box.material / "list.csv").read_text(), box.rng))
    out = box.out / "p.csv"
    return Trial(["classify", str(path), "--bundle", str(box.material / "bundle"), "--out", str(out)], out=(out,))


def labels(box: Sandbox) -> Trial:
    box.copy("set")
    path = box.folder / "labels.csv"
    path.write_bytes(mutate_csv((box.material / "labels.csv").read_text(), box.rng))
    draw, out = box.rng.random(), box.out
    if draw < 0.4:
        return Trial(["audit", str(path)])
    if draw < 0.6:
        return Trial(["score", str(box.material / "bundle"), "--on", str(path), "--out", str(out)], out=(out,))
    if draw < 0.8:
        scores = str(box.material / "scores.csv")
        return Trial(
            ["evaluate", scores, "--on", str(path), "--n-boot", "20", "--out", str(out / "report.html")], out=(out,)
        )
    return Trial(["embed", "morphology", "--data", str(path), "--out", str(out / "e.csv")], out=(out,))


def scores(box: Sandbox) -> Trial:
    path, draw = box.folder / "scores.csv", box.rng.random()
    path.write_bytes(mutate_csv((box.material / "scores.csv").read_text(), box.rng))
    on = ["--on", str(box.material / "labels.csv")] if box.rng.random() < 0.4 else []
    if draw < 0.6:
        return Trial(
            ["evaluate", str(path), *on, "--n-boot", "20", "--out", str(box.out / "report.html")], out=(box.out,)
        )
    return Trial(["compare", str(path), str(box.material / "scores.csv"), *on, "--n-boot", "20"])
