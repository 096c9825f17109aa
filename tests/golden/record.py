"""Write the stored numbers anew: python -m tests.golden.record [--fixtures | --table]

Numbers change only with a reason. `--fixtures` writes the runs and bundles of version 0.1.0 as well, which no later version can;
`--table` draws the score table again.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import torch

import mitotype
from tests.golden import cohorts, fitters, fixtures, judgements, shipped
from tests.golden.numbers import HERE, write
from tests.golden.package import SHIPPED, Cohort

DIGITS = 6  # of what is compared within 1e-3


def main(options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name, cohorts.small_nets():
        folder = Path(name)
        os.environ |= {"XDG_CACHE_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
        torch.set_num_threads(1)
        cohort = cohorts.generated(folder)
        if "--table" in options:
            judgements.write_table()
        if "--fixtures" in options:
            assert mitotype.__version__ == "0.1.0", "only version 0.1.0 writes the fixtures of version 0.1.0"
            fixtures.write(cohort, folder)
        numbers(cohort, folder)


def numbers(cohort: Cohort, folder: Path) -> None:
    for recipe in fitters.RECIPES:
        write(f"fit_{recipe}.json", fitters.numbers(recipe, cohort, folder), digits=DIGITS)
    for file, made in judgements.TABLES.items():
        write(file, made())
    (HERE / judgements.NAMED).write_text(json.dumps(judgements.named(), indent=1) + "\n", encoding="utf-8")
    for bundle in SHIPPED:
        write(f"shipped_{bundle}.json", shipped.answers(bundle, cohort), digits=DIGITS)
    for name in fixtures.NAMES:
        write(
            f"v0_1_0_{name}.json", shipped.answers(str(fixtures.FOLDER / name), fixtures.sample(cohort)), digits=DIGITS
        )
    write("v0_1_0_evaluation.json", fixtures.evaluation())


if __name__ == "__main__":
    main(sys.argv[1:])
