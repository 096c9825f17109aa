"""Write the stored numbers anew: python -m tests.golden.record [--table]

Numbers change only with a reason. `--table` makes the score table again. The files in v0_1_0/ were written by version 0.1.0.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import torch

from tests.golden import cohorts, computed, fitters, fixtures, shipped
from tests.golden.numbers import HERE, write
from tests.golden.package import SHIPPED, Cohort

DIGITS = 6  # of numbers that are compared within 1e-3


def main(options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name, cohorts.small_nets():
        folder = Path(name)
        os.environ |= {"XDG_CACHE_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
        torch.set_num_threads(1)
        cohort = cohorts.generated(folder)
        if "--table" in options:
            computed.write_table()
        numbers(cohort, folder)


def numbers(cohort: Cohort, folder: Path) -> None:
    for recipe in fitters.RECIPES:
        write(f"fit_{recipe}.json", fitters.numbers(recipe, cohort, folder), digits=DIGITS)
    for file, compute in computed.TABLES.items():
        write(file, compute())
    (HERE / computed.NAMED).write_text(json.dumps(computed.lookups(), indent=1) + "\n", encoding="utf-8")
    for bundle in SHIPPED:
        write(f"shipped_{bundle}.json", shipped.predictions(bundle, cohort), digits=DIGITS)
    for name in fixtures.NAMES:
        write(
            f"v0_1_0_{name}.json",
            shipped.predictions(str(fixtures.FOLDER / name), fixtures.sample(cohort)),
            digits=DIGITS,
        )
    write("v0_1_0_evaluation.json", fixtures.evaluation())


if __name__ == "__main__":
    main(sys.argv[1:])
