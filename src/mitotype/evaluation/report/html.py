"""report.html: one file with every number, curve and error of an evaluation. No script, no font, no address in it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from mitotype.core import images, number_format, templates
from mitotype.core.errors import UserError
from mitotype.core.run_layout.evaluation import Interval
from mitotype.core.schema import NOTICE, NOTICE_LONG, OUT_OF_FOLD, PATCH_PX
from mitotype.evaluation.metrics import metrics, metrics_of
from mitotype.evaluation.metrics.metric import GROUP, SET
from mitotype.evaluation.report import plots
from mitotype.evaluation.report.text import calibration_line
from mitotype.evaluation.resample import bootstrap_cases
from mitotype.evaluation.results import Entry, Evaluation

N_ERRORS = 8  # of each kind that are shown per test set
MAX_UNDEFINED = 0.01  # a higher share of replicates with one class is printed with the number
MAX_REPLICATES = 1000  # of the bands of curves


def render_report(evaluation: Evaluation, *, n_errors: int = N_ERRORS) -> str:
    """Return the evaluation as one self-contained HTML page, for the screen and for print. Every text in it is escaped.

    The `n_errors` most confident errors of each kind are shown per entry, with the image of the column `path` if there is one.
    """
    return templates.render(
        "mitotype.evaluation.report",
        "report.html.j2",
        cell=_cell,
        number=number_format.number,
        notice=NOTICE,
        notice_long=NOTICE_LONG,
        evaluation=evaluation,
        columns=metrics_of(SET),
        group_columns=metrics_of(GROUP),
        metrics=metrics_of(),
        smaller_is_better=[m.title for m in metrics_of(SET).values() if m.larger_is_better is False],
        capitalized=_capitalized,
        entries=[_entry_view(evaluation, entry, n_errors) for entry in evaluation.entries],
        published=[entry for entry in evaluation.entries if entry.published],
        sources=_sources(evaluation),
        decision=describe_decision(evaluation),
        settings=_settings(evaluation),
    )


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sources(evaluation: Evaluation) -> str:
    """Return the origin of the published results and of the baselines, each once."""
    results = [entry.published for entry in evaluation.entries if entry.published]
    published, baselines = ({getattr(r, name): None for r in results} for name in ("source", "floor_source"))
    parts = [
        *(f"Published best: {source}" for source in published if source),
        *(f"Baseline: {source}; a model below it is worse than shape descriptors" for source in baselines if source),
    ]
    return ". ".join(parts)


def describe_decision(evaluation: Evaluation) -> str:
    """Return ensemble, calibration, threshold and band as one line."""
    decision, settings = evaluation.decision, evaluation.settings
    kind = settings.combiner.kind
    titles = {"weighted": "Weighted logits", "sklearn": "A classifier of scikit-learn on the logits"}
    combined = titles.get(kind) or kind.replace("_", " ").capitalize()
    combined += f" of {_count(len(settings.members), 'member')} and {_count(len(settings.views), 'view')}"
    calibration = {
        "identity": "no calibration",
        "temperature": f"temperature {1 / decision.calibration.slope:.2f}",
        "platt": f"Platt scaling (slope {decision.calibration.slope:.2f}, intercept {decision.calibration.intercept:+.2f})",
    }[decision.calibration.kind]
    threshold = f"atypical from P = {decision.threshold.value:.3f} ({decision.threshold.rule})"
    band = decision.abstention
    uncertain = f"uncertain between {band.low:.3f} and {band.high:.3f} ({band.rule})" if band.low < band.high else ""
    return "; ".join(part for part in (combined, calibration, threshold, uncertain) if part)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _cell(interval: Interval | None) -> dict[str, Any]:
    """Return the value, the small lines below it (bounds, SD between members), and the reason for what is missing."""
    if interval is None:
        return {"value": number_format.DASH, "below": [], "reason": ""}
    below, reason = [], interval.reason
    if interval.low is not None:
        below.append(number_format.bounds(interval.low, interval.high))
        share = interval.n_undefined / (interval.n_boot + interval.n_undefined)
        if share > MAX_UNDEFINED:
            reason = f"{share:.0%} of replicates had one class"
    if interval.member_sd is not None:
        below.append(f"SD {interval.member_sd:.3f}")
    return {"value": number_format.number(interval.value), "below": below, "reason": reason}


def _entry_view(evaluation: Evaluation, entry: Entry, n_errors: int) -> dict[str, Any]:
    """Return what the template needs of one entry: titles, plots, tables, errors."""
    rows, settings = entry.rows, evaluation.settings
    label, probability = rows["label"].to_numpy(float), rows["probability"].to_numpy(float)
    bootstrap = bootstrap_cases(rows, n_boot=min(settings.n_boot, MAX_REPLICATES), seed=settings.seed)
    has_both_classes = 0 < entry.atypical < entry.patches
    counts, level = entry.confusion, settings.level
    figures, risk, forest = [], "", ""
    if has_both_classes:
        at = (counts.tp / entry.atypical, counts.tn / (entry.patches - entry.atypical))
        figures.append(("ROC", plots.roc_plot(label, probability, bootstrap, at, level=level)))
        coverage = 1 - entry.abstained.uncertain / entry.patches if entry.abstained else None
        risk = plots.risk_plot(label, probability, evaluation.decision.threshold.value, coverage)
    figures.append(("Calibration", plots.calibration_plot(label, probability, bootstrap, level=level)))
    figures.append(("Confusion", plots.confusion_plot(counts.tp, counts.fn, counts.fp, counts.tn)))
    if len(entry.domains) > 1:
        forest = _forest(entry)
    return {
        "title": entry.published.title if entry.published else entry.name,
        "anchor": f"set-{entry.dataset}-{entry.part}",
        "entry": entry,
        "figures": [(title, plots.data_url(svg)) for title, svg in figures],
        "forest": plots.data_url(forest) if forest else "",
        "risk": plots.data_url(risk) if risk else "",
        "calibration": calibration_line(entry),
        "cross_fitted": entry.part == OUT_OF_FOLD and evaluation.decision.fitted_on.rows > 0,
        "false_negatives": _gallery(rows[(label == 1) & (rows["class"] == "normal")], n_errors, ascending=True),
        "false_positives": _gallery(rows[(label == 0) & (rows["class"] == "atypical")], n_errors, ascending=False),
    }


def _forest(entry: Entry) -> str:
    name = "balanced_accuracy"
    rows = [
        (
            group.name if len(group.name) <= 44 else group.name[:43] + "…",
            f"{group.patches} figures, {group.atypical} atypical",
            group.metrics[name],
        )
        for group in entry.domains
    ]
    return plots.forest_plot(rows, entry.headline.metrics[name], metrics.get(name).title)


def _gallery(errors: pd.DataFrame, n_errors: int, *, ascending: bool) -> dict[str, Any]:
    """Return the most confident errors, and the number of all."""
    shown = errors.sort_values("probability", ascending=ascending, kind="stable").head(n_errors)
    return {"count": len(errors), "shown": [_error_view(row) for _, row in shown.iterrows()]}


def _error_view(row: pd.Series) -> dict[str, Any]:
    """Return what the template needs of one misclassified patch."""
    expert_votes, votes = row.get("expert_votes"), ""
    if np.isfinite(_float(row.get("votes"))) and np.isfinite(_float(row.get("votes_for"))):
        votes = f"{int(row['votes_for'])} of {int(row['votes'])} votes: atypical"
    url, reason = thumbnail(row)
    return {
        "id": row["patch_id"],
        "probability": float(row["probability"]),
        "decision": row["decision"],
        "domain": row["domain"] if isinstance(row["domain"], str) else "",
        "votes": votes,
        "expert_votes": expert_votes.lstrip("'") if isinstance(expert_votes, str) else "",
        "url": url,
        "reason": reason,
    }


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def thumbnail(row: pd.Series) -> tuple[str, str]:
    """Return the patch as a data URL of a PNG, or no URL and the reason."""
    path = row.get("path")
    if not isinstance(path, str) or not path:
        return "", "no image file"
    page, mpp_um = _float(row.get("page")), _float(row.get("mpp_um"))
    try:
        image = images.read_pages(Path(path), [0 if math.isnan(page) else int(page)])[0]
        image = images.at_scale(image, mpp_um) if np.isfinite(mpp_um) else image
    except UserError:
        return "", "image not available"
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(images.center_crop(image, min(PATCH_PX, *image.shape[:2])))).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode(), ""


def _settings(evaluation: Evaluation) -> list[tuple[str, Sequence[str]]]:
    """Return how the numbers were made: names, and lines of text."""
    about, decision, settings = evaluation.about, evaluation.decision, evaluation.settings
    fitted = "nothing was fitted: P = σ(logit), threshold 0.5"
    if decision.fitted_on.rows:
        fitted_on, digests = decision.fitted_on, len(decision.digests)
        members = _count(fitted_on.members, "member")
        fitted = f"{fitted_on.rows} out-of-fold rows ({members} each), target {fitted_on.target}; {digests} image digests stored"
    notes = [n for n in (decision.calibration.note, decision.threshold.note) if n]
    cross_fitted = decision.threshold.balanced_accuracy
    if cross_fitted is not None:
        notes.append(f"cross-fitted balanced accuracy of the threshold: {cross_fitted:.3f}")
    lines = [
        ("Command", [about.command]),
        ("Version", [f"mitotype {settings.version}, {about.created}"]),
        ("Decision", [describe_decision(evaluation)]),
        ("Fitted on", [fitted, *notes]),
        (
            "Intervals",
            [
                f"{settings.level:.0%} t intervals over cases; standard errors are from {settings.n_boot} bootstrap"
                f" replicates, seed {settings.seed}, and from leaving out one case at a time; all patches of a case are"
                " resampled together, within their domain (within the dataset, if cases cross domains); replicates of one"
                " class are left out and counted; fewer than five cases have no interval"
            ],
        ),
        ("Digests", [f"{name}: {value}" for name, value in about.digests.items()]),
        ("Test sets opened", about.openings),
        ("Notes", evaluation.notes),
    ]
    return [(name, [text for text in texts if text]) for name, texts in lines if any(texts)]
