"""The predictions of `classify`: a sequence, a data frame, a table in a notebook, a contact sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mitotype.core import html_text, number_format
from mitotype.core.run_layout import OperatingPoint
from mitotype.core.schema import NOTICE
from mitotype.deploy import classify as classification
from mitotype.deploy import predictions as prediction_files
from mitotype.deploy.classify import OUT_OF_DISTRIBUTION
from mitotype.deploy.predictions import Prediction
from mitotype.deploy.predictions import to_csv as to_csv

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

MAX_ROWS = 20  # in a notebook
DECISIONS = ("atypical", "normal", "uncertain")


def csv_columns(first: Sequence[Prediction], n_last: int) -> list[str]:
    """Return the columns of a csv that begins with `first`; after `n_last` predictions at once others may follow."""
    return prediction_files.csv_columns(first, more_follow=n_last == classification.CHUNK)


@dataclass(frozen=True, repr=False)
class Predictions(Sequence[Prediction]):
    """The predictions for some images, in their order; `classify` returns it.

    Parameters
    ----------
    items : tuple of Prediction
        One prediction for every figure.
    operating_point : OperatingPoint
        The threshold and the band of uncertainty that decided them, with the sensitivity and specificity that these had out
        of fold on the training patches.
    sources : mapping of str to array, optional
        The images that were given as arrays, by the path of their prediction, for `plot`.

    See Also
    --------
    classify : Classify images.

    Examples
    --------
    >>> import mitotype
    >>> predictions = mitotype.classify(mitotype.example_images())
    >>> len(predictions), predictions[0].label_name
    (6, 'atypical')
    """

    items: tuple[Prediction, ...]
    operating_point: OperatingPoint
    sources: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Prediction]: ...
    def __getitem__(self, index: int | slice) -> Prediction | Sequence[Prediction]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"<{self.summary()}>"

    @property
    def counts(self) -> dict[str, int]:
        """The number of figures by decision: atypical, normal, uncertain; and of images that could not be classified."""
        n_by_decision = Counter(prediction.decision for prediction in self.items)
        n_failed = sum(bool(prediction.error) for prediction in self.items)
        return {**{name: n_by_decision[name] for name in DECISIONS}, "failed": n_failed}

    def summary(self) -> str:
        """Return the counts as one line of text.

        Returns
        -------
        str
            Such as "6 figures: 2 atypical, 3 normal, 1 uncertain; 0 out of distribution".
        """
        counts = self.counts
        n_outliers = sum(OUT_OF_DISTRIBUTION in prediction.flags for prediction in self.items)
        decided = ", ".join(f"{counts[name]} {name}" for name in DECISIONS)
        return f"{len(self) - counts['failed']} figures: {decided}; {n_outliers} out of distribution"

    def to_frame(self) -> pd.DataFrame:
        """Return the predictions as a table.

        Returns
        -------
        pandas.DataFrame
            One row per figure: path, page, probability, decision, class, spread (standard deviation of the members'
            probabilities), flags; explanation and error where there are any.
        """
        return prediction_files.to_table(self.items)

    def write(self, path: str | Path) -> Path:
        """Write the predictions into a file.

        Parameters
        ----------
        path : str or Path
            A name that ends in .csv, .parquet or .json. A file that is there is replaced if it holds predictions.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        UserError
            For another ending, another file that would be replaced, and one that cannot be written.
        """
        from mitotype.core import outputs

        outputs.check_file(Path(path), prediction_files.SUFFIXES)
        prediction_files.check_replaceable(Path(path))
        prediction_files.write(Path(path), self.items)
        return Path(path)

    def _repr_html_(self) -> str:
        rows = [
            (Path(p.path).name, p.page, number_format.number(p.probability), p.decision, "; ".join(p.flags), p.error)
            for p in self.items[:MAX_ROWS]
        ]
        title = self.summary() if len(self) <= MAX_ROWS else f"{self.summary()}; the first {MAX_ROWS}"
        shown = html_text.table(title, rows, ("image", "page", "P(atypical)", "decision", "flags", "error"))
        return f"{shown}<p>{html_text.escape(self.operating_point)}. {NOTICE}</p>"

    def plot(self, columns: int = 6, limit: int = 48) -> Figure:
        """Draw a contact sheet: every figure with its probability and its decision.

        Parameters
        ----------
        columns : int, default 6
            Number of images in a row.
        limit : int, default 48
            Largest number of images.

        Returns
        -------
        matplotlib.figure.Figure
            The sheet. Images that could not be classified are left out.
        """
        from mitotype.api import figures
        from mitotype.evaluation.report.plots import BLUE, GREY, RED

        colors = {"atypical": RED, "normal": BLUE}
        shown = [prediction for prediction in self.items if not prediction.error][:limit]
        n_columns = max(1, min(columns, len(shown)))
        n_rows = max(1, -(-len(shown) // n_columns))
        with figures.style():
            sheet = figures.plot(1.45 * n_columns, 1.75 * n_rows)
            for number, prediction in enumerate(shown, 1):
                axes: Any = sheet.add_subplot(n_rows, n_columns, number)
                axes.imshow(self._image(prediction))
                axes.set_axis_off()
                text = f"{prediction.decision}  {prediction.probability:.2f}"
                axes.set_title(text, color=colors.get(prediction.decision, GREY))
        return sheet

    def _image(self, prediction: Prediction) -> np.ndarray:
        from mitotype.core import images

        if prediction.path in self.sources:
            return self.sources[prediction.path]
        return images.read_pages(Path(prediction.path), [prediction.page])[0]
