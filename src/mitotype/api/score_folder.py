"""The scores of test sets in a folder, as `score` leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import html_text
from mitotype.core.schema import TEST
from mitotype.scores import table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class ScoreFolder:
    """The folder with the scores of test sets; `score` returns it, and `evaluate` takes it.

    Parameters
    ----------
    dir : Path
        The folder. Anything that takes a path takes the ScoreFolder too.
    n_patches : mapping of str to int
        Number of patches that were scored, by test set.

    See Also
    --------
    score : Score test data.
    evaluate : Evaluate scores.

    Examples
    --------
    >>> import mitotype
    >>> folder = mitotype.score("morphology", mitotype.example_images()[0].parent, out="scores")
    >>> folder.n_patches
    {'examples': 6}
    """

    dir: Path
    n_patches: Mapping[str, int]

    def __fspath__(self) -> str:
        return str(self.dir)

    def __repr__(self) -> str:
        return f"<ScoreFolder '{self.dir}' with {self._counts()}>"

    def _counts(self) -> str:
        return ", ".join(f"{n} patches of {name}" for name, n in self.n_patches.items())

    def to_frame(self) -> pd.DataFrame:
        """Return the rows of the score table, with the facts of their patches.

        Returns
        -------
        pandas.DataFrame
            One raw logit per patch, member and view: patch_id, part, fold, member, view, logit, dataset, case_id, domain,
            label, and others.
        """
        scores = table.read(self.dir).take(part=TEST)
        return scores.joined(scores.scores)

    def _repr_html_(self) -> str:
        return html_text.table(f"Scores in {self.dir}", self.n_patches.items(), ("test set", "patches"))
