"""Who may know whom: reads every import of the package and holds the arrows. A second test shows that the guard bites."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mitotype

PACKAGE = Path(mitotype.__file__).parent
SIBLINGS = ("datasets", "views", "features", "backbones", "losses", "scores")
MAY: dict[str, set[str]] = {"core": set(), **{room: {"core"} for room in SIBLINGS}}
MAY["evaluation"] = {"core", "scores"}
MAY["fit"] = {"core", *SIBLINGS, "evaluation"}
MAY["jobs"] = {*MAY["fit"], "fit"}
MAY["deploy"] = {"core", "views", "backbones", "features", "scores"}
MAY["slides"] = {*MAY["deploy"], "deploy"}
MAY["review"] = {*MAY["slides"], "slides"}
MAY["recipes"] = {*MAY["fit"], "fit"}
EVERYTHING = {"cli", "__init__", "__main__"}


def trespasses(package: Path) -> Iterator[str]:
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package)
        room = inside.parts[0].removesuffix(".py")
        if room in EVERYTHING or room.startswith("cli"):
            continue
        if room not in MAY:
            yield f"{inside}: the room '{room}' has no arrows"
            continue
        for other in imported_rooms(file, inside):
            if other != room and other not in MAY[room]:
                yield f"{inside}: {room} may not know {other}"


def imported_rooms(file: Path, inside: Path) -> Iterator[str]:
    """Rooms imported by a file, however the import is spelled: absolute, `from mitotype import x`, or relative."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ("mitotype", *inside.parts[:-1])[: len(inside.parts) - node.level + 1]
            names = [
                ".".join([*above, *(node.module or "").split("."), alias.name]).replace("..", ".")
                for alias in node.names
            ]
        for name in names:
            parts = [part for part in name.split(".") if part]
            if parts[0] == "mitotype" and len(parts) > 1 and not parts[1].startswith("__"):
                yield parts[1]


def test_the_arrows_hold() -> None:
    assert list(trespasses(PACKAGE)) == []


def test_the_guard_bites(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "a.py").write_text("from mitotype.losses import losses\n")
    (tmp_path / "views" / "b.py").write_text("from mitotype import fit\n")
    (tmp_path / "views" / "c.py").write_text("def f():\n    from ..datasets import votes\n")
    (tmp_path / "views" / "d.py").write_text(
        "import mitotype.scores.table\nfrom mitotype.core import files\nfrom . import a\n"
    )
    (tmp_path / "odd.py").write_text("")
    assert list(trespasses(tmp_path)) == [
        "odd.py: the room 'odd' has no arrows",
        "views/a.py: views may not know losses",
        "views/b.py: views may not know fit",
        "views/c.py: views may not know datasets",
        "views/d.py: views may not know scores",
    ]


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
    assert not loaded_after(statement) & HEAVY


def test_scores_and_evaluation_need_no_torch() -> None:
    statement = "import importlib, pkgutil\n" + "\n".join(
        f"import mitotype.{room} as r\n[importlib.import_module(m.name) for m in pkgutil.iter_modules(r.__path__, r.__name__ + '.')]"
        for room in ("scores", "evaluation", "datasets")
    )
    assert "torch" not in loaded_after(statement)


def test_no_file_is_long_and_the_median_is_short() -> None:
    lengths = sorted(len(file.read_text(encoding="utf-8").splitlines()) for file in PACKAGE.rglob("*.py"))
    assert lengths[-1] <= 400
    assert lengths[len(lengths) // 2] <= 150
