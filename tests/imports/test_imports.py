"""Who may import whom: every import of the package is read. Each guard has a test that shows that it can fail."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mitotype

PACKAGE = Path(mitotype.__file__).parent
SIBLINGS = ("datasets", "transforms", "features", "backbones", "losses", "scores", "jobs")
MAY: dict[str, set[str]] = {"core": set(), **{package: {"core"} for package in SIBLINGS}}
MAY["evaluation"] = {"core", "scores"}
MAY["fit"] = {"core", *SIBLINGS, "evaluation"}
MAY["recipes"] = {*MAY["fit"], "fit"}
MAY["experiments"] = {*MAY["recipes"], "recipes"}
MAY["deploy"] = {"core", "transforms", "backbones", "features", "scores"}
MAY["slides"] = {*MAY["deploy"], "deploy", "datasets", "evaluation", "jobs"}
MAY["serve"] = MAY["review"] = {*MAY["slides"], "slides"}
MAY["api"] = {*MAY["experiments"], *MAY["serve"], "experiments", "serve", "review"}
EVERYTHING = {"cli", "__init__", "__main__"}


def forbidden_imports(package: Path) -> Iterator[str]:
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package)
        name = inside.parts[0].removesuffix(".py")
        if name in EVERYTHING:
            continue
        if name not in MAY:
            yield f"{inside}: the package '{name}' has no rule"
            continue
        for other in imported_packages(file, inside):
            if other != name and other not in MAY[name]:
                yield f"{inside}: {name} may not import {other}"


def imported_modules(file: Path, inside: Path) -> Iterator[str]:
    """Dotted names that a file imports from mitotype, however spelled: absolute, `from mitotype import x`, or relative."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ("mitotype", *inside.parts[:-1])[: len(inside.parts) - node.level + 1]
            names = [".".join([*above, node.module or "", alias.name]).replace("..", ".") for alias in node.names]
        yield from (name for name in names if name.split(".")[0] == "mitotype")


def imported_packages(file: Path, inside: Path) -> Iterator[str]:
    for name in imported_modules(file, inside):
        parts = name.split(".")
        if len(parts) > 1 and not parts[1].startswith("__"):
            yield parts[1]


def import_cycles(package: Path) -> list[list[str]]:
    """Groups of files that import each other in a loop (strongly connected components of more than one file)."""
    files = {_module(file, package): file for file in package.rglob("*.py")}
    graph = {
        module: {
            target for name in imported_modules(file, file.relative_to(package)) if (target := _target(name, files))
        }
        - {module}
        for module, file in files.items()
        if file.name != "__init__.py"
    }
    reachable = {module: _reachable(module, graph) for module in graph}
    loops = {
        tuple(sorted(other for other in reached if module in reachable[other])) for module, reached in reachable.items()
    }
    return sorted(list(loop) for loop in loops if len(loop) > 1)


