"""Bare nouns: `mitotype backbones` lists, `mitotype backbones uni2-h` shows one."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from mitotype.api.components import PACKAGES
from mitotype.cli import output
from mitotype.cli.options import Json
from mitotype.core.errors import unknown_name
from mitotype.core.registry import Registry

NOUNS = (*PACKAGES, "bundles")
PLURALS = {"tta": "test-time views", "thresholds": "threshold rules", "abstentions": "abstention rules"}
CLASS_FACTS = ("kind", "per_patch", "mixup", "head", "source")  # of a transform or loss
EMPTY: tuple[Any, ...] = ("", None, (), [], {})


def listing_command(plural: str) -> Callable[..., None]:
    """Return the command of a noun."""

    def listing(
        name: Annotated[str | None, typer.Argument(help="name of the one to show")] = None, as_json: Json = False
    ) -> None:
        show(plural, name, as_json=as_json)

    listing.__name__ = plural
    listing.__doc__ = f"List the {PLURALS.get(plural, plural)}, or show one.\n\nExample: mitotype {plural}"
    return listing


def show(plural: str, name: str | None, *, as_json: bool) -> None:
    items = facts(plural)
    if name is not None and name not in items:
        items[name] = describe(registry_of(plural).get(name)) if plural in PACKAGES else _no_bundle(name, items)
    if as_json:
        output.print_json(items if name is None else {name: items[name]})
    elif name is not None:
        print(f"{name}\n\n{items[name]['summary']}\n")
        for key, value in shown_facts(items[name]).items():
            print(_fact_text(key, value))
    else:
        width = max((len(item) for item in items), default=0)
        for item, values in items.items():
            print(f"{item:<{width}}  {values['summary']}")
        output.info(f"\nshow one: mitotype {plural} NAME")


def _fact_text(key: str, value: Any) -> str:
    """Return a fact as lines: an item per line of a list, a text of several lines as it is."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return "\n".join([f"  {key}:", *(f"    {item}" for item in value)])
    return f"  {key}: {value}" if "\n" not in str(value) else f"\n{value}"


def facts(plural: str) -> dict[str, dict[str, Any]]:
    """Return the facts of every component of a registry, or of every shipped bundle, by name."""
    if plural == "bundles":
        return dict(_bundle_facts())
    registry = registry_of(plural)
    return {name: describe(registry.get(name)) for name in registry.names()}


def registry_of(plural: str) -> Registry[Any]:
    """Return the registry of a noun."""
    registry: Registry[Any] = getattr(import_module(PACKAGES[plural]), plural)
    return registry


def shown_facts(values: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that are not empty and do not repeat the summary."""
    return {key: value for key, value in values.items() if value not in (*EMPTY, values["summary"])}


def describe(component: Any) -> dict[str, Any]:
    """Return `summary` (one line) and the other facts of a component as plain values."""
    from mitotype.core import arguments

    doc = inspect.getdoc(component) or ""
    if inspect.isfunction(component):  # a recipe
        return {"summary": doc.splitlines()[0], "about": doc, **component().to_dict()}
    if inspect.isclass(component):  # a transform or a loss
        class_facts = {key: getattr(component, key) for key in CLASS_FACTS if hasattr(component, key)}
        shown = [str(argument) for argument in arguments.arguments_of(component)]
        return {"summary": arguments.summary(component), **class_facts, "arguments": shown, "about": doc}
    if hasattr(component, "page"):  # a check
        return {"summary": f"{component.title} ({component.severity})", "about": component.page}
    spec = getattr(component, "spec", component)
    plain = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if not callable(getattr(spec, f.name))}
    if hasattr(spec, "params_m"):  # a backbone
        access = "gated" if spec.gated else "open" if spec.weights else "no published weights"
        size = f"{spec.params_m:.1f} M parameters, {spec.size_px} px"
        return {"summary": f"{size}, {access}, {spec.license}, verified: {spec.verified}", **plain}
    if hasattr(spec, "descriptors"):  # a feature
        plain["descriptors"], plain["traits"] = (), spec.traits
        return {"summary": plain.pop("meaning"), **plain}
    if "sources" in plain:  # a dataset
        plain["sources"] = [source.urls[0] for source in spec.sources]
    return {"summary": spec.title, **plain}


def _no_bundle(name: str, bundles: Iterable[str]) -> NoReturn:
    raise unknown_name("bundle", name, bundles, "mitotype bundles")


def _bundle_facts() -> Iterator[tuple[str, dict[str, Any]]]:
    from mitotype.deploy import bundle

    for name, folder in bundle.shipped().items():
        card = (folder / "card.md").read_text(encoding="utf-8")
        summary = next((line for line in card.splitlines() if line and not line.startswith("#")), name)
        yield name, {"summary": summary, "folder": str(folder), "card": card}
