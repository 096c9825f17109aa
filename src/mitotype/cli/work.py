"""What the verbs do: each reads its data, calls one room, and writes what was asked for."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.cli import show
from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import OUT_OF_FOLD, TEST, Cohort, join

if TYPE_CHECKING:
    from mitotype.deploy.scorer import Scorer
    from mitotype.scores.decision import Decision
    from mitotype.scores.table import Scores

LEDGER = "openings.jsonl"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `train` is asked for: data to join, test sets to hold out, changed fields, a run to repeat, and where."""

    data: Sequence[str] = ()
    hold_out: Sequence[str] = ()
    settings: Sequence[str] = ()
    again: Path | None = None
    out: Path | None = None
    mpp: float | None = None
    device: str = "auto"


def train(name: str, asked: Asked) -> None:
    """Train a recipe on the joined training parts of the data, without what overlaps the test sets held out."""
    from mitotype.fit import ranks, run
    from mitotype.fit import recipe as recipes
    from mitotype.recipes import recipes as shelf

    show.notice()
    recipe = recipes.with_settings(recipes.from_run(asked.again) if asked.again else shelf.get(name)(), asked.settings)
    recipe.check()
    if ranks.count() > 1 and asked.out is None:
        raise Mistake("Several processes train one run, and nothing names its folder.", fix="name it: --out runs/NAME")
    folder = asked.out or _next_free(Path("runs"), recipe.name)
    if ranks.writes():
        held = [word for words in asked.hold_out for word in words.split(",") if word]
        cohort = training(asked.data, held, asked.mpp)
        run.prepare(recipe, cohort, folder, data=asked.data, hold_out=held, device=asked.device)
        for note in files.read_json(folder / "run.json")["notes"]:
            print(f"note: {note}", file=sys.stderr)
    ranks.wait_for(folder / "run.json")
    run.go_on(folder, told=show.epochs())
    _finished(folder)


def resume(folder: Path) -> None:
    from mitotype.fit import run

    show.notice()
    run.go_on(folder, told=show.epochs())
    _finished(folder)


def score(what: str, on: list[str], out: Path | None, mpp: float | None, device: str) -> None:
    """Add the rows of every test cohort in `on`; a bundle's rows go to `out`, a run keeps its own."""
    from mitotype import datasets
    from mitotype.deploy import scorer

    show.notice()
    opened = scorer.open_scorer(what, device=show.device(device))
    is_run = (opened.where / "run.json").is_file()
    folder = out or (opened.where if is_run else Path("scores") / opened.where.name)
    for cohort in [cohort for where in on for cohort in datasets.read(where, part=TEST, mpp_um=mpp)]:
        notes(cohort)
        with show.progress(f"score {cohort.name}", len(cohort)) as step:
            scored(opened, cohort, (folder,), done=step)
        if not is_run and not (folder / "decision.json").is_file():
            files.write_json(folder / "decision.json", opened.decision.to_dict())
        print(f"{len(cohort)} patches of {cohort.name} scored into {folder}", file=sys.stderr)
    print(f"next: mitotype evaluate {folder}", file=sys.stderr)


def scored(
    opened: Scorer, cohort: Cohort, folders: Sequence[Path], *, done: Callable[[int], None] = lambda n: None
) -> None:
    """Add the rows of a test cohort to the first of `folders`; the opening is written before, into the ledger of each.

    A cohort that shares cases or pictures with what a run was trained on is a Mistake.
    """
    from mitotype.datasets import overlaps
    from mitotype.deploy import scorer
    from mitotype.scores import table

    if (opened.where / "run.json").is_file():
        trained = files.read_table(opened.where / "patches.parquet")
        shared = overlaps.overlap(trained[trained["fold"] > 0], cohort)
        if shared:
            raise shared.mistake()
    scores = scorer.score(opened, cohort, done=done)
    for folder in folders:
        _opening(folder, opened.where.name, cohort, scores)
    table.append(folders[0], scores)


def evaluate(what: str, on: list[str], out: Path | None, part: str, as_json: bool, draws: int) -> None:
    """Numbers on the terminal (or JSON), evaluation.json and report.html beside the scores."""
    from mitotype import evaluation
    from mitotype.evaluation import text
    from mitotype.evaluation.record import About

    show.notice()
    if part not in (TEST, OUT_OF_FOLD):
        raise Mistake(f"There is no part '{part}'.", allowed=f"{TEST}, {OUT_OF_FOLD}")
    scores, decision = _scores(what, on)
    if not (scores.scores["part"] == part).any():
        fix = f"mitotype score {what} --on TESTDATA" if part == TEST else "mitotype train"
        raise Mistake(f"'{what}' has no {part} rows.", fix=fix)
    folder = Path(what) if Path(what).is_dir() else Path(what).parent
    openings = tuple(_told_opening(line) for line in _openings(folder))
    about = About(
        title=f"{Path(what).name}: {part}",
        command=_command(),
        openings=openings,
        digests=_digests(folder),
        held_out=_held_out(folder),
    )
    found = evaluation.evaluate(scores, decision, part=part, draws=draws, about=about)
    page = out or folder / ("report.html" if part == TEST else "report-out-of-fold.html")
    files.write_text(page, evaluation.report(found))
    files.write_json(page.with_name(page.stem.replace("report", "evaluation") + ".json"), found.to_dict())
    if as_json:
        show.as_json(found.to_dict())
    else:
        print(text.tables(found))
    print(f"open {page}", file=sys.stderr)


