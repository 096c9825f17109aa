"""Card: what a person should read before using a bundle, written from the files of its run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mitotype.core.words import NOTICE_LONG

LIMITS = """- It expects one mitotic figure in the middle of the picture. It finds no mitoses, and it does not tell a mitosis from a
  look-alike; the flag *unlike the training figures* catches windows beside a figure and blank tissue, not apoptosis.
- Trained on the species, tumours and scanners of the table above. Elsewhere sensitivity and specificity shift even where
  the ranking holds; check the threshold on figures of your own before you count.
- The labels are opinions: on AMi-Br three experts agree with Fleiss κ .58, and half of the atypical figures are two votes
  to one. The probability is calibrated to the majority of three experts.
- Blurred figures, prometaphase clumps and figures cut by the border of the slide are the common errors."""


def written(
    name: str, told: Mapping[str, Any], decide: Mapping[str, Any], unlike: Mapping[str, Any] | None, notes: str
) -> str:
    """The card as Markdown. `told` holds `run`, `test` and `out_of_fold` (evaluations or None), `openings`, `members`."""
    parts = [
        f"# {name}",
        *_first_lines(told["test"]),
        f"> {NOTICE_LONG}",
        "## Test sets",
        _table(told["test"]) if told["test"] else "No test set has been scored.",
        "Intervals are 95 % bootstraps over cases. AtNorM-Br names no slides; its cases are segments by colour.",
        "## Per domain",
        _domains(told["test"]) if told["test"] else "None.",
        "## Out of fold, on the training patches",
        _table(told["out_of_fold"]) if told["out_of_fold"] else "Not evaluated.",
        "## Decision",
        _decision(decide),
        "## The flag *unlike the training figures*",
        _unlike(unlike),
        "## Training data",
        _data(told["run"]),
        *(
            ["## Licences of the weights", "\n".join(f"- {line}" for line in told["licences"])]
            if told["licences"]
            else []
        ),
        *(["## How choices were made", notes.strip()] if notes.strip() else []),
        "## Recipe",
        "```json\n" + json.dumps(told["run"]["recipe"], indent=1, ensure_ascii=False) + "\n```",
        "## Openings of test sets",
        "\n".join(
            f"- {line['date']}: {line['dataset']}, {line['patches']} patches, digest {line['digest']}"
            for line in told["openings"]
        )
        or "None.",
        "## Limits",
        LIMITS,
        "## Machine and versions",
        _machine(told["run"], told["members"]),
    ]
    return "\n\n".join(parts) + "\n"


def _first_lines(test: Mapping[str, Any] | None) -> Iterator[str]:
    """Like for like with the published benchmark, then as shipped."""
    if not test:
        yield "No test set has been scored with this bundle."
        return
    single, shipped = [], []
    for entry in test["entries"]:
        one = (
            _variant(entry, "single_all_files")
            or _variant(entry, "single")
            or _variant(entry, "half")
            or _variant(entry, "decided")
        )
        best = entry.get("published")
        against = f" (published best {best['balanced_accuracy']:.4f})" if best else ""
        single.append(f"{entry['dataset']} {_short(one, 'balanced_accuracy')}{against}")
        every = _variant(entry, "all_files") or _variant(entry, "decided")
        shipped.append(f"{entry['dataset']} {_short(every, 'balanced_accuracy')} (AUROC {_short(every, 'auroc')})")
    yield (
        "Single member, threshold 0.5, one view, like for like with the benchmark, balanced accuracy: "
        + ", ".join(single)
        + "."
    )
    yield "As shipped, balanced accuracy: " + ", ".join(shipped) + "."


def _variant(entry: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    return next((variant for variant in entry["variants"] if variant["key"] == key), None)


def _short(variant: Mapping[str, Any] | None, metric: str) -> str:
    value = variant["metrics"][metric]["value"] if variant else None
    return "undefined" if value is None else f"{value:.4f}"


def _number(interval: Mapping[str, Any]) -> str:
    if interval["value"] is None:
        return f"undefined ({interval['reason']})"
    bounds = "" if interval["low"] is None else f" [{interval['low']:.3f}, {interval['high']:.3f}]"
    return f"{interval['value']:.3f}{bounds}"


METRICS = ("balanced_accuracy", "sensitivity", "specificity", "auroc", "auprc", "brier", "ece")
HEADS = ("balanced accuracy", "sensitivity", "specificity", "AUROC", "AUPRC", "Brier score", "ECE")


def _table(evaluation: Mapping[str, Any]) -> str:
    rows = [
        (f"{entry['name']}, {variant['title']}", f"{variant['patches']} ({variant['atypical']})", str(variant["cases"]),
         *(_number(variant["metrics"][metric]) if metric in variant["metrics"] else "" for metric in METRICS))
        for entry in evaluation["entries"] for variant in entry["variants"]
    ]  # fmt: skip
    return _markdown(("set", "patches (atypical)", "cases", *HEADS), rows)


def _domains(evaluation: Mapping[str, Any]) -> str:
    rows = [
        (entry["dataset"], group["name"], f"{group['patches']} ({group['atypical']})", str(group["cases"]),
         *(_number(group["metrics"][metric]) for metric in METRICS[:4]))
        for entry in evaluation["entries"] for group in entry["domains"]
    ]  # fmt: skip
    return _markdown(("set", "domain", "patches (atypical)", "cases", *HEADS[:4]), rows)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _decision(decide: Mapping[str, Any]) -> str:
    calibration, threshold, band = decide["calibration"], decide["threshold"], decide["abstention"]
    fitted = decide["fitted_on"]
    return (
        f"Fitted on {fitted['rows']} out-of-fold rows, each a mean of {fitted['members']} members. "
        f"P(atypical) = σ({calibration['slope']:.4f} · logit {calibration['intercept']:+.4f}). "
        f"Threshold {threshold['value']:.4f} (rule: {threshold['rule']}). "
        f"Between {band['low']:.4f} and {band['high']:.4f} the decision is *uncertain* (rule: {band['rule']})."
    )


def _unlike(unlike: Mapping[str, Any] | None) -> str:
    if not unlike:
        return "Not fitted."
    told = unlike["out_of_fold"]
    return (
        f"Out of fold it flags {told['flagged_figures']:.1%} of {told['figures']} real figures and "
        f"{told['flagged_windows']:.1%} of {told['windows']} windows cut 24 to 32 px beside a figure or of blank tissue."
    )


def _data(run: Mapping[str, Any]) -> str:
    data = run["data"]
    held = ", ".join(data["hold_out"]) or "nothing"
    notes = "".join(f"\n- {note}" for note in run["notes"])
    return (
        f"{data['patches']} patches ({data['atypical']} atypical) of {data['cases']} cases; held out: {held}. "
        f"Digest of the pictures {data['digest'][:16]}, of the split ({run['split']['folds']}) {run['split']['digest'][:16]}.{notes}"
    )


def _machine(run: Mapping[str, Any], members: Mapping[str, str]) -> str:
    machine, versions = run["machine"], ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    trained = f"{machine['gpu'] or machine['processor']}, {run['threads']} threads, {run['precision']}"
    kept = "\n".join(f"- {name}: sha-256 {digest[:16]}" for name, digest in members.items())
    return f"Trained on {trained}, from {run['started']} to {run.get('finished', '?')}; Python {machine['python']}, {versions}.\n\n{kept}"
