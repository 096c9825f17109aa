"""Findings of an audit: duplicates, contradictions, leaks between training and test, counts, the experts' agreement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from mitotype.core.packing import pack_images
from mitotype.core.schema import ATYPICAL, NORMAL, Cohort
from mitotype.datasets.audit.agreement import agreement
from mitotype.datasets.audit.near_duplicates import SIDE, find_near_duplicates, to_gray
from mitotype.datasets.dataset import named_parts
from mitotype.datasets.overlaps import published_overlaps

SEVERITIES = ("error", "warning", "note")
FEW_ATYPICAL = 10  # M003
CLOSE_PX = 64  # each of two figures with centres nearer than this is in the 128-px patch of the other
MAX_LISTED = 6
NO_TEST = "a model trained on one cannot be tested on the other"


@dataclass(frozen=True)
class Finding:
    """A finding: `code` is M001 … if the check has a page, else a word; `patches` are ids, empty if it concerns all."""

    code: str
    severity: str
    text: str
    patches: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.severity}: {self.code}: {self.text}"


def audit(cohorts: Sequence[Cohort], *, on_progress: Callable[[str], None] | None = None) -> list[Finding]:
    """Return the findings of all checks on the cohorts, errors first; `on_progress` is called with the name of each step.

    Checks: exact and near duplicates (M004 across training and test, M005 with two labels), cases in several parts (M001),
    cases shared by datasets and published test sets inside one (M006), figures of one slide that are close to each other,
    domains with few atypical patches (M003), counts, the experts' agreement. Rows without an image are checked by their
    table alone. Raises a UserError for damaged images.
    """
    on_progress = on_progress or (lambda step: None)
    on_progress("images")
    rows, gray_NSS, factor = _with_digests(_rows(cohorts), cohorts)
    findings = [*_shared_cases(rows), *_published(rows), *_close(rows)]
    with_image = rows[rows["digest"] != ""].reset_index(drop=True)
    findings += _exact(with_image)
    on_progress("near duplicates")
    findings += _near(with_image, gray_NSS, factor)
    on_progress("counts and agreement")
    for cohort in cohorts:
        findings += [*_counts(cohort), *_agreement(cohort)]
        findings += [Finding("reader", "note", note) for note in cohort.notes]
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _rows(cohorts: Sequence[Cohort]) -> pd.DataFrame:
    """Return all rows with `cohort` (its name) and `side`: the dataset and its part ("amibr-test"), else the cohort."""
    parts = []
    for cohort in cohorts:
        rows = cohort.rows.assign(cohort=cohort.name)
        if "dataset" not in rows:
            rows["dataset"] = cohort.name
        part = rows["part"].fillna("").astype(str) if "part" in rows else pd.Series("", index=rows.index)
        rows["side"] = (rows["dataset"] + "-" + part).where(part != "", cohort.name)
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def _with_digests(rows: pd.DataFrame, cohorts: Sequence[Cohort]) -> tuple[pd.DataFrame, np.ndarray, int]:
    """Return `rows` with the pixel digest of each image ("" without one), the images as `gray_NSS`, and px per grey value."""
    packs = []
    for cohort in cohorts:
        present = cohort.rows["path"] != ""
        if present.any():
            packs.append(pack_images(cohort.take(present), min_px=SIDE))
    digest = rows["path"].astype(str).to_numpy(dtype=object)
    digest[digest != ""] = [d for pack in packs for d in pack.digests]
    factor = min((pack.px for pack in packs), default=SIDE) // SIDE
    gray = [np.empty((0, SIDE, SIDE), np.float32), *(to_gray(pack.image_N3HW, factor) for pack in packs)]
    return rows.assign(digest=digest), np.concatenate(gray), factor


def _exact(rows: pd.DataFrame) -> list[Finding]:
    groups = rows.groupby("digest", sort=False).indices.values()
    return [_duplicate(rows, list(map(int, group)), "the same image") for group in groups if len(group) > 1]


def _near(rows: pd.DataFrame, gray_NSS: np.ndarray, factor: int) -> list[Finding]:
    distinct = np.flatnonzero(~rows["digest"].duplicated())
    findings = []
    for near in find_near_duplicates(gray_NSS[distinct], factor):
        y, x = near.shift_px
        what = f"the same figure ({near.symmetry}, about {y} px down and {x} px right, correlation of detail {near.correlation:.2f})"
        findings.append(_duplicate(rows, [int(distinct[near.a]), int(distinct[near.b])], what, near=True))
    return findings


def _duplicate(rows: pd.DataFrame, group: list[int], what: str, *, near: bool = False) -> Finding:
    """Return the finding for a group of positions that show `what`: a leak, a contradiction or a copy, the worst first."""
    rows = rows.iloc[group]
    ids, sides = tuple(rows["patch_id"]), sorted(set(rows["side"]))
    text = f"{_listed(ids)} show {what}"
    contradiction = f", with two labels: {_by_label(rows)}" if rows["label"].nunique() > 1 else ""
    if len(sides) > 1:
        severity = "error" if rows["dataset"].nunique() == 1 else "warning"
        return Finding("M004", severity, f"{text} in {' and '.join(sides)}{contradiction}: {NO_TEST}", ids)
    if contradiction:
        return Finding("M005", "warning", text + contradiction, ids)
    return Finding("near duplicate" if near else "duplicate", "note", text, ids)


def _by_label(rows: pd.DataFrame) -> str:
    return "; ".join(
        f"{name} {_listed(tuple(rows['patch_id'][rows['label'] == label]))}"
        for name, label in (("normal", NORMAL), ("atypical", ATYPICAL))
    )


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - MAX_LISTED} more" if len(ids) > MAX_LISTED else ""
    return ", ".join(ids[:MAX_LISTED]) + more


def _shared_cases(rows: pd.DataFrame) -> list[Finding]:
    """Return the cases on two sides: M001 within a dataset, M006 across datasets."""
    findings = []
    cases_by_sides: dict[tuple[str, ...], list[str]] = {}
    for case, sides in rows.groupby("case_id")["side"].unique().items():
        if len(sides) > 1:
            cases_by_sides.setdefault(tuple(sorted(sides)), []).append(str(case))
    for sides, cases in cases_by_sides.items():
        shared = rows[rows["case_id"].isin(cases)]
        code, severity = ("M001", "error") if shared["dataset"].nunique() == 1 else ("M006", "warning")
        text = (
            f"{len(cases)} cases ({_listed(cases)}) are in {' and '.join(sides)}, with {len(shared)} patches: {NO_TEST}"
        )
        findings.append(Finding(code, severity, text, tuple(shared["patch_id"])))
    return findings


def _published(rows: pd.DataFrame) -> list[Finding]:
    """Return published test sets inside a dataset of another name, by case, file and pixels, without the images of the set."""
    findings = []
    for dataset in dict.fromkeys(rows["dataset"].astype(str)):
        own = Cohort(dataset, rows[rows["dataset"] == dataset])
        for test, mask in published_overlaps(own, list(own.rows["digest"])).items():
            if dataset not in (test, named_parts()[test][0]):
                ids = tuple(own.rows["patch_id"][mask])
                text = f"{len(ids)} patches of {dataset} belong to {test} or to its cases: --hold-out {test}"
                findings.append(Finding("M006", "warning", text, ids))
    return findings


def _close(rows: pd.DataFrame) -> list[Finding]:
    """Return pairs of figures on one slide whose centres are within 64 px: each patch contains the other's figure too."""
    if "x_px" not in rows:
        return []
    findings = []
    rows = rows[rows["x_px"].notna() & rows["y_px"].notna()]
    for cohort in dict.fromkeys(rows["cohort"]):
        pairs: list[tuple[str, str]] = []
        conflicts = 0
        for _, slide in rows[rows["cohort"] == cohort].groupby("case_id"):
            tree = cKDTree(slide[["x_px", "y_px"]].to_numpy())
            for a, b in sorted(tree.query_pairs(CLOSE_PX, p=np.inf)):
                pairs.append((slide["patch_id"].iloc[a], slide["patch_id"].iloc[b]))
                conflicts += slide["label"].iloc[a] != slide["label"].iloc[b]
        if pairs:
            ids = tuple(dict.fromkeys(patch for pair in pairs for patch in pair))
            text = (
                f"{cohort}: {len(pairs)} pairs of figures on one slide are within {CLOSE_PX} px ({len(ids)} patches), {conflicts} "
                "of them with different labels: splits by patch leak through them, splits by case do not"
            )
            findings.append(Finding("close figures", "note", text, ids))
    return findings


