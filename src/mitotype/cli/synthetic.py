"""The demo: a synthetic cohort from pictures to report, then the shipped bundle on the same pictures."""

from __future__ import annotations

import sys
from pathlib import Path

from mitotype.cli import show, work
from mitotype.core import files
from mitotype.core.words import TEST

PATCHES, CASES, SEED = 800, 80, 0


def demo(out: Path) -> None:
    """Make the cohort, train the recipe `demo`, score, evaluate, classify; what is there already is taken up."""
    from mitotype.datasets import synthetic

    cohort, run, answers = out / "cohort", out / "run", out / "answers.csv"
    with show.progress("draw the cohort", PATCHES) as step:
        whole = synthetic.generate(cohort, patches=PATCHES, cases=CASES, seed=SEED, told=step)
    if (run / "run.json").is_file():
        work.resume(run)
    else:
        work.train("demo", work.Asked(data=[str(cohort)], out=run))
    work.score(str(run), [str(cohort)], None, None, "cpu")
    work.evaluate(str(run), [], None, TEST, False, 1000)
    _classify(whole.rows["path"][whole.rows["part"] == TEST].tolist(), answers)
    print(f"\nOpen {run / 'report.html'} in a browser, and {answers} in a spreadsheet.")
    print("The pictures are drawn by a program: these numbers show the road, they say nothing of real figures.")


def _classify(paths: list[str], answers: Path) -> None:
    """What the shipped bundle, trained on real figures, says of the drawn ones."""
    from mitotype.deploy import bundle, classify, scorer

    if not bundle.shipped():
        print("no bundle ships with this package: nothing is classified", file=sys.stderr)
        return
    with show.progress("classify", len(paths)) as step:
        found = classify.classify(scorer.open_scorer("default"), classify.gather(paths), done=step)
    answers.unlink(missing_ok=True)
    show.answers(found, answers, as_json=False)
    files.write_json(answers.with_suffix(".json"), [answer.plain() for answer in found])