def compare(a: str, b: str, on: list[str], as_json: bool, draws: int) -> None:
    """Both judged on the patches they share, the difference with its interval over cases."""
    from mitotype import evaluation
    from mitotype.evaluation import compare as compared
    from mitotype.evaluation import text

    show.notice()
    rows = [evaluation.judged(*_scores(what, on)) for what in (a, b)]
    found = compared.compare(rows[0], rows[1], (Path(a).stem, Path(b).stem), draws=draws)
    show.as_json(found.to_dict()) if as_json else print(text.comparison(found))


def audit(data: list[str], as_json: bool) -> None:
    from mitotype import datasets
    from mitotype.datasets import audit as audits

    cohorts = [cohort for where in data for cohort in datasets.read(where, part="all")]
    found = audits.audit(cohorts)
    if as_json:
        show.as_json(audits.plain(found))
        return
    for finding in found:
        print(finding)


def fetch(name: str, folder: Path) -> None:
    from mitotype.datasets import fetch as fetching

    fetching.fetch(name, folder, progress=show.downloads())
    print(f"{name} is in {folder}", file=sys.stderr)


def bundle(run: Path, out: Path, name: str, notes: Path | None, with_base: bool) -> None:
    from mitotype.deploy import make

    text = notes.read_text(encoding="utf-8") if notes else ""
    make.bundle(run, out, name=name, notes=text, with_base=with_base)
    print(f"open {out / 'card.md'}; use it: mitotype classify PICTURES --bundle {out}", file=sys.stderr)


def training(data: Sequence[str], held: list[str], mpp: float | None) -> Cohort:
    from mitotype import datasets
    from mitotype.datasets import overlaps, splits

    if not data:
        raise Mistake(
            "No training data are named.",
            fix="mitotype train default --data FOLDER, or get some: mitotype fetch amibr data",
        )
    cohort = splits.once_each(
        join([cohort for where in data for cohort in datasets.read(where, part="train", mpp_um=mpp)])
    )
    cohort = overlaps.hold_out(cohort, held) if held else cohort
    return Cohort(cohort.name, cohort.rows, (*cohort.notes, *overlaps.known_overlaps(cohort)))


def _scores(what: str, on: list[str]) -> tuple[Scores, Decision | None]:
    """A run's (or scores folder's) rows with its decision, or somebody's csv with the labels of `on`."""
    import pandas as pd

    from mitotype import datasets
    from mitotype.core import pictures
    from mitotype.scores import table
    from mitotype.scores.decision import Decision

    path = Path(what)
    if path.is_dir():
        kept = path / "decision.json"
        return table.read(path), Decision.from_dict(files.read_json(kept)) if kept.is_file() else None
    cohorts = [cohort for where in on for cohort in datasets.read(where, part=TEST)]
    patches = [c.rows.assign(digest=list(pictures.pack(c).digests)) for c in cohorts]
    return table.read(path, patches=pd.concat(patches, ignore_index=True) if patches else None), None


def _opening(folder: Path, what: str, cohort: Cohort, scores: Scores) -> None:
    """Write the opening of a test set into the ledger of the folder that keeps the rows."""
    line = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "what": what,
        "dataset": cohort.name,
        "patches": len(cohort),
        "digest": files.digest_of(*sorted(scores.patches["digest"]))[:16],
    }
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LEDGER).open("a", encoding="utf-8") as ledger:
        ledger.write(json.dumps(line) + "\n")


def _openings(folder: Path) -> list[dict[str, Any]]:
    path = folder / LEDGER
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _told_opening(line: dict[str, Any]) -> str:
    return f"{line['date']}: {line['dataset']}, {line['patches']} patches, digest {line['digest']}"


def _digests(folder: Path) -> dict[str, str]:
    if not (folder / "run.json").is_file():
        return {}
    told = files.read_json(folder / "run.json")
    return {"training pictures": told["data"]["digest"], "split": told["split"]["digest"]}


def _held_out(folder: Path) -> tuple[str, ...]:
    told = folder / "run.json"
    return tuple(files.read_json(told)["data"]["hold_out"]) if told.is_file() else ()


def _command() -> str:
    """The command as it was typed, with names for paths: a report tells nobody where its folders lie."""
    return "mitotype " + " ".join(Path(word).name if "/" in word else word for word in sys.argv[1:])


def _next_free(parent: Path, name: str) -> Path:
    taken = [path.name for path in parent.glob(f"{name}*")] if parent.is_dir() else []
    return parent / (name if name not in taken else f"{name}-{len(taken) + 1}")


def notes(cohort: Cohort) -> None:
    for note in cohort.notes:
        print(f"note: {note}", file=sys.stderr)


def _finished(folder: Path) -> None:
    from mitotype.fit import ranks

    if ranks.writes():
        print(f"{folder} is finished; next: mitotype evaluate {folder} --part out-of-fold", file=sys.stderr)
