"""What is wrong or worth knowing in datasets: duplicates, contradictions, leaks, and how far the experts agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import pictures
from mitotype.core.words import ATYPICAL, NORMAL, Cohort
from mitotype.datasets.agreement import Agreement, agreement
from mitotype.datasets.known import DIGITS, TESTS, marks
from mitotype.datasets.neighbours import SIDE, grey, near_duplicates
from mitotype.datasets.overlaps import file_digests

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SEVERITIES = ("error", "warning", "note")
FEW_ATYPICAL = 10  # M003
CLOSE_PX = 64  # two centres nearer than this see each other's figure in a 128-px patch
SHOWN = 6


@dataclass(frozen=True)
class Finding:
    """One thing found. `code` is M001 … where there is one, else a word; `patches` are patch ids, none where it is of all."""

    code: str
    severity: str
    text: str
    patches: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.severity}: {self.code}: {self.text}"


def audit(
    cohorts: Sequence[Cohort], *, cache: Path | None = None, progress: Callable[[str], None] | None = None
) -> list[Finding]:
    """Everything that is found in the cohorts, errors first.

    Pictures are packed (a damaged one is a Mistake that names it); rows without a picture are audited by their table alone.
    Findings: exact and near duplicates (M004 across training and test, M005 with two labels), cases across parts (M001),
    cases shared by datasets and published test sets inside one (M006), figures of one slide that lie close to each other,
    domains with few atypical patches (M003), counts, the experts' agreement.
    """
    say = progress or (lambda told: None)
    say("pictures")
    rows, grey_NSS, factor = _pictured(_rows(cohorts), cohorts, cache)
    findings = [*_shared_cases(rows), *_known(rows), *_close(rows)]
    shown = rows[rows["digest"] != ""].reset_index(drop=True)
    findings += [_duplicate(shown, group, "one picture") for group in _exact(shown)]
    say("near duplicates")
    findings += _near(shown, grey_NSS, factor)
    say("counts and agreement")
    for cohort in cohorts:
        findings += [*_counts(cohort), *_agreement(cohort)]
        findings += [Finding("reader", "note", note) for note in cohort.notes]
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def plain(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The findings as plain dicts for JSON."""
    return [{**asdict(finding), "patches": list(finding.patches)} for finding in findings]


def _rows(cohorts: Sequence[Cohort]) -> pd.DataFrame:
    """All rows together with `cohort` (its name) and `side`: the dataset and its part ("amibr-test"), else the cohort."""
    import pandas as pd

    parts = []
    for cohort in cohorts:
        rows = cohort.rows.assign(cohort=cohort.name)
        if "dataset" not in rows:
            rows["dataset"] = cohort.name
        part = rows["part"].fillna("").astype(str) if "part" in rows else pd.Series("", index=rows.index)
        rows["side"] = (rows["dataset"] + "-" + part).where(part != "", cohort.name)
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def _pictured(
    rows: pd.DataFrame, cohorts: Sequence[Cohort], cache: Path | None
) -> tuple[pd.DataFrame, np.ndarray, int]:
    """`rows` with the digest of each picture ("" where there is none), the pictures' grey values, and px per value."""
    import numpy as np

    packs = []
    digest = rows["path"].astype(str).to_numpy(dtype=object)
    for cohort in cohorts:
        present = cohort.rows["path"] != ""
        if present.any():
            packs.append(pictures.pack(cohort.take(present), min_px=SIDE, cache=cache))
    digest[digest != ""] = [d for pack in packs for d in pack.digests]
    factor = min((pack.px for pack in packs), default=SIDE) // SIDE
    values = [grey(pack.image_N3HW, factor) for pack in packs]
    return rows.assign(digest=digest), np.concatenate(values or [np.empty((0, SIDE, SIDE), np.float32)]), factor


def _exact(shown: pd.DataFrame) -> list[list[int]]:
    """Groups of positions with the same pixels."""
    return [list(map(int, group)) for group in shown.groupby("digest", sort=False).indices.values() if len(group) > 1]


def _near(shown: pd.DataFrame, grey_NSS: np.ndarray, factor: int) -> list[Finding]:
    import numpy as np

    firsts = np.flatnonzero(~shown["digest"].duplicated())
    found = []
    for near in near_duplicates(grey_NSS[firsts], factor):
        y, x = near.shift_px
        how = f"one figure ({near.turn}, about {y} px down and {x} px right, correlation of detail {near.correlation:.2f})"
        found.append(_duplicate(shown, [int(firsts[near.a]), int(firsts[near.b])], how, near=True))
    return found


def _duplicate(shown: pd.DataFrame, group: list[int], what: str, *, near: bool = False) -> Finding:
    """The finding for a group of positions that show `what`: a leak, a contradiction or a mere copy, the worst first."""
    rows = shown.iloc[group]
    ids, sides = tuple(rows["patch_id"]), sorted(set(rows["side"]))
    labels = set(rows["label"].dropna())
    told = f"{_listed(ids)} show {what}"
    contradicted = f", with two labels: {_by_label(rows)}" if len(labels) > 1 else ""
    if len(sides) > 1:
        split = rows["dataset"].nunique() == 1
        told += f" in {' and '.join(sides)}{contradicted}: what is trained on one cannot be tested on the other"
        return Finding("M004", "error" if split else "warning", told, ids)
    if contradicted:
        return Finding("M005", "warning", told + contradicted, ids)
    return Finding("near duplicate" if near else "duplicate", "note", told, ids)


