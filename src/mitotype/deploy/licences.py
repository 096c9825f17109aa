"""Licences: what the bases under a run or bundle allow, in words for its card and as a gate before anything is published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mitotype.backbones.facts import Facts, backbones


@dataclass(frozen=True)
class Terms:
    """`bases` are backbones whose published weights lie under it, or taught it. `whole` says that a member is more than an
    adapter: it holds weights of a net that was trained on from them, the whole of it or some of its blocks.
    """

    bases: tuple[str, ...]
    whole: bool
    commercial: bool
    shareable: bool

    def lines(self) -> list[str]:
        """Sentences for a card; none where no published weights lie under it."""
        return [f"{name}: {sentence(backbones.get(name).facts)}" for name in self.bases]


def terms(members: Iterable[Mapping[str, Any]]) -> Terms:
    """The terms of members as their member.json tell them: of the base that each stands on and of those that taught it.

    Weights that a run of one's own made bind nobody.
    """
    from mitotype.backbones import adapters

    bases: dict[str, Facts] = {}
    whole = False
    for told in members:
        sources = [told.get("base") or {}, *(told.get("taught_by") or [])]
        names = {source["backbone"] for source in sources if source.get("backbone")}
        found = {name: backbones.get(name).facts for name in names}
        published = {name: facts for name, facts in found.items() if facts.weights is not None}
        bases |= published
        adaptation = adapters.read(told["architecture"].get("adaptation", "full"))
        whole |= bool(published) and isinstance(adaptation, adapters.Full)
    facts = bases.values()
    return Terms(
        tuple(sorted(bases)), whole, all(f.commercial for f in facts), all(f.shareable_derivatives for f in facts)
    )


def sentence(facts: Facts) -> str:
    """What a licence allows, in one line."""
    share = f"what is trained on the weights may {'' if facts.shareable_derivatives else 'not '}be shared"
    if not facts.shareable_derivatives and "ND" not in facts.licence.split("-"):
        share += " as far as is known"  # a licence of its own, which nobody has read for this
    use = "" if facts.commercial else "; no commercial use"
    return f"{facts.licence}, {share}{use} (read the licence at {facts.access_url})"
