"""Every public name is documented by the rules of numpydoc, and its examples give what they show."""

from __future__ import annotations

import doctest
import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from numpydoc.validate import validate

import mitotype

# Summaries stand on the line of the opening quotes, short docstrings on one line, and need no extended summary.
IGNORED = {"GL01", "GL02", "ES01"}
IGNORED_OF_METHODS = {"SA01", "EX01"}  # the class has them
SKIPPED = {
    "mitotype.fetch",
    "mitotype.fetch_weights",
    "mitotype.load_plugin",
    "mitotype.push",
    "mitotype.export",
    "mitotype.ablate",
}  # a network, or long
NAMES = [name for name in mitotype.__all__ if name != "__version__"]


def documented() -> Iterator[tuple[str, set[str]]]:
    """Yield every public name, and every public member of a class, with the rules that do not apply to it."""
    for name in NAMES:
        yield f"mitotype.{name}", IGNORED
        item = getattr(mitotype, name)
        for member, value in vars(item).items() if inspect.isclass(item) else ():
            if not member.startswith("_") and (callable(value) or isinstance(value, property | classmethod)):
                yield f"mitotype.{name}.{member}", IGNORED | IGNORED_OF_METHODS


@pytest.mark.parametrize(("name", "ignored"), list(documented()))
def test_numpydoc_accepts_it(name: str, ignored: set[str]) -> None:
    assert [error for error in validate(name)["errors"] if error[0] not in ignored] == []


@pytest.fixture(scope="module")
def cohort_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the cohort of the examples, generated once: they read the copy that is in their folder."""
    folder = tmp_path_factory.mktemp("examples") / "cohort"
    mitotype.synthetic_cohort(folder, patches=60, cases=12, domains=4)
    return folder


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", NAMES)
def test_its_examples_give_what_they_show(
    name: str, cohort_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    item = getattr(mitotype, name)
    if "patches=60, cases=12, domains=4" in (item.__doc__ or ""):
        shutil.copytree(cohort_dir, tmp_path / "cohort")
    tests = doctest.DocTestFinder(recurse=False).find(item, f"mitotype.{name}", module=False)
    examples = [example for test in tests for example in test.examples]
    assert examples
    is_skipped = any(example.options.get(doctest.SKIP) for example in examples)
    assert is_skipped == (f"mitotype.{name}" in SKIPPED)
    for test in tests:
        report: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=report.append)
        assert not report, "".join(report)


def test_a_wrong_example_and_a_missing_section_are_reported() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner().run(test, out=lambda text: None).failed == 1
    assert "PR01" in {code for code, _ in validate("mitotype.core.files.sha256")["errors"]}
