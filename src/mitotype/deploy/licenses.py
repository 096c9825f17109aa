"""Licenses: what the published weights under a run or bundle allow, for its card and for the check before publishing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mitotype.backbones.adaptations import adaptations
from mitotype.backbones.model_spec import ModelSpec, backbones
from mitotype.core.run_layout import MemberRecord


@dataclass(frozen=True)
class LicenseTerms:
    """The backbones whose published weights a bundle was trained on or learned from, and what their licenses allow.

    `is_finetuned`: some member is more than an adapter, it contains weights of a net that was trained further.
    """

    backbones: tuple[str, ...]
    is_finetuned: bool
    commercial: bool
    shareable: bool

    def lines(self) -> list[str]:
        """Return one line per backbone for a card."""
        return [f"{name}: {describe_license(backbones.get(name).spec)}" for name in self.backbones]


def license_terms(members: Iterable[MemberRecord]) -> LicenseTerms:
    """Return the terms of members: those of the base of each, and of the bases of its teachers.

    Weights that a run of one's own made are under no terms.
    """
    specs: dict[str, ModelSpec] = {}
    is_finetuned = False
    for member in members:
        if member.architecture is None:
            continue
        sources = [source.backbone for source in (member.base, *member.teacher_bases) if source]
        published = {name: spec for name in sources if (spec := backbones.get(name).spec).weights is not None}
        specs |= published
        trains_base = adaptations.build(member.architecture.adaptation).trains_base
        is_finetuned |= bool(published) and trains_base
    return LicenseTerms(
        tuple(sorted(specs)),
        is_finetuned,
        commercial=all(spec.commercial for spec in specs.values()),
        shareable=all(spec.shareable_derivatives for spec in specs.values()),
    )


def describe_license(spec: ModelSpec) -> str:
    """Return what a license allows, in one line."""
    share = f"what is trained on the weights may {'' if spec.shareable_derivatives else 'not '}be shared"
    if not spec.shareable_derivatives and "ND" not in spec.license.split("-"):
        share += " as far as is known"  # a license of its own, which was not read for this
    use = "" if spec.commercial else "; no commercial use"
    return f"{spec.license}, {share}{use} (read the license at {spec.access_url})"
