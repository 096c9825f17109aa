"""The components of each kind by name, and files that add some."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import plugins
from mitotype.core.errors import unknown_name

if TYPE_CHECKING:
    from mitotype.core.registry import Registry

PACKAGES = {  # where the registry of each kind is, under its name
    "datasets": "mitotype.datasets", "backbones": "mitotype.backbones", "adaptations": "mitotype.backbones.adaptations",
    "features": "mitotype.features", "transforms": "mitotype.transforms", "tta": "mitotype.transforms.tta.view_set",
    "losses": "mitotype.losses", "samplers": "mitotype.fit.train.samplers", "optimizers": "mitotype.fit.train.optimizers",
    "schedules": "mitotype.fit.train.schedules", "recipes": "mitotype.recipes", "combiners": "mitotype.scores.combiners",
    "thresholds": "mitotype.scores.thresholds", "abstentions": "mitotype.scores.abstentions",
    "metrics": "mitotype.evaluation.metrics", "checks": "mitotype.evaluation.checks",
}  # fmt: skip


def list_components(kind: str) -> list[str]:
    """Return the names of all components of a kind, also of those that other packages add.

    Parameters
    ----------
    kind : str
        Kind of component, as the commands that list them: backbones, datasets, losses … ``mitotype KIND NAME`` shows the
        facts of one.

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
    if kind not in PACKAGES:
        raise unknown_name("kind", kind, PACKAGES, "mitotype --help")
    registry: Registry[object] = getattr(import_module(PACKAGES[kind]), kind)
    return registry.names()


def load_plugin(path: str | os.PathLike[str]) -> None:
    """Run a Python file that adds components, as ``mitotype --plugin FILE`` does; one that is loaded is not run again.

    Parameters
    ----------
    path : str or Path
        The file. It is code that is run: name files that you trust.

    Raises
    ------
    UserError
        For a file that is absent, is no Python file, or raises an exception.

    See Also
    --------
    list_components : Return the names of all components of a kind.

    Notes
    -----
    A run records the name and the digest of each plugin that was loaded when it was created.

    Examples
    --------
    >>> import mitotype
    >>> mitotype.load_plugin("my_loss.py")  # doctest: +SKIP
    >>> mitotype.train("default", "AMi-Br_Benchmark", settings=["objective=my_loss"])  # doctest: +SKIP
    """
    plugins.load(Path(path))
