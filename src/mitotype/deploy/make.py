"""Make: a finished run becomes a bundle with its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mitotype.core import files
from mitotype.deploy import bundle as bundles
from mitotype.deploy import card, scorer, unlike


def bundle(run: Path, out: Path, *, name: str, notes: str = "") -> Path:
    """Write the bundle of a finished run into `out`. The card takes up the run's evaluations and ledger, where there are any.

    `notes` is Markdown for the card: how choices were made.
    """
    told = scorer.finished(run)
    names = scorer.deployed(run, told)
    decide, strange = files.read_json(run / "decision.json"), unlike.read(run)
    if strange:
        strange = {**strange, "lines": {member: line for member, line in strange["lines"].items() if member in names}}
    ledger = run / "openings.jsonl"
    where = [Path(place).name for place in told["data"]["where"]]
    more = {
        "run": {**told, "data": {**told["data"], "where": where}},
        "test": _kept(run / "evaluation.json"),
        "out_of_fold": _kept(run / "evaluation-out-of-fold.json"),
        "openings": [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]
        if ledger.is_file()
        else [],
        "members": {member: files.read_json(run / "members" / member / "member.json")["digest"] for member in names},
    }
    content = bundles.Content(
        name=name,
        members={member: run / "members" / member for member in names},
        views=told["recipe"]["views"],
        decide=decide,
        unlike=strange,
        card=card.written(name, more, decide, strange, notes),
        told=more,
    )
    return bundles.write(out, content)


def _kept(path: Path) -> dict[str, Any] | None:
    return files.read_json(path) if path.is_file() else None
