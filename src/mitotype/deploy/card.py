"""Card: what a person should read before using a bundle, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from mitotype.core import number_format, records, text_tables
from mitotype.core.run_layout import (
    BundleRecord,
    DecisionRecord,
    EnsembleRecord,
    EvaluationRecord,
    LocalLabelsRecord,
    OodRecord,
    RunRecord,
    Variant,
)
from mitotype.core.run_layout.evaluation import Group, MetricRecord
from mitotype.core.schema import NOTICE_LONG
from mitotype.core.text_tables import escape_markdown

# What is compared with published single models, and what a bundle gives as it is: the first variant that an entry has.
SINGLE_MODEL = ("single_all_files", "single", "half", "decided")
AS_SHIPPED = ("all_files", "decided")

GENERAL_LIMITS = (
    "Expects one mitotic figure in the middle of the image. Does not detect mitoses, and does not separate them from look-alikes.",
    "Trained on the species, tumors and scanners of the table above. Elsewhere sensitivity and specificity shift even where the"
    " ranking holds; check the threshold on figures of your own before you count.",
    "The labels are opinions of experts, and the probability is calibrated to their majority.",
)


def render_card(record: BundleRecord, notes: str = "") -> str:
    """Return the card of a bundle. `notes` is Markdown for the section on how choices were made."""
    sections = {
        "Test sets": _metrics_table(record.test) if record.test else "No test set has been scored.",
        "Calibration": _calibration_table(record.test) if record.test else "",
        "Per domain": _domain_table(record.test) if record.test else "None.",
        "Out of fold, on the training patches": _metrics_table(record.out_of_fold) if record.out_of_fold else "Not evaluated.",
        "Decision": _decision(record.decision, is_local=record.local_labels is not None),
        "Adapted to a laboratory": _local_labels(record.local_labels) if record.local_labels else "",
        "Out-of-distribution flag": _ood(record.ood),
        "Ensemble": _ensemble(record.ensemble) if record.ensemble else "",
        "Training data": _data(record.run) if record.run else "",
        "Licenses of the weights": _bullets(record.licenses.lines),
        "How choices were made": notes.strip(),
        "Recipe": _recipe(record.run) if record.run else "",
        "Openings of test sets": _bullets(record.openings) or "None.",
        "Limits": _bullets([*GENERAL_LIMITS, *_measured_limits(record.out_of_fold)]),
        "Machine and versions": _machine(record.run, record.member_digests) if record.run else "",
    }  # fmt: skip
    intervals = "Intervals are 95 % t intervals over resampled cases."
    if record.test and any(entry.dataset == "atnorm-br" for entry in record.test.entries):
        intervals += " AtNorM-Br has no slide names; its cases are clusters by color."
    sections["Test sets"] += f"\n\n{intervals}"
    parts = [f"# {escape_markdown(record.name)}", *_headlines(record.test), f"> {NOTICE_LONG}"]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    return "\n\n".join(parts) + "\n"


def _headlines(test: EvaluationRecord | None) -> Iterator[str]:
    """Yield the numbers of a single member, to compare with the published benchmark, and those of the bundle."""
    if not test:
        yield "No test set has been scored with this bundle."
        return
    single, shipped = [], []
    for entry in test.entries:
        name = escape_markdown(entry.dataset)
        best = f" (published best {entry.published.balanced_accuracy:.4f})" if entry.published else ""
        single.append(f"{name} {_value(entry.variant(*SINGLE_MODEL), 'balanced_accuracy')}{best}")
        variant = entry.variant(*AS_SHIPPED)
        shipped.append(f"{name} {_value(variant, 'balanced_accuracy')} (AUROC {_value(variant, 'auroc')})")
    yield (
        "Single member, threshold 0.5, one view, like for like with the benchmark, balanced accuracy: "
        f"{', '.join(single)}."
    )
    yield f"As shipped, balanced accuracy: {', '.join(shipped)}."


def _value(variant: Variant | None, metric: str) -> str:
    value = variant.metrics[metric].value if variant else None
    return "undefined" if value is None else f"{value:.4f}"


def _metrics_table(evaluation: EvaluationRecord) -> str:
    columns = evaluation.metrics_of("set")
    rows = [
        (f"{entry.name}, {variant.title}", *_metrics(variant, columns))
        for entry in evaluation.entries
        for variant in entry.variants
    ]
    return _table(("set",), columns, rows)


def _calibration_table(evaluation: EvaluationRecord) -> str:
    """Return the calibration of each set as decided; nothing for an evaluation of a version that did not measure it."""
    columns = evaluation.metrics_of("calibration")
    rows = [(entry.name, *_metrics(entry.variants[0], columns)) for entry in evaluation.entries]
    return _table(("set",), columns, rows) if columns else ""


def _measured_limits(evaluation: EvaluationRecord | None) -> Iterator[str]:
    """Yield what the bundle's own out-of-fold patches show of its errors."""
    for entry in evaluation.entries if evaluation else ():
        counts = entry.confusion
        yield (
            f"Out of fold on {entry.dataset}, {counts.fn} of {counts.tp + counts.fn} atypical figures are taken for normal"
            f" and {counts.fp} of {counts.fp + counts.tn} normal ones for atypical."
        )
        for kind, groups in (
            ("the domains", entry.domains),
            ("the figures by agreement of the experts", entry.agreement),
        ):
            known = [(group.metrics["balanced_accuracy"].value, group) for group in groups]
            ranked = sorted(((value, group) for value, group in known if value is not None), key=lambda pair: pair[0])
            if len(ranked) > 1:
                (low, worst), (high, best) = ranked[0], ranked[-1]
                yield (
                    f"Of {kind}, balanced accuracy is lowest in {worst.name} ({low:.3f}, {worst.patches} figures) and highest"
                    f" in {best.name} ({high:.3f}, {best.patches})."
                )


