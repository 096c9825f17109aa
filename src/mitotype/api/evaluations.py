"""The results of `evaluate` and `compare`: numbers with intervals as data frames, tables in a notebook, plots."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from mitotype.core import files, html_text, number_format, outputs, records
from mitotype.core.run_layout.evaluation import Interval
from mitotype.evaluation import compare as comparisons
from mitotype.evaluation import results
from mitotype.evaluation.metrics import metrics_of
from mitotype.evaluation.metrics.metric import SET

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MAX_REPLICATES = 1000  # of the bands of curves


class Evaluation(results.Evaluation, frozen=True, kw_only=True, eq=False):
    """The numbers of an evaluation with their intervals over cases; `evaluate` returns it.

    Parameters
    ----------
    format : int, default 2
        Format of evaluation.json.
    about : About
        Title, command, date, openings of the test sets.
    settings : SettingsRecord
        Replicates, seed, level of the intervals, combiner, members, views.
    entries : sequence of Entry
        One for each dataset and part, with the decided `rows` behind the numbers.
    checks : list of CheckRecord
        The checks on method (M001 …) with what they report.
    notes : list of str
        Remarks, such as on patches without a label.
    decision : Decision
        Calibration, threshold and band of uncertainty.

    See Also
    --------
    evaluate : Evaluate scores.
    compare : Compare two sets of scores.

    Examples
    --------
    >>> import mitotype, pandas as pd
    >>> scores = pd.DataFrame({"score": [0.9, 0.8, 0.3, 0.1], "label": [1, 0, 1, 0], "case_id": ["a", "a", "b", "b"]})
    >>> evaluation = mitotype.evaluate(scores, n_boot=100)
    >>> evaluation.to_frame().query("group == 'all' and metric == 'sensitivity'")["value"].item()
    0.5
    """

    @classmethod
    def of(cls, evaluation: results.Evaluation) -> Evaluation:
        """Return an evaluation with the methods of this class.

        Parameters
        ----------
        evaluation : mitotype.evaluation.results.Evaluation
            What `mitotype.evaluation.evaluator.evaluate` returns.

        Returns
        -------
        Evaluation
            The same numbers.
        """
        return cls(**asdict(evaluation))

    def __repr__(self) -> str:
        shown = "; ".join(
            f"{entry.name}: {entry.patches} patches, balanced accuracy "
            f"{_interval(entry.headline.metrics['balanced_accuracy'])}"
            for entry in self.entries
        )
        return f"<Evaluation of {shown}>"

    def __str__(self) -> str:
        from mitotype.evaluation.report.text import evaluation_text

        return evaluation_text(self)

    def to_frame(self) -> pd.DataFrame:
        """Return every number as a row.

        Returns
        -------
        pandas.DataFrame
            Columns dataset, part, variant ("decided": as decided by the bundle or run), group ("all", or the name of a domain
            or of an agreement of the experts), patches, atypical, cases, metric, value, low, high; nan where undefined.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for entry in self.entries:
            groups: list[tuple[str, str, Any]] = [(variant.key, "all", variant) for variant in entry.variants]
            groups += [(entry.headline.key, group.name, group) for group in (*entry.domains, *entry.agreement)]
            for variant, name, group in groups:
                shared = {"dataset": entry.dataset, "part": entry.part, "variant": variant, "group": name}
                counts = {"patches": group.patches, "atypical": group.atypical, "cases": group.cases}
                rows += [{**shared, **counts, "metric": m, **_bounds(i)} for m, i in group.metrics.items()]
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        rows = [
            [
                f"{entry.name}, {variant.title}",
                f"{variant.patches} ({variant.atypical})",
                variant.cases,
                *(_interval(variant.metrics.get(metric)) for metric in metrics_of(SET)),
            ]
            for entry in self.entries
            for variant in entry.variants
        ]
        titles = ("set", "patches (atypical)", "cases", *(metric.title for metric in metrics_of(SET).values()))
        return html_text.table(self.about.title, rows, titles)

    def plot(self) -> Figure:
        """Draw the ROC curve and the calibration of every dataset and part.

        Returns
        -------
        matplotlib.figure.Figure
            A row for each; a set of one class has no ROC curve.
        """
        from mitotype.api import figures
        from mitotype.evaluation.report import plots
        from mitotype.evaluation.resample import bootstrap_cases

        level = self.settings.level
        with figures.style():
            sheet = figures.plot(6.6, 3.2 * len(self.entries))
            parts = sheet.subfigures(len(self.entries), 2, squeeze=False)
            for entry, (left, right) in zip(self.entries, parts, strict=True):
                label, probability = (entry.rows[name].to_numpy(float) for name in ("label", "probability"))
                n_boot = min(self.settings.n_boot, MAX_REPLICATES)
                bootstrap = bootstrap_cases(entry.rows, n_boot=n_boot, seed=self.settings.seed)
                n_normal, counts = entry.patches - entry.atypical, entry.confusion
                if entry.atypical and n_normal:
                    at = (counts.tp / entry.atypical, counts.tn / n_normal)
                    plots.roc_drawing(label, probability, bootstrap, at, level=level)(left, left.add_subplot())
                plots.calibration_drawing(label, probability, bootstrap, level=level)(right, right.add_subplot())
                left.suptitle(entry.name)
        return sheet

    def write_report(self, path: str | Path = "report.html") -> Path:
        """Write the report as one HTML file, and its numbers beside it.

        Parameters
        ----------
        path : str or Path, default "report.html"
            A name that ends in .html. The numbers are in a file that ends in .json, see `numbers_path`.

        Returns
        -------
        Path
            The file of the report.

        Raises
        ------
        UserError
            For another ending, and for a file that cannot be written.
        """
        from mitotype.evaluation.report.html import render_report

        path = Path(path)
        outputs.check_file(path, (".html",))
        files.write_text(path, render_report(self))
        records.write(numbers_path(path), self.to_record())
        return path


