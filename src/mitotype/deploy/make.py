"""Make: a finished run becomes a bundle with its card."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mitotype.backbones import backbones, weights
from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.deploy import bundle as bundles
from mitotype.deploy import card, licences, scorer, unlike


def bundle(run: Path, out: Path, *, name: str, notes: str = "", with_base: bool = False) -> Path:
    """Write the bundle of a finished run into `out`. The card takes up the run's evaluations and ledger, where there are any.

    `notes` is Markdown for the card: how choices were made. A base that nobody published goes with it; published weights
    only `with_base`, and only where their licence lets what is made of them be shared.
    """
    told = scorer.finished(run)
    names = scorer.deployed(run, told)
    members = {member: files.read_json(run / "members" / member / "member.json") for member in names}
    terms = licences.terms([member for member in members.values() if "architecture" in member])
    decide, strange = files.read_json(run / "decision.json"), unlike.read(run)
    if strange:
        strange = {**strange, "lines": {member: line for member, line in strange["lines"].items() if member in names}}
    ledger = run / "openings.jsonl"
    more = {
        "run": _placeless(told),
        "test": _kept(run / "evaluation.json"),
        "out_of_fold": _kept(run / "evaluation-out-of-fold.json"),
        "openings": [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]
        if ledger.is_file()
        else [],
        "members": {member: kept["digest"] for member, kept in members.items()},
        "licences": terms.lines(),
        "commercial": terms.commercial,
        "shareable": terms.shareable,
    }
    content = bundles.Content(
        name=name,
        members={member: run / "members" / member for member in names},
        bases=_bases(members.values(), with_base),
        views=told["recipe"]["views"],
        decide=decide,
        unlike=strange,
        card=card.written(name, more, decide, strange, notes),
        told=more,
    )
    return bundles.write(out, content)


def _placeless(told: dict[str, Any]) -> dict[str, Any]:
    """What a run tells, without the paths of the machine it was made on: their last part stays."""
    where = [Path(place).name for place in told["data"]["where"]]
    fields: dict[str, Any] = {key: _named(told[key]) for key in ("recipe", "chosen") if key in told}
    return {**told, "data": {**told["data"], "where": where}, **fields}


def _named(recipe: dict[str, Any]) -> dict[str, Any]:
    """Fields of a recipe, with the name alone of what it takes from elsewhere."""
    return {key: Path(value).name if key in ("init_from", "teacher") else value for key, value in recipe.items()}


def _bases(members: Iterable[dict[str, Any]], with_base: bool) -> dict[str, Path]:
    """Digest → file of the bases that go into the bundle."""
    found = {}
    for member in members:
        architecture = member.get("architecture") or {}
        if not architecture.get("base"):
            continue
        facts = backbones.get(architecture["backbone"]).facts
        if facts.weights is not None and not with_base:
            continue
        if facts.weights is not None and not facts.shareable_derivatives:
            what = f"The weights of {architecture['backbone']} ({facts.licence}) may not be passed on."
            raise Mistake(what, fix="leave --with-base out: who uses the bundle brings the weights")
        base = Path(weights.known(architecture["backbone"], architecture["base"]).path)
        if base.suffix != ".safetensors":
            raise Mistake(f"'{base.name}' is no safetensors file.", fix="convert it, or leave --with-base out")
        found[architecture["base"]] = base
    return found


def _kept(path: Path) -> dict[str, Any] | None:
    return files.read_json(path) if path.is_file() else None
