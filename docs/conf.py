"""Sphinx configuration of the site. It needs no network: no intersphinx, no fonts or scripts from elsewhere."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any

from sphinx.util import logging

import mitotype
from mitotype import api

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "mitotype"
author = "The mitotype authors"
project_copyright = "The mitotype authors, Apache-2.0"
version = release = mitotype.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "numpydoc", "myst_nb"]
exclude_patterns = ["_build", "reference/generated/README*"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types in signatures name libraries that this site does not contain

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks hold their outputs; tests/examples executes them

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections hold the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

SINGLE_PAGES = ("index", "start", "concepts", "add-a-component", "where-things-are")  # without pages below them
html_sidebars: dict[str, list[str]] = {name: [] for name in SINGLE_PAGES}
html_theme = "pydata_sphinx_theme"
html_title = "mitotype"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["mitotype.css"]
html_js_files = ["sortable.js"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "navigation_with_keys": False,
    "show_toc_level": 1,
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

shutil.rmtree(HERE / "reference" / "generated", ignore_errors=True)  # pages of names that are gone
# The notebooks lie in examples/, where a reader of the source looks for them; Sphinx reads only below docs/.
NOTEBOOKS = HERE / "notebooks"
NOTEBOOKS.mkdir(exist_ok=True)
for notebook in sorted((ROOT / "examples").glob("*.ipynb")):
    shutil.copyfile(notebook, NOTEBOOKS / notebook.name)


def warn_undocumented(app: Any) -> None:
    """Warn of each public name, and each public method of a public class, without a docstring; `make docs` then fails."""
    logger = logging.getLogger(__name__)
    for name in api.__all__:
        item = getattr(mitotype, name)
        if not inspect.getdoc(item):
            logger.warning("mitotype.%s has no docstring", name)
        for key, member in vars(item).items() if inspect.isclass(item) else ():
            is_public = not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
            if is_public and not inspect.getdoc(member):
                logger.warning("mitotype.%s.%s has no docstring", name, key)


def setup(app: Any) -> None:
    app.connect("builder-inited", warn_undocumented)