def _by_label(rows: pd.DataFrame) -> str:
    return "; ".join(
        f"{name} {_listed(tuple(rows['patch_id'][rows['label'] == label]))}"
        for name, label in (("normal", NORMAL), ("atypical", ATYPICAL))
    )


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(ids[:SHOWN]) + more


def _shared_cases(rows: pd.DataFrame) -> list[Finding]:
    """Cases that stand on two sides: M001 within a dataset, M006 across datasets."""
    found = []
    shared_by: dict[tuple[str, ...], list[str]] = {}
    for case, sides in rows.groupby("case_id")["side"].unique().items():
        if len(sides) > 1:
            shared_by.setdefault(tuple(sorted(sides)), []).append(str(case))
    for pair, cases in shared_by.items():
        shared = rows[rows["case_id"].isin(cases)]
        one = shared["dataset"].nunique() == 1
        text = (
            f"{len(cases)} cases ({_listed(cases)}) are in {' and '.join(pair)}, with {len(shared)} patches: "
            "what is trained on one cannot be tested on the other"
        )
        found.append(Finding("M001" if one else "M006", "error" if one else "warning", text, tuple(shared["patch_id"])))
    return found


def _known(rows: pd.DataFrame) -> list[Finding]:
    """Published test sets inside a dataset of another name, by case, file and pixels, though they are not at hand."""
    found = []
    for dataset in dict.fromkeys(rows["dataset"].astype(str)):
        own = rows[rows["dataset"] == dataset]
        digests = file_digests(Cohort(dataset, own))
        for test in map(marks, TESTS):
            if dataset in (test.name, test.name.removesuffix("-test")):
                continue
            inside = [
                case in test.cases or file in test.files or pixels[:DIGITS] in test.pixels
                for case, file, pixels in zip(own["case_id"], digests, own["digest"], strict=True)
            ]
            if any(inside):
                ids = tuple(own["patch_id"][inside])
                text = f"{len(ids)} patches of {dataset} belong to {test.name} or to its slides: --hold-out {test.name}"
                found.append(Finding("M006", "warning", text, ids))
    return found


def _close(rows: pd.DataFrame) -> list[Finding]:
    """Pairs of figures of one slide whose centres lie within 64 px: each patch shows the other's figure too."""
    import numpy as np
    from scipy.spatial import cKDTree

    if "x_px" not in rows:
        return []
    found = []
    rows = rows[rows["x_px"].notna() & rows["y_px"].notna()]
    for cohort in dict.fromkeys(rows["cohort"]):
        pairs: list[tuple[str, str]] = []
        apart = 0
        for _, slide in rows[rows["cohort"] == cohort].groupby("case_id"):
            tree = cKDTree(slide[["x_px", "y_px"]].to_numpy())
            for a, b in sorted(tree.query_pairs(CLOSE_PX, p=np.inf)):
                pairs.append((slide["patch_id"].iloc[a], slide["patch_id"].iloc[b]))
                apart += slide["label"].iloc[a] != slide["label"].iloc[b]
        if pairs:
            ids = tuple(dict.fromkeys(patch for pair in pairs for patch in pair))
            text = (
                f"{cohort}: {len(pairs)} pairs of figures on one slide lie within {CLOSE_PX} px ({len(ids)} patches), {apart} "
                "of them with different labels: splits by patch leak through them, splits by case do not"
            )
            found.append(Finding("close figures", "note", text, ids))
    return found


def _counts(cohort: Cohort) -> list[Finding]:
    """Patches, atypical ones and cases per domain; M003 for domains where few are atypical."""
    found = []
    for domain, rows in cohort.rows.groupby("domain", sort=True):
        atypical, labelled = int((rows["label"] == ATYPICAL).sum()), int(rows["label"].notna().sum())
        name = f"{cohort.name}, {str(domain) or 'no domain stated'}"
        text = f"{name}: {len(rows)} patches, {atypical} atypical, {rows['case_id'].nunique()} cases"
        found.append(Finding("counts", "note", text))
        if labelled and atypical < FEW_ATYPICAL:
            text = f"{name}: {atypical} atypical patches, fewer than {FEW_ATYPICAL}: its sensitivity says little"
            found.append(Finding("M003", "warning", text))
    return found


def _agreement(cohort: Cohort) -> list[Finding]:
    if "expert_votes" not in cohort.rows:
        return []
    of = {cohort.name: cohort.rows}
    if "part" in cohort.rows and cohort.rows["part"].nunique() > 1:
        of |= {f"{cohort.name}, {part}": rows for part, rows in cohort.rows.groupby("part")}
    measured = {name: agreement(list(rows["expert_votes"])) for name, rows in of.items()}
    return [Finding("agreement", "note", f"{name}: {told(found)}") for name, found in measured.items() if found]


def told(measured: Agreement) -> str:
    """An agreement in one sentence."""
    pairs = ", ".join(f"{a}–{b} {kappa:.3f}" for (a, b), kappa in measured.cohen.items())
    others = ", ".join(f"E{k} {accuracy:.3f}" for k, (accuracy, _) in enumerate(measured.against_others, start=1))
    return (
        f"{measured.experts} experts on {measured.patches} patches, Fleiss κ {measured.fleiss:.3f}, "
        f"unanimous {measured.unanimous:.1%}; Cohen κ {pairs}; balanced accuracy against the majority of the others "
        f"(ties dropped) {others}"
    )
