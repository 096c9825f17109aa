"""Checks the built site: `python docs/link_depth.py docs/_build/html`. Five tasks are within three links of the start page.

Only links in the text of pages count, not those of the menus. The page that answers names the file, which must exist.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

SOURCE = Path(__file__).parents[1] / "src" / "mitotype"
MAX_LINKS = 3
TASKS = {  # what someone looks for → section that answers, file to change
    "the crop size": ("how-to/train-on-your-own.html#change-the-crop", "transforms/ops/crop.py"),
    "the threshold rule": ("how-to/train-on-your-own.html#change-the-threshold", "scores/thresholds/"),
    "the LoRA targets of Virchow2": ("how-to/benchmark-backbones.html#lora-targets", "backbones/families/virchow.py"),
    "what the report shows per domain": (
        "how-to/evaluate-your-scores.html#the-report-per-domain",
        "evaluation/report/templates/report.html.j2",
    ),
    "how a csv of labels is read": ("how-to/train-on-your-own.html#how-a-csv-is-read", "datasets/readers/folder.py"),
}


class Page(HTMLParser):
    """The links in the text of a page, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self._depth = 0
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._depth += tag == "article"
        self.anchors.add(values.get("id") or "")
        if tag == "a" and self._depth and values.get("href"):
            self.links.append(str(values["href"]))

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "article"


def targets(path: Path, page: Page, root: Path) -> Iterator[str]:
    """Return what a page links to inside the site, as PAGE or PAGE#ANCHOR."""
    for href in page.links:
        name, anchor = urldefrag(unquote(href))
        if "://" in name or name.startswith("mailto:"):
            continue
        target = (path.parent / name).resolve() if name else path
        if target.suffix == ".html" and target.is_relative_to(root):
            inside = target.relative_to(root).as_posix()
            yield inside
            yield f"{inside}#{anchor}"


def depths(root: Path) -> dict[str, int]:
    """Return the number of links from index.html to every page and anchor that is reached."""
    reached, level = {"index.html": 0}, ["index.html"]
    for depth in range(1, 20):
        pages = sorted({target.partition("#")[0] for target in level})
        level = []
        for name in pages:
            if (root / name).is_file():
                new = (t for t in targets(root / name, Page(root / name), root) if t not in reached)
                level += list(dict.fromkeys(new))
                reached |= dict.fromkeys(level, depth)
    return reached


def problems(root: Path) -> list[str]:
    """Return one line for each task whose answer is missing or too far away."""
    root = root.resolve()
    reached = depths(root)
    lines = []
    for task, (section, file) in TASKS.items():
        name, _, anchor = section.partition("#")
        page = Page(root / name) if (root / name).is_file() else None
        if page is None or anchor not in page.anchors or file not in page.text:
            lines.append(f"{task}: {section} is missing or does not name {file}")
        elif not (SOURCE / file).exists():
            lines.append(f"{task}: there is no file {file}")
        elif reached.get(section, 99) > MAX_LINKS:
            lines.append(f"{task}: {section} is more than {MAX_LINKS} links away")
    return lines


if __name__ == "__main__":
    if lines := problems(Path(sys.argv[1])):
        sys.exit("\n".join(lines))
