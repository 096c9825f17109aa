"""Licences: what the bases under a run or bundle allow, in words for its card and as a gate before anything is published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mitotype.backbones.facts import Facts, backbones


@dataclass(frozen=True)
class Terms:
    """`bases` are backbones whose published weights lie under it. `whole` says that a member holds such weights itself."""

    bases: tuple[str, ...]
    whole: bool
    commercial: bool
    shareable: bool

    def lines(self) -> list[str]:
        """Sentences for a card; none where no published weights lie under it."""
        return [f"{name}: {sentence(backbones.get(name).facts)}" for name in self.bases]


def terms(members: Iterable[Mapping[str, Any]]) -> Terms:
    """The terms of members as their member.json tell them. Weights that a run of one's own made bind nobody."""
    bases: dict[str, Facts] = {}
    whole = False
    for told in members:
        base = told.get("base") or {}
        name = base.get("backbone")
        if name and backbones.get(name).facts.weights is not None:
            bases[name] = backbones.get(name).facts
            whole |= not told["architecture"]["base"]
    facts = bases.values()
    return Terms(
        tuple(sorted(bases)), whole, all(f.commercial for f in facts), all(f.shareable_derivatives for f in facts)
    )


def sentence(facts: Facts) -> str:
    """What a licence allows, in one line."""
    share = (
        "what is trained on the weights may be shared"
        if facts.shareable_derivatives
        else ("what is trained on the weights may not be shared")
    )
    use = "" if facts.commercial else "; no commercial use"
    return f"{facts.licence}, {share}{use} (read the licence at {facts.access_url})"
