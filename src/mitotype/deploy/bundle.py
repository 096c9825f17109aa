"""Bundles: one folder that predicts. JSON and safetensors only; it names registry keys, and no code in it is ever run.

bundle.json       members, combiner, decision, out-of-distribution detector, digest of every file, digest of itself
members/NAME/     member.json, and model.safetensors of a net or head.json of a feature
bases/            weights under adapters and probes, where they may be shared, once for all members
card.md           what a person should read first
"""

from __future__ import annotations

from pathlib import Path

from mitotype.core.errors import UserError
from mitotype.core.run_layout import names

HUB = "hf://"
SHIPPED = Path(__file__).parents[1] / "bundles"


def shipped() -> dict[str, Path]:
    """Return the folders of the bundles that ship with the package, by name."""
    return {path.parent.name: path.parent for path in sorted(SHIPPED.glob(f"*/{names.BUNDLE}"))}


def find_bundle(source: str) -> Path:
    """Return the folder of a bundle or run, given the name of a shipped bundle, hf://OWNER/NAME@REVISION, or a path."""
    if source.startswith(HUB):
        from mitotype.deploy.hub_bundle import fetch

        return fetch(source)
    bundles = shipped()
    if source in bundles:
        return bundles[source]
    folder = Path(source)
    if names.is_ensemble(folder):
        what = f"'{source}' is an ensemble of runs."
        raise UserError(what, fix=f"make a bundle of it: mitotype bundle {source} --out DIR")
    if not names.is_bundle(folder) and not names.is_run(folder):
        shown = ", ".join(bundles) or "none is shipped"
        raise UserError(
            f"'{source}' is neither a bundle nor a run.",
            allowed=f"a folder with {names.BUNDLE} or {names.RUN}, hf://OWNER/NAME@REVISION, or one of: {shown}",
            fix="see the shipped ones: mitotype bundles",
        )
    return folder
