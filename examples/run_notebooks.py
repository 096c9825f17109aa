"""Runs the notebooks of this folder, each in an empty folder: `python examples/run_notebooks.py [--write] [NAME…]`.

Without names all of them are run. An exception in a cell ends the run with its traceback. `--write` stores the outputs.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 600  # of a cell


def run(path: Path) -> nbformat.NotebookNode:
    """Return the notebook with its outputs, run by the Python that runs this file."""
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")  # of tqdm, which shows no bar here
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=TIMEOUT_S, resources=resources, kernel_name="python3").execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times, which differ from run to run
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


def main(arguments: list[str]) -> None:
    names = [argument for argument in arguments if argument != "--write"]
    for path in sorted(HERE.glob("*.ipynb")):
        if names and path.stem not in names and path.name not in names:
            continue
        start_s = time.monotonic()
        notebook = run(path)
        if "--write" in arguments:
            nbformat.write(notebook, path)
        print(f"{path.name}: {time.monotonic() - start_s:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
