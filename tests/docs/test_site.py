"""The site is built from the pages without a warning, and what one looks for is near; the papers around it are complete."""

from __future__ import annotations

import importlib.util
import itertools
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def script(name: str) -> ModuleType:
    """Return a file of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A broken link, an undocumented name and every other warning of Sphinx fail."""
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-n",
        "-q",
        "-d",
        folder / "trees",
        DOCS,
        folder / "html",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    return folder / "html"


def test_five_tasks_are_within_three_links_of_the_start_page(site: Path) -> None:
    assert script("link_depth").problems(site) == []


def test_pages_need_no_network(site: Path) -> None:
    """No script, style, font or image comes from elsewhere."""
    loaded = re.compile(r'<(?:script|link|img|source)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')
    pages = {page.relative_to(site).as_posix(): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert len(pages) > 20
    assert {name: match[0] for name, text in pages.items() if (match := loaded.search(text))} == {}


def test_a_task_that_is_too_far_away_is_reported(tmp_path: Path) -> None:
    link_depth = script("link_depth")
    (section, file), *_ = link_depth.TASKS.values()
    name, _, anchor = section.partition("#")
    chain = ["index.html", "a.html", "b.html", "c.html", section]
    for page, target in itertools.pairwise(chain):
        (tmp_path / page).write_text(f'<article><a href="{target}">next</a></article>', encoding="utf-8")
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(f'<article><p id="{anchor}">{file}</p></article>', encoding="utf-8")
    assert link_depth.problems(tmp_path)[0].endswith("is more than 3 links away")
    (tmp_path / "b.html").write_text(f'<article><a href="{section}">next</a></article>', encoding="utf-8")
    assert not any(line.endswith("links away") for line in link_depth.problems(tmp_path))


def test_notices_name_every_dependency() -> None:
    notices = script("notices")
    rows = (ROOT / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")
    assert [name for name in notices.dependencies() if f"| {name} |" not in rows] == []


def test_citation_names_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