def numbers_path(report: Path) -> Path:
    """Return the path of the numbers beside a report: evaluation.json for report.html, X.json for X.html."""
    return report.with_name(report.stem.replace("report", "evaluation") + ".json")


@dataclass(frozen=True, repr=False)
class Comparison(comparisons.Comparison):
    """The differences between two sets of scores with their intervals over cases; `compare` returns it.

    Parameters
    ----------
    name_a, name_b : str
        Names of the two.
    sets : tuple of ComparedSet
        One for each dataset and part that both have.
    n_boot : int
        Paired bootstrap replicates of the cases.
    seed : int
        Their seed.
    level : float, default 0.95
        Level of the intervals.

    See Also
    --------
    compare : Compare two sets of scores.
    evaluate : Evaluate scores.

    Examples
    --------
    >>> import mitotype, pandas as pd
    >>> rows = pd.DataFrame({"label": [1, 0, 1, 0], "case_id": ["a", "a", "b", "b"]})
    >>> a, b = rows.assign(score=[0.9, 0.8, 0.3, 0.1]), rows.assign(score=[0.9, 0.2, 0.7, 0.1])
    >>> comparison = mitotype.compare(a, b, n_boot=100)
    >>> comparison.to_frame().query("metric == 'sensitivity'")["difference"].item()
    0.5
    """

    @classmethod
    def of(cls, comparison: comparisons.Comparison) -> Comparison:
        """Return a comparison with the methods of this class.

        Parameters
        ----------
        comparison : mitotype.evaluation.compare.Comparison
            What `mitotype.evaluation.compare.compare` returns.

        Returns
        -------
        Comparison
            The same numbers.
        """
        return cls(**{field.name: getattr(comparison, field.name) for field in fields(comparison)})

    def __repr__(self) -> str:
        shown = "; ".join(
            f"{s.name}: balanced accuracy {_signed(s.difference['balanced_accuracy'])}" for s in self.sets
        )
        return f"<Comparison of {self.name_b} with {self.name_a}, {shown}>"

    def __str__(self) -> str:
        from mitotype.evaluation.report.text import comparison_text

        return comparison_text(self)

    def to_frame(self) -> pd.DataFrame:
        """Return every number as a row.

        Returns
        -------
        pandas.DataFrame
            Columns set, patches, atypical, cases, metric, a, b, difference (b - a), low, high (of the difference), p; nan where
            undefined.
        """
        import pandas as pd

        rows = [
            {
                "set": s.name, "patches": s.patches, "atypical": s.atypical, "cases": s.cases, "metric": metric,
                "a": s.a[metric].value, "b": s.b[metric].value, "difference": difference.value,
                "low": difference.low, "high": difference.high, "p": s.p[metric],
            }
            for s in self.sets
            for metric, difference in s.difference.items()
        ]  # fmt: skip
        numbers = ["a", "b", "difference", "low", "high", "p"]
        return pd.DataFrame(rows).astype(dict.fromkeys(numbers, float))

    def _repr_html_(self) -> str:
        rows = [
            (
                s.name,
                metric.title,
                _interval(s.a[m]),
                _interval(s.b[m]),
                _signed(s.difference[m]),
                number_format.number(s.p[m], 4),
            )
            for s in self.sets
            for m, metric in metrics_of(SET).items()
        ]
        title = f"a: {self.name_a}, b: {self.name_b}"
        return html_text.table(title, rows, ("set", "metric", "a", "b", "b - a", "p"))

    def plot(self) -> Figure:
        """Draw the differences with their intervals.

        Returns
        -------
        matplotlib.figure.Figure
            One panel for each dataset and part; to the right of 0 the second set of scores has the higher value.
        """
        from mitotype.api import figures
        from mitotype.evaluation.report.plots import BLUE, GREY

        with figures.style():
            sheet = figures.plot(5.2, 2.7 * len(self.sets))
            panels = sheet.subplots(len(self.sets), 1, squeeze=False)[:, 0]
            for panel, compared in zip(panels, self.sets, strict=True):
                panel.axvline(0, color=GREY, linewidth=0.8)
                for height, metric in enumerate(metrics_of(SET)):
                    difference = compared.difference[metric]
                    if difference.low is not None:
                        panel.plot([difference.low, difference.high], [height, height], color=BLUE)
                    if difference.value is not None:
                        panel.plot(difference.value, height, "o", color=BLUE, markersize=5)
                panel.set_yticks(range(len(metrics_of(SET))), [metric.title for metric in metrics_of(SET).values()])
                panel.invert_yaxis()
                panel.set(title=compared.name, xlabel=f"{self.name_b} - {self.name_a}")
        return sheet


def _bounds(interval: Interval) -> dict[str, float]:
    nan = float("nan")
    values = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: nan if value is None else value for name, value in values.items()}


def _interval(interval: Interval | None) -> str:
    return number_format.interval(interval.value, interval.low, interval.high) if interval else number_format.DASH


def _signed(interval: Interval) -> str:
    bounds = number_format.bracketed(interval.low, interval.high, sign=True)
    return f"{number_format.number(interval.value, sign=True)} {bounds}".strip()
