"""A run: what `train` leaves in its folder, with its scores, its evaluation and its loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.api.evaluations import Evaluation
from mitotype.api.scoring import evaluate
from mitotype.core import html_text, records
from mitotype.core.run_layout import LogLine, names, read_run
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.fit.recipe import Recipe
from mitotype.scores import table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Run:
    """The folder of a run; `train` and `resume` return it.

    Parameters
    ----------
    dir : Path
        The folder. Anything that takes a path takes the Run too.

    See Also
    --------
    train : Train a recipe into a run folder.
    score : Score test data with a run.
    bundle : Make a bundle of a run.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=60, cases=12, domains=4)
    >>> run = mitotype.train("morphology", "cohort", out="run", settings=["folds=2"])
    >>> run.members
    ('all-seed0', 'fold1-seed0', 'fold2-seed0')
    >>> run.scores()["label"].nunique()
    2
    """

    dir: Path

    def __fspath__(self) -> str:
        return str(self.dir)

    def __repr__(self) -> str:
        state = "finished" if self.is_finished else "not finished"
        return f"<Run '{self.dir}' of {self.recipe.name}, {len(self.members)} members, {state}>"

    @property
    def recipe(self) -> Recipe:
        """The recipe, with every field resolved."""
        return Recipe.from_dict(read_run(self.dir).recipe)

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the members that are trained completely."""
        return tuple(path.name for path in names.member_dirs(self.dir))

    @property
    def is_finished(self) -> bool:
        """Whether everything is trained and the decision is fitted."""
        return names.is_finished(self.dir)

    def scores(self) -> pd.DataFrame:
        """Return the rows of the score table, with the facts of their patches.

        Returns
        -------
        pandas.DataFrame
            One raw logit per patch, part ("out-of-fold" or "test"), member and view: patch_id, part, fold, member, view,
            logit, dataset, case_id, domain, label, and others.
        """
        scores = table.read(self.dir)
        return scores.joined(scores.scores)

    def evaluate(self, part: str = OUT_OF_FOLD, *, n_boot: int = 2000) -> Evaluation:
        """Evaluate the scores of the run.

        Parameters
        ----------
        part : {"out-of-fold", "test"}, default "out-of-fold"
            Rows to evaluate.
        n_boot : int, default 2000
            Bootstrap replicates over cases.

        Returns
        -------
        Evaluation
            Metrics with intervals; out-of-fold rows are decided by a cross-fitted decision.
        """
        return evaluate(self.dir, part=part, n_boot=n_boot)

    def _repr_html_(self) -> str:
        record = read_run(self.dir)
        data = record.data
        rows = [
            ("recipe", record.recipe_text("name")),
            ("backbone", record.recipe_text("backbone")),
            ("training data", f"{data.patches} patches ({data.atypical} atypical) of {data.cases} cases"),
            ("members", ", ".join(self.members)),
            ("started", record.started),
            ("finished", record.finished or "no"),
        ]
        return html_text.table(f"Run {self.dir}", rows)

    def plot(self) -> Figure:
        """Draw the loss of every member by epoch.

        Returns
        -------
        matplotlib.figure.Figure
            The curves. A member that is solved in one step (a probe, a feature) has none.
        """
        from mitotype.api import figures

        lines = records.read_lines(self.dir / names.LOG, LogLine, what="log")
        with figures.style():
            sheet = figures.plot(5.2, 3.2)
            axes = sheet.add_subplot()
            for member in dict.fromkeys(line.member for line in lines):
                own = [line for line in lines if line.member == member and line.loss is not None and line.epoch]
                if own:
                    axes.plot([line.epoch or 0 for line in own], [line.loss or 0 for line in own], label=member)
            axes.set(xlabel="epoch", ylabel="loss")
            if axes.lines:
                axes.legend(frameon=False, fontsize=7.5)
        return sheet
