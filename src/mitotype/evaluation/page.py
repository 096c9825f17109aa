"""report.html: one file with every number, curve and mistake of an evaluation. No script, no font, no address in it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotype.core import pictures
from mitotype.core.mistakes import Mistake
from mitotype.core.words import NOTICE, NOTICE_LONG, OUT_OF_FOLD, PATCH_PX
from mitotype.evaluation import plots, published, resample
from mitotype.evaluation.interval import Interval
from mitotype.evaluation.metrics import METRICS
from mitotype.evaluation.record import Entry, Evaluation, Group, Variant

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("balanced_accuracy", "sensitivity", "specificity", "auroc", "auprc", "brier", "ece")
WORST = 8  # mistakes of each kind that are shown per test set
TOLD = 0.01  # a share of draws with one class above this is told beside the number


def report(evaluation: Evaluation, *, worst: int = WORST) -> str:
    """The evaluation as one HTML page that opens anywhere and prints. Every text in it is escaped.

    `worst` mistakes of each kind are shown per entry, read from the column `path` where the pictures are at hand.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mitotype.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(cell=_cell, number=_number, notice=NOTICE, notice_long=NOTICE_LONG)
    return environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        columns=[METRICS[name] for name in COLUMNS],
        metrics=list(METRICS.values()),
        entries=[_shown(evaluation, entry, worst) for entry in evaluation.entries],
        beside=[row for row in (_beside(entry) for entry in evaluation.entries) if row],
        sources={"benchmark": published.BENCHMARK, "floor": published.FLOOR},
        sentence=decision_sentence(evaluation),
        made=_made(evaluation),
    )


def decision_sentence(evaluation: Evaluation) -> str:
    """What stands between the logits and the calls, in one sentence."""
    decision, combine = evaluation.decision, evaluation.combine
    kind = {"mean_logit": "mean logit", "mean_probability": "mean probability", "weighted": "weighted logits"}[
        combine.kind
    ]
    made = f"{kind} of {_count(len(evaluation.members), 'member')} and {_count(len(evaluation.views), 'view')}"
    calibration = decision.calibration
    if calibration.kind == "identity":
        scaled = "no calibration"
    elif calibration.kind == "temperature":
        scaled = f"temperature {1 / calibration.slope:.2f}"
    else:
        scaled = f"Platt scaling (slope {calibration.slope:.2f}, intercept {calibration.intercept:+.2f})"
    cut = f"atypical from P = {decision.threshold.value:.3f} ({decision.threshold.rule})"
    band = decision.abstention
    unsure = f"uncertain between {band.low:.3f} and {band.high:.3f} ({band.rule})" if band.low < band.high else ""
    return "; ".join(part for part in (made[0].upper() + made[1:], scaled, cut, unsure) if part)


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def _number(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _cell(interval: Interval | None) -> dict[str, Any]:
    """The value, the small lines below it (bounds, SD between members), and why something is missing."""
    if interval is None:
        return {"value": "–", "below": [], "why": ""}
    below, why = [], interval.reason
    if not math.isnan(interval.low):
        below.append(f"{interval.low:.3f}–{interval.high:.3f}")
        share = interval.left_out / (interval.draws + interval.left_out)
        if share > TOLD:
            why = f"{share:.0%} of draws had one class"
    if not math.isnan(interval.sd):
        below.append(f"SD {interval.sd:.3f}")
    return {"value": _number(interval.value), "below": below, "why": why}


def _shown(evaluation: Evaluation, entry: Entry, worst: int) -> dict[str, Any]:
    """What the template needs of one entry: titles, plots, tables, mistakes."""
    rows = entry.rows
    label = rows["label"].to_numpy(float)
    probability = rows["probability"].to_numpy(float)
    draws = resample.of_rows(rows, draws=min(evaluation.draws, 1000), seed=evaluation.seed)
    found = published.published(entry.dataset, entry.part, entry.files)
    both = 0 < entry.atypical < entry.patches
    metrics = entry.headline.metrics
    counts = entry.confusion
    figures = []
    if both:
        at = (metrics["sensitivity"].value, metrics["specificity"].value)
        figures.append(("ROC", plots.roc_plot(label, probability, draws, at, level=evaluation.level)))
    figures.append(("Calibration", plots.calibration_plot(label, probability, draws, level=evaluation.level)))
    figures.append(("Confusion", plots.confusion_plot(counts.tp, counts.fn, counts.fp, counts.tn)))
    kept = 1 - entry.abstained.share if entry.abstained else None
    risk = plots.risk_plot(label, probability, evaluation.decision.threshold.value, kept) if both else ""
    forest = _forest(entry) if len(entry.domains) > 1 else ""
    return {
        "title": found.title if found else entry.name,
        "anchor": f"set-{entry.dataset}-{entry.part}",
        "entry": entry,
        "figures": [(title, plots.data_address(svg)) for title, svg in figures],
        "forest": plots.data_address(forest) if forest else "",
        "risk": plots.data_address(risk) if risk else "",
        "cross_fitted": entry.part == OUT_OF_FOLD and evaluation.decision.rows > 0,
        "missed": _gallery(rows[(label == 1) & (rows["class"] == "normal")], worst, ascending=True),
        "mistaken": _gallery(rows[(label == 0) & (rows["class"] == "atypical")], worst, ascending=False),
    }


def _forest(entry: Entry) -> str:
    name = "balanced_accuracy"
    rows = [(_wrapped(g.name), _clause(g), g.metrics[name]) for g in entry.domains]
    return plots.forest_plot(rows, entry.headline.metrics[name], "balanced accuracy")


def _wrapped(name: str) -> str:
    return name if len(name) <= 44 else name[:43] + "…"


def _clause(group: Group) -> str:
    return f"{group.patches} figures, {group.atypical} atypical"


def _gallery(wrong: pd.DataFrame, worst: int, *, ascending: bool) -> dict[str, Any]:
    """The mistakes that were made with most confidence, and how many there are."""
    picked = wrong.sort_values("probability", ascending=ascending, kind="stable").head(worst)
    return {"count": len(wrong), "shown": [_mistake(row) for _, row in picked.iterrows()]}


def _mistake(row: pd.Series) -> dict[str, Any]:
    signs = row.get("expert_votes")
    votes = ""
    if np.isfinite(_float(row.get("votes"))) and np.isfinite(_float(row.get("votes_for"))):
        votes = f"{int(row['votes_for'])} of {int(row['votes'])} votes: atypical"
    picture, trouble = thumbnail(row)
    return {
        "id": row["patch_id"],
        "probability": float(row["probability"]),
        "spread": _float(row.get("spread")),
        "decision": row["decision"],
        "domain": row["domain"] if isinstance(row["domain"], str) else "",
        "votes": votes,
        "signs": signs.lstrip("'") if isinstance(signs, str) else "",
        "picture": picture,
        "trouble": trouble,
    }


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def thumbnail(row: pd.Series) -> tuple[str, str]:
    """The patch as the address of an embedded PNG, or no address and the reason why."""
    from PIL import Image

    path = row.get("path")
    if not isinstance(path, str) or not path:
        return "", "picture not named"
    page, mpp_um = _float(row.get("page")), _float(row.get("mpp_um"))
    try:
        image = pictures.read_pages(Path(path), [0 if math.isnan(page) else int(page)])[0]
        image = pictures.at_scale(image, mpp_um) if np.isfinite(mpp_um) else image
    except Mistake:
        return "", "picture not at hand"
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pictures.centred(image, min(PATCH_PX, *image.shape[:2])))).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode(), ""


