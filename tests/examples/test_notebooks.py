"""The notebooks run from the first cell to the last, each in an empty folder, and hold outputs without an error."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    pytest.importorskip("nbclient")
    spec = importlib.util.spec_from_file_location("run_notebooks", EXAMPLES / "run_notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("one_cpu")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, runner: ModuleType) -> None:
    notebook = runner.run(path)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_complete_and_hold_no_path_of_a_machine(path: Path, runner: ModuleType) -> None:
    text = path.read_text(encoding="utf-8")
    notebook = runner.nbformat.reads(text, as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert len(outputs) >= 4
    assert not [output for output in outputs if output.output_type == "error"]
    assert not any(
        f"{folder}/" in text for folder in ("/tmp", "/home", "/root", tempfile.gettempdir(), EXAMPLES.parent)
    )
    assert len(text) < 700_000