def _module(file: Path, package: Path) -> str:
    parts = ["mitotype", *file.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _target(name: str, files: dict[str, Path]) -> str | None:
    """The file that an imported name lies in; a package's __init__ only names what its files define."""
    module = next((n for n in (name, name.rpartition(".")[0]) if n in files), None)
    return module if module and files[module].name != "__init__.py" else None


def _reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    left = [start]
    while left:
        for target in graph.get(left.pop(), set()) - reached:
            reached.add(target)
            left.append(target)
    return reached


def test_packages_import_only_what_they_may() -> None:
    assert list(forbidden_imports(PACKAGE)) == []


def test_a_forbidden_import_is_reported(tmp_path: Path) -> None:
    (tmp_path / "transforms").mkdir()
    (tmp_path / "transforms" / "a.py").write_text("from mitotype.losses import losses\n")
    (tmp_path / "transforms" / "b.py").write_text("from mitotype import fit\n")
    (tmp_path / "transforms" / "c.py").write_text("def f():\n    from ..datasets import votes\n")
    (tmp_path / "transforms" / "d.py").write_text(
        "import mitotype.scores.table\nfrom mitotype.core import files\nfrom . import a\n"
    )
    (tmp_path / "odd.py").write_text("")
    assert list(forbidden_imports(tmp_path)) == [
        "odd.py: the package 'odd' has no rule",
        "transforms/a.py: transforms may not import losses",
        "transforms/b.py: transforms may not import fit",
        "transforms/c.py: transforms may not import datasets",
        "transforms/d.py: transforms may not import scores",
    ]


def test_the_commands_call_the_public_functions_only() -> None:
    """Listings and reference pages read the registries; all other work of the commands is that of `api`."""
    allowed = {"mitotype.api", "mitotype.cli", "mitotype.core", "mitotype.__version__"}
    for file in set((PACKAGE / "cli").glob("*.py")) - {
        PACKAGE / "cli" / name for name in ("listing.py", "reference_pages.py")
    }:
        for name in imported_modules(file, file.relative_to(PACKAGE)):
            assert any(name == other or name.startswith(f"{other}.") for other in allowed), f"{file.name}: {name}"


def test_no_files_import_each_other_in_a_loop() -> None:
    assert import_cycles(PACKAGE) == []


def test_a_loop_of_imports_is_reported(tmp_path: Path) -> None:
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit" / "a.py").write_text("from mitotype.fit import b\n")
    (tmp_path / "fit" / "b.py").write_text("def f():\n    from mitotype.fit.c import g\n")
    (tmp_path / "fit" / "c.py").write_text("from . import a\n")
    (tmp_path / "fit" / "d.py").write_text("from mitotype.fit import a\n")
    assert import_cycles(tmp_path) == [["mitotype.fit.a", "mitotype.fit.b", "mitotype.fit.c"]]


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sorted(m.split('.')[0] for m in sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


HEAVY = {"torch", "timm", "pandas", "sklearn", "skimage", "matplotlib", "scipy", "pyarrow"}


def test_import_is_light() -> None:
    assert not loaded_after("import mitotype") & HEAVY


def test_help_loads_nothing_heavy() -> None:
    statement = (
        "from mitotype.cli import app\nfrom typer.testing import CliRunner\n"
        "assert 'classify' in CliRunner().invoke(app, ['--help']).output"
    )
    assert not loaded_after(statement) & {*HEAVY, "numpy", "msgspec", "rich"}


LIGHT = """
from mitotype.core import extras
class Absent:
    def find_spec(self, name, *args):
        if name.partition(".")[0] in optional:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
optional = {library for libraries in extras.EXTRAS.values() for library in libraries}
sys.meta_path.insert(0, Absent())
from mitotype.cli import main
"""


@pytest.mark.parametrize("bundle", ["default", "morphology"])
def test_classify_runs_without_optional_libraries(bundle: str) -> None:
    """An optional library cannot be imported here, and classification imports no pandas either."""
    statement = (
        f"import contextlib, io{LIGHT}"
        "with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):\n"
        f"    main(['classify', '--example', '--bundle', '{bundle}', '--quiet'])\n"
        "assert out.getvalue().count('png,0,') == 6"
    )
    unwanted = HEAVY - ({"scipy", "skimage"} if bundle == "morphology" else set())
    assert not loaded_after(statement) & unwanted


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "demo", "--data", "."],
        ["classify", "--example", "--out", "x.parquet"],
        ["export", "default"],
        ["serve"],
    ],
)
def test_a_command_names_the_extra_that_it_needs(arguments: list[str]) -> None:
    code = f"import sys{LIGHT}main({arguments})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    assert re.search(
        r'is not installed.\n  install it: pip install "mitotype\[(train|evaluate|serve)\]"', result.stderr
    )


def test_scores_and_evaluation_need_no_torch() -> None:
    statement = "import importlib, pkgutil\n" + "\n".join(
        f"import mitotype.{package} as p\n[importlib.import_module(m.name) for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.')]"
        for package in ("scores", "evaluation", "datasets")
    )
    assert "torch" not in loaded_after(statement)


def test_scores_are_evaluated_without_torch() -> None:
    assert "torch" not in loaded_after(
        "import mitotype\nmitotype.evaluate, mitotype.compare, mitotype.score, mitotype.ensemble"
    )


def test_no_file_is_long_and_the_median_is_short() -> None:
    lengths = sorted(len(file.read_text(encoding="utf-8").splitlines()) for file in PACKAGE.rglob("*.py"))
    assert lengths[-1] <= 400
    assert lengths[len(lengths) // 2] <= 150