def _counts(cohort: Cohort) -> list[Finding]:
    """Return patches, atypical patches and cases per domain; M003 for domains with few atypical patches."""
    findings = []
    for domain, rows in cohort.rows.groupby("domain", sort=True):
        atypical, labelled = int((rows["label"] == ATYPICAL).sum()), int(rows["label"].notna().sum())
        name = f"{cohort.name}, {str(domain) or 'no domain stated'}"
        text = f"{name}: {len(rows)} patches, {atypical} atypical, {rows['case_id'].nunique()} cases"
        findings.append(Finding("counts", "note", text))
        if labelled and atypical < FEW_ATYPICAL:
            text = f"{name}: {atypical} atypical patches, fewer than {FEW_ATYPICAL}: its sensitivity is uncertain"
            findings.append(Finding("M003", "warning", text))
    return findings


def _agreement(cohort: Cohort) -> list[Finding]:
    if "expert_votes" not in cohort.rows:
        return []
    groups = {cohort.name: cohort.rows}
    if "part" in cohort.rows and cohort.rows["part"].nunique() > 1:
        groups |= {f"{cohort.name}, {part}": rows for part, rows in cohort.rows.groupby("part")}
    results = {name: agreement(list(rows["expert_votes"])) for name, rows in groups.items()}
    return [Finding("agreement", "note", f"{name}: {result}") for name, result in results.items() if result]
