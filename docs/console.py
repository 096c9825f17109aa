"""Runs the commands of the how-to pages and writes their output below them: `python docs/console.py`.

Blocks of the kind `console` hold commands that begin with "$ ". They run in the order of the pages, in one temporary folder that
holds `patches/` (24 images), `mine/` (270 labelled patches of 42 cases), `new/` (150 of 18 other cases) and `theirs.csv` (scores of
those), all of them synthetic. Long outputs are cut.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import mitotype
from mitotype.core.schema import MPP_UM
from mitotype.datasets.synthesis.cohort import generate

HERE = Path(__file__).parent
PAGES = ("start", "how-to/use-it", "how-to/train-on-your-own", "how-to/evaluate-your-scores")
MAX_LINES = 40
EXAMPLES = Path(mitotype.__file__).parent / "examples"
COLUMNS = ["path", "label", "case_id", "domain", "votes_for", "votes", "mpp_um"]


def prepare(folder: Path) -> None:
    """Write the data that the commands name."""
    rows = generate(folder / "synthetic", patches=420, cases=60, seed=1).rows
    is_new = rows["domain"].isin(sorted(rows["domain"].unique())[-3:])
    for name, part in (("mine", rows[~is_new]), ("new", rows[is_new])):
        (folder / name).mkdir()
        for path in part["path"]:
            shutil.copy(path, folder / name)
        part.assign(path=[Path(path).name for path in part["path"]], mpp_um=MPP_UM)[COLUMNS].to_csv(
            folder / name / "figures.csv", index=False
        )
    (folder / "patches").mkdir()
    test = rows[is_new]
    for path in test["path"][:24]:
        shutil.copy(path, folder / "patches")
    noise = np.random.default_rng(0).normal(0, 1.2, len(test))
    score = 1 / (1 + np.exp(1.6 - 2.4 * test["label"].to_numpy(float) - noise))
    lines = [f"new/{Path(path).stem},{value:.4f}" for path, value in zip(test["path"], score, strict=True)]
    (folder / "theirs.csv").write_text("\n".join(["patch_id,score", *lines]) + "\n")


def run(command: str, folder: Path) -> str:
    """Return what a command prints, on both streams, at most MAX_LINES lines."""
    environment = {**os.environ, "COLUMNS": "100", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = re.sub(r"^mitotype ", f"{sys.executable} -m mitotype ", command)
    result = subprocess.run(
        command, shell=True, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode:
        sys.exit(f"$ {command}\n{result.stdout}")
    lines = result.stdout.rstrip("\n").replace(str(EXAMPLES), "…/examples").splitlines()
    return "\n".join([*lines[:MAX_LINES], "…"] if len(lines) > MAX_LINES else lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "figures"
        folder.mkdir()
        prepare(folder)
        for page in (HERE / f"{name}.md" for name in PAGES):

            def fill(block: re.Match[str]) -> str:
                commands = [line[2:] for line in block[1].splitlines() if line.startswith("$ ")]
                return "```console\n" + "\n".join(f"$ {c}\n{run(c, folder)}" for c in commands) + "\n```"

            text = page.read_text(encoding="utf-8")
            page.write_text(re.sub(r"```console\n(.*?)\n```", fill, text, flags=re.DOTALL), encoding="utf-8")
            print(page.relative_to(HERE))


if __name__ == "__main__":
    main()
