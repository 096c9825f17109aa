"""HTML pages from jinja2 templates; every text in them is escaped and a missing name is an error."""

from __future__ import annotations

from typing import Any

import jinja2


def render(package: str, template: str, **values: Any) -> str:
    """Return the template `templates/NAME` of a package rendered with `values`, which macros see too."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(values)
    return environment.get_template(template).render()