def _domain_table(evaluation: EvaluationRecord) -> str:
    groups = [(entry.dataset, group) for entry in evaluation.entries for group in entry.domains]
    columns = [m for m in evaluation.metrics_of("group") if any(m.name in group.metrics for _, group in groups)]
    rows = [(dataset, group.name, *_metrics(group, columns)) for dataset, group in groups]
    return _table(("set", "domain"), columns, rows)


def _table(names: Sequence[str], metrics: Sequence[MetricRecord], rows: Sequence[Sequence[object]]) -> str:
    titles = (metric.title for metric in metrics)
    return text_tables.markdown((*names, "patches (atypical)", "cases", *titles), rows)


def _metrics(group: Variant | Group, metrics: Sequence[MetricRecord]) -> Iterator[object]:
    """Yield the numbers of patches and cases, and each metric with its bounds."""
    yield from (f"{group.patches} ({group.atypical})", group.cases)
    for interval in (group.metrics.get(metric.name) for metric in metrics):
        if interval is None:
            yield ""
        elif interval.value is None:
            yield f"undefined ({interval.reason})"
        else:
            yield number_format.interval(interval.value, interval.low, interval.high)


def _decision(decision: DecisionRecord, *, is_local: bool = False) -> str:
    rows = "labelled figures of a laboratory" if is_local else "out-of-fold rows"
    calibration, threshold, band = decision.calibration, decision.threshold, decision.abstention
    return (
        f"Fitted on {decision.fitted_on.rows} {rows}, each a mean of {decision.fitted_on.members} members. "
        f"P(atypical) = σ({calibration.slope:.4f} · logit {calibration.intercept:+.4f}). "
        f"Threshold {threshold.value:.4f} (rule: {threshold.rule}). "
        f"Between {band.low:.4f} and {band.high:.4f} the decision is *uncertain* (rule: {band.rule})."
    )


def _local_labels(local: LocalLabelsRecord) -> str:
    before, after, difference = (
        number_format.interval(interval.value, interval.low, interval.high)
        if interval.value is not None
        else "undefined"
        for interval in (local.before, local.after, local.difference)
    )
    return (
        f"Calibration and threshold were adapted to {local.patches} figures ({local.atypical} atypical) of {local.cases} cases"
        f" from {escape_markdown(', '.join(local.sources))}, digest of the images {local.digest[:16]}, on {local.created[:10]}; the"
        f" bundle before has the digest {local.bundle[:16]}. The calibrated logit was multiplied by {local.slope:.4f} and"
        f" {local.intercept:+.4f} added; the laboratory's own threshold has the weight {local.weight:.2f}.\n\n"
        f"Balanced accuracy on these figures: {before} before, {after} after (cross-fitted by case), difference {difference}."
        " Every other number of the bundle before is of its old decision and is not on this card.\n\n"
        f"{_bullets(local.notes)}"
    ).strip()


def _ensemble(ensemble: EnsembleRecord) -> str:
    weights = ensemble.combiner.weights
    lines = [f"{source.name}: weight {weights.get(source.name, 0.0):.4f}" for source in ensemble.sources]
    return (
        f"Logits of {len(ensemble.sources)} runs, combined by {escape_markdown(ensemble.rule)} on the {ensemble.patches}"
        f" out-of-fold patches ({ensemble.atypical} atypical) of {ensemble.cases} cases; intercept"
        f" {ensemble.combiner.intercept:+.4f}.\n\n{_bullets([*lines, *ensemble.notes])}"
    )


def _ood(ood: OodRecord | None) -> str:
    if not ood:
        return "Not fitted."
    rates = ood.out_of_fold
    return (
        f"Out of fold it flags {_percent(rates.flagged_figures)} of {rates.figures} figures and "
        f"{_percent(rates.flagged_negatives)} of {rates.negatives} windows cut 24 to 32 px beside a figure or of blank tissue."
    )


def _percent(share: float | None) -> str:
    return "an undefined share" if share is None else f"{share:.1%}"


def _data(run: RunRecord) -> str:
    data, split = run.data, run.split
    held_out = escape_markdown(", ".join(data.hold_out)) or "nothing"
    return (
        f"{data.patches} patches ({data.atypical} atypical) of {data.cases} cases; held out: {held_out}."
        f" Digest of the images {data.digest[:16]}, of the split ({split.folds}) {split.digest[:16]}.\n{_bullets(run.notes)}"
    ).strip()


def _recipe(run: RunRecord) -> str:
    fields = json.dumps(records.to_builtins(run.recipe), indent=1, ensure_ascii=False)
    return f"```json\n{fields}\n```"


def _machine(run: RunRecord, member_digests: dict[str, str]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    machine = f"{run.machine.gpu or run.machine.processor}, {run.threads} threads, {run.precision}"
    digests = _bullets(f"{name}: sha-256 {digest[:16]}" for name, digest in member_digests.items())
    period = f"from {run.started} to {run.finished or '?'}"
    return f"Trained on {machine}, {period}; Python {run.machine.python}, {versions}.\n\n{digests}"


def _bullets(items: Iterable[object]) -> str:
    return "\n".join(f"- {escape_markdown(str(item))}" for item in items)
