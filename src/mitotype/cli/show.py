"""What the door shows: the notice, progress, answers, shelves and their cards, the doctor's findings."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files
from mitotype.core.mistakes import Mistake, unknown
from mitotype.core.words import NOTICE

if TYPE_CHECKING:
    from mitotype.deploy.classify import Answer

LOG_EVERY_S = 10.0  # between two lines of progress where there is no terminal


def notice() -> None:
    """The research-use notice, once per command, beside the answer rather than in it."""
    print(NOTICE, file=sys.stderr)


def device(wanted: str) -> str:
    from mitotype.fit import machine

    return machine.choose(wanted)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a line every LOG_EVERY_S seconds elsewhere. The yielded function is told how many more are done."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda more: bar.advance(task, more)
        return
    done, last_s = 0, time.monotonic()

    def step(more: int) -> None:
        nonlocal done, last_s
        done += more
        if time.monotonic() - last_s >= LOG_EVERY_S:
            print(f"{title}: {done} of {total}", file=sys.stderr)
            last_s = time.monotonic()

    yield step


def epochs(*, moving: bool = True) -> Callable[[dict[str, Any]], None]:
    """A listener for training: says which member is in which epoch; without `moving` in lines, as beside a bar."""
    say = _moving_line(moving)

    def told(line: dict[str, Any]) -> None:
        name = f"{line['cell']}, {line['member']}" if "cell" in line else line["member"]
        where = f"member {line['job']} of {line['jobs']} ({name})"
        if "keeps_gb" in line:
            size = f"{line['keeps_gb']:.2f} GB, the frozen blocks' output under {line['views']} views"
            say(f"{where}: {'keeps' if line['kept'] else 'has no room to keep'} {size}", True)
            return
        text, loss = f"{where}: epoch {line['epoch']} of {line['epochs']}", line["loss"]
        if loss is not None and math.isfinite(loss):  # what is solved has none
            text += f", loss {loss:.4f}"
        say(text, line["epoch"] == line["epochs"])

    return told


def downloads() -> Callable[[str, int, int | None], None]:
    """A listener for downloads: says how much of which file has come."""
    say = _moving_line()

    def told(name: str, done: int, total: int | None) -> None:
        say(f"{name}: {done / 2**20:.1f} MB" + (f" of {total / 2**20:.1f} MB" if total else ""), done == total)

    return told


def _moving_line(moving: bool = True) -> Callable[[str, bool], None]:
    """Say a text and whether it ends a piece of work: a moving line on a terminal, elsewhere a line every LOG_EVERY_S
    seconds and at each end."""
    last_s = 0.0

    def say(text: str, whole: bool) -> None:
        nonlocal last_s
        if moving and sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="\n" if whole else "", file=sys.stderr, flush=True)
        elif whole or time.monotonic() - last_s >= LOG_EVERY_S:
            print(text, file=sys.stderr)
            last_s = time.monotonic()

    return say


def as_json(value: Any) -> None:
    print(json.dumps(files.plain(value), indent=2, ensure_ascii=False))


def answers(found: Sequence[Answer], out: Path | None, *, as_json: bool) -> None:
    """Write what was asked for; on a terminal also a summary. csv is the default where nothing was asked."""
    import pandas as pd

    plain = [answer.plain() for answer in found]
    if as_json:
        print(json.dumps(files.plain(plain), indent=1, ensure_ascii=False))
    flat = ("flags", "words")
    rows = pd.DataFrame([{k: "; ".join(v) if k in flat else v for k, v in line.items()} for line in plain])
    if out is not None:
        if out.suffix not in (".csv", ".json", ".parquet"):
            raise Mistake(f"'{out}' has no ending that is written here.", allowed=".csv, .json, .parquet")
        files.write_json(out, plain) if out.suffix == ".json" else files.write_table(out, rows)
        print(f"{len(found)} answers in {out}", file=sys.stderr)
    elif not as_json:
        files.escaped(rows).to_csv(sys.stdout, index=False)
    decided = Counter(answer.decision for answer in found)
    strange = sum("unlike the training figures" in answer.flags for answer in found)
    told = ", ".join(f"{decided[word]} {word}" for word in ("atypical", "normal", "uncertain"))
    print(f"{len(found)} figures: {told}; {strange} unlike the training figures", file=sys.stderr)


def shelf(plural: str, name: str | None, *, as_json: bool) -> None:
    """A bare noun lists its shelf, one line each; with a name its card."""
    items = known(plural)
    if name is not None:
        if name not in items:
            raise unknown(plural.removesuffix("s"), name, items, f"mitotype {plural}")
        _card(name, items[name], as_json)
        return
    if as_json:
        print(json.dumps(files.plain(items), indent=2, ensure_ascii=False))
        return
    width = max((len(word) for word in items), default=0)
    for word, facts in items.items():
        print(f"{word:<{width}}  {facts['says']}")
    print(f"\none of them in full: mitotype {plural} NAME", file=sys.stderr)


def known(plural: str) -> dict[str, dict[str, Any]]:
    """What every item of a shelf, or every shipped bundle, says of itself."""
    return dict(_bundles() if plural == "bundles" else _shelf(plural))


def _card(name: str, facts: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(files.plain({name: facts}), indent=2, ensure_ascii=False))
        return
    print(f"{name}\n\n{facts['says']}\n")
    for key, value in facts.items():
        if key != "says" and value not in ("", None, (), [], {}):
            print(f"  {key}: {value}" if "\n" not in str(value) else f"\n{value}")


def _shelf(plural: str) -> Iterator[tuple[str, dict[str, Any]]]:
    room = import_module(f"mitotype.{plural}")
    kept = getattr(room, plural)
    for name in kept.names():
        yield name, facts_of(kept.get(name))


def facts_of(item: Any) -> dict[str, Any]:
    """What a shelf's item says of itself: `says` (one sentence) and its plain facts."""
    doc = inspect.getdoc(item) or ""
    if inspect.isfunction(item):  # a recipe
        return {"says": doc.splitlines()[0], "about": doc, **item().plain()}
    kind: Any = item
    if inspect.isclass(item) and callable(kind.says):  # a view
        arguments = [
            f"{a.name}={a.default:g} ({a.low:g} to {a.high:g}{' ' + a.unit if a.unit else ''}): {a.meaning}"
            for a in kind.arguments()
        ]
        return {"says": kind.says(), "kind": kind.kind, "arguments": arguments, "source": kind.source, "about": doc}
    if inspect.isclass(item):  # a loss
        return {"says": kind.says, "per_patch": kind.per_patch, "mixup": kind.mixup, "head": kind.head, "about": doc}
    facts = getattr(item, "facts", item)
    plain = {f.name: getattr(facts, f.name) for f in dataclasses.fields(facts) if not callable(getattr(facts, f.name))}
    if hasattr(facts, "params_m"):
        gate = "gated" if facts.gated else "open" if facts.weights else "no published weights"
        says = f"{facts.params_m:.1f} M parameters, {facts.size_px} px, {gate}, {facts.licence}, verified: {facts.verified}"
        return {"says": says, **plain}
    if hasattr(facts, "descriptors"):  # a feature
        plain.pop("descriptors")
        plain["traits"] = facts.traits
        return {"says": plain.pop("meaning"), **plain}
    if "sources" in plain:  # a dataset
        plain["sources"] = [source.urls[0] for source in facts.sources]
    return {"says": facts.title, **plain}


def _bundles() -> Iterator[tuple[str, dict[str, Any]]]:
    from mitotype.deploy import bundle

    for name, folder in bundle.shipped().items():
        card = (folder / "card.md").read_text(encoding="utf-8")
        says = next((line for line in card.splitlines() if line and not line.startswith("#")), name)
        yield name, {"says": says, "folder": str(folder), "card": card}


def doctor(backbone: str | None, weights: str | None, *, as_json: bool) -> None:
    """One line per check: what is there, and what to do where it is not. Exits with 1 where something must be mended."""
    from mitotype.deploy import doctor as checks
    from mitotype.deploy import proof

    if weights and not backbone:
        raise Mistake("No backbone is named for these weights.", fix="mitotype doctor BACKBONE --weights FILE")
    found = proof.examine(backbone, weights) if backbone else checks.examine()
    if as_json:
        print(json.dumps([dataclasses.asdict(check) for check in found], indent=2, ensure_ascii=False))
    else:
        for check in found:
            print(
                f"{'ok ' if check.ok else 'no '} {check.name}: {check.found}"
                + (f"\n     {check.fix}" if check.fix and not check.ok else "")
            )
    if any(check.must and not check.ok for check in found):
        sys.exit(1)
