"""Kinds of trials on what is trained: bundles, runs, recipes, weights, and the arguments of commands."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import pandas as pd
import torch
from msgspec.structs import replace

from mitotype.api import training
from mitotype.core import files, records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import BundleRecord, bundle_digest, names
from mitotype.fit import recipe as recipes
from mitotype.fit.validate import validate_recipe
from mitotype.losses import Objective
from mitotype.transforms import Augment, Frame, tta_views
from tests import synthetic_cohort
from tests.robustness.mutations import SPECS, TEXTS, VALUES, mutate_bytes, mutate_file, mutate_json, mutate_spec
from tests.robustness.trial import Sandbox, Trial

WRITTEN_BY_SCORE = ("scores.parquet", "patches.parquet", "openings.jsonl", "decision.json")
WRITTEN_BY_EVALUATE = ("report.html", "report-out-of-fold.html", "evaluation.json", "evaluation-out-of-fold.json")


def bundle(box: Sandbox) -> Trial:
    rng, folder = box.rng, box.copy(box.rng.choice(("bundle", "morphology")), "b")
    path = rng.choice([p for p in sorted(folder.rglob("*")) if p.is_file()] + [folder / names.BUNDLE] * 3)
    _damage(path, box)
    if rng.random() < 0.6:
        _seal(folder)
    image, draw = str(box.material / "images" / "rgb.png"), rng.random()
    if draw < 0.6:
        return Trial(["classify", image, "--bundle", str(folder)])
    if draw < 0.75:
        return Trial(["classify", image, "--bundle", str(folder), "--words", "--json"])
    return Trial(
        ["score", str(folder), "--on", str(box.material / "labels.csv"), "--out", str(box.out)], out=(box.out,)
    )


def _damage(path: Path, box: Sandbox) -> None:
    """Change a file, remove it, or put a folder or a link in its box."""
    draw = box.rng.random()
    if draw < 0.9:
        path.write_bytes(
            mutate_file(path.read_bytes(), path.suffix, box.rng)
            if path.suffix != ".json"
            else mutate_json(path.read_bytes(), box.rng)
        )
        return
    path.unlink()
    if draw < 0.94:
        path.mkdir()
    elif draw < 0.97:
        path.symlink_to(box.rng.choice(("/etc/passwd", "/dev/null", "nowhere", ".", path.name)))


def _seal(folder: Path) -> None:
    """Make a changed bundle consistent, as somebody would who wants it to be read: digests of the files and its own."""
    for member in folder.glob(f"{names.MEMBERS}/*/{names.MEMBER}"):
        weights = next(
            (member.with_name(n) for n in (names.WEIGHTS, names.HEAD) if member.with_name(n).is_file()), None
        )
        try:
            record = json.loads(member.read_bytes())
            if weights:
                raw = weights.read_bytes()
                record["digest"] = (
                    files.digest_of(raw) if weights.name == names.WEIGHTS else hashlib.sha256(raw).hexdigest()
                )
            member.write_text(json.dumps(record))
        except (OSError, ValueError, TypeError, KeyError):
            continue
    path = folder / names.BUNDLE
    try:
        value = json.loads(path.read_bytes())
        value["files"] = {
            name: files.sha256(folder / name) if (folder / name).is_file() else d for name, d in value["files"].items()
        }
        record = records.decode(json.dumps(value).encode(), BundleRecord, "bundle")
        record = replace(record, format=2, digest="")
        records.write(path, replace(record, digest=bundle_digest(record)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, UserError):
        return


def run(box: Sandbox) -> Trial:
    rng, folder, out = box.rng, box.copy("run"), box.out
    commands: list[Trial] = [
        Trial(
            ["evaluate", str(folder), "--part", "out-of-fold", "--n-boot", "20"],
            may_change=WRITTEN_BY_EVALUATE,
            out=(folder,),
        ),
        Trial(["evaluate", str(folder), "--n-boot", "20", "--out", str(out / "report.html")], out=(out,)),
        Trial(["bundle", str(folder), "--out", str(out)], out=(out,)),
        Trial(["classify", str(box.material / "images" / "rgb.png"), "--bundle", str(folder)]),
        Trial(["compare", str(folder), str(box.material / "scores.csv"), "--n-boot", "20"]),
        Trial(
            ["score", str(folder), "--on", str(box.material / "labels.csv")],
            may_change=WRITTEN_BY_SCORE,
            out=(folder,),
        ),
        Trial(call=lambda: training.load_recipe(folder)),
    ]
    path = rng.choice(
        [p for p in sorted(folder.rglob("*")) if p.is_file()]
        + [folder / names.RUN, folder / names.DECISION, folder / names.PATCHES, folder / names.SCORES]
    )
    if path.suffix == ".parquet" and rng.random() < 0.7:
        _mutate_table(path, box)
    else:
        _damage(path, box)
    if path.name != names.RUN and rng.random() < 0.3:  # with another run.json it might train for days
        (folder / names.DONE).unlink(missing_ok=True)
        return Trial(
            ["resume", str(folder)],
            may_change=(
                "run.json",
                "DONE",
                "decision.json",
                "ood.json",
                "log.jsonl",
                "scores.parquet",
                "patches.parquet",
                "model.safetensors",
                "member.json",
            ),
            out=(folder,),
        )
    return rng.choice(commands)


def _mutate_table(path: Path, box: Sandbox) -> None:
    """Change cells, columns or rows of a parquet table."""
    rng, rows = box.rng, pd.read_parquet(path)
    column, edit = rng.choice(list(rows.columns)), rng.randrange(7)
    if edit == 0:
        rows = rows.drop(columns=column)
    elif edit == 1:
        rows[column] = rows[column].astype(str) if rng.random() < 0.5 else range(len(rows))
    elif edit == 2:
        rows = rows.head(rng.choice((0, 1, 2)))
    elif edit == 3:
        rows = pd.concat([rows, rows.head(3)])
    elif edit == 4:
        rows[column] = None
    elif edit == 5:
        rows[column] = [rng.choice([text for text in TEXTS if text.isascii()]) for _ in rows.index]
    elif pd.api.types.is_numeric_dtype(rows[column]):
        rows[column] = rows[column].astype(float)
        rows.loc[rows.index[: rng.choice((1, 99))], column] = rng.choice((float("nan"), float("inf"), -1.0, 1e308))
    try:
        rows.to_parquet(path, index=False)
    except (UnicodeEncodeError, ValueError):
        path.write_bytes(b"")


def recipe(box: Sandbox) -> Trial:
    """A field of a recipe from the command line; what passes validation is applied to two small images."""
    rng = box.rng
    settings = []
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice([*recipes.FIELDS, "augment", "objective", "frame", "tta", "adaptation"])
        default = str(getattr(synthetic_cohort.tiny(), name, ""))
        settings.append(f"{name}={mutate_spec(default, rng)}" if rng.random() < 0.95 else rng.choice((*TEXTS, *SPECS)))
    base = rng.choice(("default", "demo"))
    if rng.random() < 0.4:
        argv = ["train", base, "--data", str(box.material / "labels.csv"), "--out", str(box.out), "--device", "cpu"]
        argv = [
            "train",
            base,
            "--data",
            str(box.folder / "absent"),
            *argv[4:],
        ]  # nothing is trained: the data are checked after the recipe
        return Trial([*argv, *(part for text in settings for part in ("--set", text))])
    return Trial(call=lambda: _apply_recipe(base, settings))


def _apply_recipe(base: str, settings: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        changed = training.load_recipe(base, settings)
    validate_recipe(changed)
    image_B3HW = torch.full((2, 3, 128, 128), 120, dtype=torch.uint8)
    framed_B3HW = Frame(changed.frame)(image_B3HW)
    for _, view in tta_views(changed.tta):
        view(framed_B3HW)
    augment = Augment(changed.augment)
    augment.apply(image_B3HW, augment.sample_params(2, torch.Generator().manual_seed(0), 128))
    Objective(changed.objective).aux_heads()


def weights(box: Sandbox) -> Trial:
    rng, source = box.rng, box.pick("weights/*")
    path = (
        box.folder / f"w{source.suffix if rng.random() < 0.9 else rng.choice(('.safetensors', '.bin', '.pt', '.pth'))}"
    )
    path.write_bytes(_mutate_weights(source.read_bytes(), box))
    name = rng.choice(("d4resnet-tiny", "d4resnet-tiny", "resnet10", "vit-s16"))
    draw = rng.random()
    if draw < 0.6:
        return Trial(["weights", name, "--from", str(path)])
    if draw < 0.75:
        return Trial(["doctor", "d4resnet-tiny", "--weights", str(path)])
    out = box.out / "e.parquet"
    argv = [
        "embed",
        "d4resnet-tiny",
        "--data",
        str(box.material / "labels.csv"),
        "--init-from",
        str(path),
        "--out",
        str(out),
    ]
    return Trial(argv, out=(out,))


def _mutate_weights(raw: bytes, box: Sandbox) -> bytes:
    """Return a mutation of a weights file: of its bytes, of a safetensors header, or of what a torch file holds."""
    rng, draw = box.rng, box.rng.random()
    if draw < 0.3:
        return mutate_bytes(raw, rng)
    if draw < 0.4:
        return rng.choice(
            (
                b"",
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
                b"<!DOCTYPE html><html></html>",
                b"PK\x03\x04",
                b"\x80\x02.",
            )
        )
    if draw < 0.65 and raw[8:9] == b"{":
        (size,) = struct.unpack_from("<Q", raw)
        header = mutate_json(raw[8 : 8 + size], rng)
        return struct.pack("<Q", rng.choice((len(header),) * 4 + (0, 1, 2**40, 2**63))) + header + raw[8 + size :]
    tensor = torch.zeros(3)
    value = rng.choice((
        {1: tensor}, {None: tensor}, {(1, 2): tensor}, {b"x": tensor}, {"a": 1}, {"a": None}, {}, [], tensor, 3,
        "text", None, {"a": [tensor]},
        {"state_dict": {"a": tensor, 2: tensor}}, {"model": {"model": {}}}, {"model": tensor},
        {"a": tensor.to_sparse()}, {"a": torch.zeros((), dtype=torch.complex64)},
        {"a": torch.quantize_per_tensor(tensor, 0.1, 0, torch.quint8)}, {"a": torch.empty(2, device="meta")},
        {"": tensor}, {"head.weight": tensor}, {"a" * 5000: tensor},
        {"trunk.x": tensor}, {"net.": tensor}, Exception, rng.choice(VALUES[-8:]),
    ))  # fmt: skip
    path = box.folder / "made.pt"
    if rng.random() < 0.3:
        raw = pickle.dumps(value, rng.choice((0, 2, 4)))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=rng.random() < 0.7)
        raw = path.read_bytes()
        if rng.random() < 0.3 and zipfile.is_zipfile(path):
            raw = mutate_bytes(raw, rng)
        path.unlink()
    return raw


OPTIONS = (
    "--out", "--data", "--on", "--set", "--mpp", "--device", "--json", "--n-boot", "--draws", "--part", "--bundle",
    "--words", "--name", "--notes", "--from",
    "--hold-out", "--frame", "--pooling", "--init-from", "--weights", "--test", "--backbones", "--adaptations",
    "--like", "--backend", "--version", "--help", "-h", "--",
)  # fmt: skip
COMMANDS = (
    "classify", "bundle", "doctor", "train", "resume", "weights", "embed", "score", "evaluate", "compare", "benchmark", "audit", "fetch",
    "backbones", "recipes", "losses", "datasets", "bundles", "transforms", "features", "samplers",
)  # fmt: skip


def arguments(box: Sandbox) -> Trial:
    """A command with options and values that do not fit. Data are never complete, so that nothing is trained or downloaded."""
    rng, material = box.rng, box.material
    numbers = ("-1", "0", "nan", "inf", "1e9", "0.25", "abc", "")
    odd = (
        str(box.folder),
        "/dev/null",
        "/proc",
        "/proc/self/x",
        "/dev/full",
        str(material / "labels.csv") + "/x",
        str(box.folder / ("n" * 300)),
        *TEXTS,
    )
    good = (
        str(material / "images" / "rgb.png"),
        str(material / "scores.csv"),
        str(material / "list.csv"),
        str(material / "bundle"),
        "default",
    )
    command = rng.choice(COMMANDS)
    argv = [command]
    for _ in range(rng.randrange(1, 3)):
        argv.append(rng.choice(good) if rng.random() < 0.6 else rng.choice(odd))
    if command == "fetch":
        argv[1] = rng.choice((*TEXTS, "nobody", "folder"))
    if command in ("weights", "doctor"):
        argv[1] = rng.choice((*TEXTS, "d4resnet-tiny"))
    for _ in range(rng.randrange(0, 3)):
        option = rng.choice(OPTIONS)
        value = rng.choice(numbers) if option in ("--mpp", "--n-boot", "--draws") else rng.choice((*odd, *good))
        argv += [option] if option in ("--json", "--words", "--version", "--help", "-h", "--") else [option, value]
    if rng.random() < 0.5 and command in ("classify", "evaluate", "embed", "bundle"):
        suffix = rng.choice((".csv", ".json", ".parquet", ".html", ".txt", ""))
        argv += ["--out", rng.choice((str(box.out / f"x{suffix}"), *odd))]
    if "\0" in "".join(argv):  # no process receives such an argument
        argv = [part.replace("\0", "") for part in argv]
    return Trial(argv, out=(box.folder,))
