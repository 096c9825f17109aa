"""The words of the field: no identifier and no text that a user reads contains a word of the stop list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ("src", "tests", "performance", "examples", "docs")
# Identifiers that nobody would type into a search box, and what to use instead.
IDENTIFIERS = {
    "told": "metadata, record, message or on_progress", "asked": "options or config", "ask": "options or config",
    "said": "predictions, outputs or rows", "say": "predict or print", "says": "summary", "kept": "selected, cached or stored",
    "mine": "the noun of the thing", "way": "InferenceConfig", "work": "MemberContext or function", "crew": "pool",
    "stems": "frozen_cache", "prior": "lineage", "mistake": "UserError or error", "trouble": "errors",
    "judge": "forward, decide or evaluate", "judged": "predictions", "judging": "evaluation", "strange": "outliers or negatives",
    "shelf": "registry", "sentence": "spec", "go_on": "resume", "drawn": "params or synthetic", "whole": "is_complete, abspath or all_…",
    "tail": "LogFollower", "keeper": "CheckpointWriter", "begun": "init_model", "settled": "fixed_params", "met_b": "applied_B",
    "klass": "label_name", "found": "result, matches or rows", "at_hand": "find_local", "bring": "register_local",
    "pull": "sample_weight", "looks": "tta_jitter", "beside": "negatives", "spoke": "contributed", "colour": "color",
    "colours": "colors or normalization", "optimiser": "optimizer", "licence": "license", "licences": "licenses",
    "normalise": "normalize", "picture": "image", "pictures": "images", "unlike": "ood", "place": "index, path, context or backend",
    "where": "path, source or run_dir",
}  # fmt: skip
METHODS = {"where"}  # numpy's, torch's and pandas' own
# Phrases in what users read (docs, README, messages, help), and what to write instead.
PHRASES = {
    r"\bMistakes?\b": "UserError or error", r"\bshel(f|ves)\b": "registry", r"\bsentences?\b": "spec",
    r"\bmend(ed|s|ing)?\b": "fix", r"\breckon(ed|s|ing)?\b": "compute", r"\bat hand\b": "available",
    r"\bto be had\b": "available", r"\bunlike the training\b": "out of distribution", r"\bthe (house|door|room)\b": "project, CLI, package",
    r"\bspeaks?\b": "a verb that fits a program", r"\bnobody\b": "no one, or the passive", r"\bpictures?\b": "image",
    r"\bwords\b(?! of the)": "explanation", r"\bsays?\b": "is, has, contains or prints", r"\btells?\b": "classifies, prints or contains",
    r"\basked\b": "requested or given", r"\bsaid\b": "given or stated", r"\bknows?\b": "contains or has",
    r"\bwants?\b": "needs or requires",
}  # fmt: skip
ALLOWED = {"--words"}  # an option of 0.1.0
KEYS_1 = {"asked"}  # keys of format 1, which readers map


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that a file defines or uses: variables, attributes, arguments, functions, classes, keywords."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Name():
                yield line, node.id
            case ast.Attribute() if node.attr not in METHODS:
                yield line, node.attr
            case ast.arg():
                yield line, node.arg
            case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
                yield line, node.name
            case ast.keyword() if node.arg and node.arg not in METHODS:
                yield line, node.arg


def wrong_identifiers(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8")
    for line, name in identifiers(ast.parse(text)):
        if name.strip("_").lower() in IDENTIFIERS:
            yield f"{file.name}:{line}: '{name}'; use {IDENTIFIERS[name.strip('_').lower()]}"


def wrong_phrases(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        for phrase, instead in PHRASES.items():
            match = re.search(phrase, line)
            if match and line not in KEYS_1 and not any(allowed in line for allowed in ALLOWED):
                yield f"{name}:{number}: '{match[0]}'; write {instead}"


def read_by_users(tree: ast.AST) -> str:
    """The texts of a file that users read: docstrings, and the string constants outside of them."""
    return "\n".join(
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def test_identifiers() -> None:
    files = [file for folder in CODE for file in (ROOT / folder).rglob("*.py")]
    wrong = [line for file in files if file != Path(__file__) for line in wrong_identifiers(file)]
    assert not wrong, f"{len(wrong)} identifiers:\n" + "\n".join(wrong[:40])


def test_texts_in_the_package() -> None:
    wrong = [
        line
        for file in sorted((ROOT / "src").rglob("*.py"))
        for line in wrong_phrases(
            str(file.relative_to(ROOT)), read_by_users(ast.parse(file.read_text(encoding="utf-8")))
        )
    ]
    assert not wrong, f"{len(wrong)} phrases:\n" + "\n".join(wrong[:40])


def test_documents() -> None:
    pages = [
        ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").rglob("*.ipynb")), *sorted((ROOT / "examples").rglob("*.py")),
        *sorted((ROOT / "src").rglob("*.j2")),
    ]  # fmt: skip
    wrong = [
        line for page in pages for line in wrong_phrases(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))
    ]
    assert not wrong, f"{len(wrong)} phrases:\n" + "\n".join(wrong[:40])


def test_the_stop_list_reports_what_it_lists(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("def tell(told, x):\n    found = x.asked\n    return np.where(found, 1, klass=2)\n")
    assert len(list(wrong_identifiers(file))) == 5
    assert list(wrong_phrases("a.md", "One mistake.\nThe picture is mended by the door.\n")) == [
        "a.md:2: 'mended'; write fix",
        "a.md:2: 'the door'; write project, CLI, package",
        "a.md:2: 'picture'; write image",
    ]
