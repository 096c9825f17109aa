"""The components of each kind, by name."""

from __future__ import annotations

from importlib import import_module

from mitotype.core.errors import unknown_name
from mitotype.core.registry import Registry

KINDS = ("backbones", "datasets", "features", "losses", "recipes", "transforms")


def list_components(kind: str) -> list[str]:
    """Return the names of all components of a kind, also of those that other packages add.

    Parameters
    ----------
    kind : {"backbones", "datasets", "features", "losses", "recipes", "transforms"}
        Kind of component. ``mitotype KIND NAME`` shows the facts of one.

    Returns
    -------
    list of str
        Their names, sorted.

    Raises
    ------
    UserError
        For an unknown kind.

    See Also
    --------
    load_recipe : Return a recipe by its name.

    Examples
    --------
    >>> import mitotype
    >>> "morphology" in mitotype.list_components("features")
    True
    """
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS, "mitotype --help")
    registry: Registry[object] = getattr(import_module(f"mitotype.{kind}"), kind)
    return registry.names()