def _beside(entry: Entry) -> dict[str, Any] | None:
    """One test set beside published numbers; None where none are known for it."""
    found = published.published(entry.dataset, entry.part, entry.files)
    if found is None:
        return None
    single: Variant | None = entry.like_for_like
    decided = entry.all_files
    return {
        "found": found,
        "single": single.metrics if single else {},
        "decided": decided.metrics,
        "files": entry.files,
        "distinct": entry.patches,
    }


def _made(evaluation: Evaluation) -> list[tuple[str, Sequence[str]]]:
    """How the numbers were made, line by line."""
    about, decision = evaluation.about, evaluation.decision
    fitted = "nothing was fitted: P = σ(logit), threshold 0.5"
    if decision.rows:
        fitted = (
            f"{decision.rows} out-of-fold rows ({_count(decision.members, 'member')} each), target {decision.target};"
            f" {len(decision.digests)} picture digests kept"
        )
    notes = [n for n in (decision.calibration.note, decision.threshold.note) if n]
    expected = decision.threshold.balanced_accuracy
    if not math.isnan(expected):
        notes.append(f"cross-fitted balanced accuracy of the threshold: {expected:.3f}")
    lines = [
        ("Command", [about.command]),
        ("Version", [f"mitotype {evaluation.version}, {about.created}"]),
        ("Decision", [decision_sentence(evaluation)]),
        ("Fitted on", [fitted, *notes]),
        (
            "Intervals",
            [
                f"{evaluation.level:.0%} percentile bootstrap of {evaluation.draws} draws, seed {evaluation.seed}; whole cases"
                " are drawn with replacement within their domain (within the dataset, where cases cross domains); draws of"
                " one class are left out and counted; the draws of the ECE are centred on its value"
            ],
        ),
        ("Digests", [f"{name}: {value}" for name, value in about.digests.items()]),
        ("Test sets opened", list(about.openings)),
        ("Notes", list(evaluation.notes)),
    ]
    return [(name, [text for text in texts if text]) for name, texts in lines if any(texts)]
