"""Evaluate a score table: one entry for each dataset and part, every number with its interval over cases."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import mitotype
from mitotype.core.mistakes import Mistake
from mitotype.core.words import OUT_OF_FOLD
from mitotype.evaluation import checks, resample
from mitotype.evaluation.distinct import distinct
from mitotype.evaluation.experts import judge, votes
from mitotype.evaluation.interval import Interval, intervals, mean_over_members
from mitotype.evaluation.metrics import METRICS
from mitotype.evaluation.pooling import challenge_json, pool
from mitotype.evaluation.record import (
    ALL_FILES,
    DECIDED,
    HALF,
    SINGLE,
    SINGLE_ALL_FILES,
    About,
    Abstained,
    Confusion,
    Entry,
    Evaluation,
    Group,
    Variant,
)
from mitotype.evaluation.resample import Draws
from mitotype.scores.calibrate import sigmoid
from mitotype.scores.decision import UNCERTAIN, Decision, cases, cross_fitted
from mitotype.scores.ensemble import Combine
from mitotype.scores.table import GIVEN_VIEW, Scores

if TYPE_CHECKING:
    import pandas as pd

ALL = tuple(METRICS)
RANKING = ("auroc", "auprc")
OF_SINGLES = tuple(name for name in ALL if name != "auprc")
PER_DOMAIN = ("balanced_accuracy", "sensitivity", "specificity", "auroc")
PLAIN = Decision()
LEVEL = 0.95


@dataclass(frozen=True)
class _Plan:
    scores: Scores
    decision: Decision
    draws: int
    seed: int


def judged(scores: Scores, decision: Decision | None = None, *, combine: Combine | None = None) -> pd.DataFrame:
    """One row per patch and part: the patch's columns, logit, spread, members, probability, class, decision, case.

    Out-of-fold rows that the decision was fitted on are decided by cross-fitting over cases. `case` names the unit of
    chance: dataset and case, or the patch itself where no case is known.
    """
    import pandas as pd

    decision = decision or PLAIN
    rows = scores.joined((combine or Combine()).apply(scores))
    fitted = (rows["part"] == OUT_OF_FOLD) & rows["label"].notna()
    if decision.rows and fitted.any() and rows.loc[fitted, "label"].nunique() > 1:
        target = decision.target if decision.target in rows.columns else "label"
        crossed = cross_fitted(rows[fitted], decision, target=target)
        others = decision.apply(rows[~fitted])
        rows = pd.concat([crossed, others], ignore_index=True) if len(others) else crossed
    else:
        rows = decision.apply(rows)
    return rows.assign(case=cases(rows))


def evaluate(
    scores: Scores,
    decision: Decision | None = None,
    *,
    combine: Combine | None = None,
    draws: int = 2000,
    seed: int = 0,
    part: str | None = None,
    about: About | None = None,
) -> Evaluation:
    """Judge every labelled patch of `scores`, or of one `part` of it, and return the numbers.

    `decision` (none: probability σ(logit), threshold 0.5) was fitted on out-of-fold rows. Intervals resample cases, `draws`
    times. Pictures that stand in several rows count once. The checks see every part: hand over the training's out-of-fold rows
    too, so that they can tell what was trained on. Raises a Mistake for a leak (M001, M002, M004, M006) and where nothing is
    labelled.
    """
    about = about or About()
    if not about.created:
        about = replace(about, created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"))
    decision, combine = decision or PLAIN, combine or Combine()
    findings = checks.run(checks.Evidence(scores, decision, about.overlaps, about.held_out))
    checks.settle(findings)
    scores = scores.take(part=part) if part else scores
    rows = judged(scores, decision, combine=combine)
    plan = _Plan(scores, decision, draws, seed)
    groups = list(rows.groupby(["part", "dataset"], sort=False))
    groups.sort(key=lambda g: str(g[0][0]) == OUT_OF_FOLD)
    entries = [_entry(plan, g.reset_index(drop=True)) for _, g in groups if g["label"].notna().any()]
    if not entries:
        raise Mistake("No patch of these scores has a label.", fix="give the patches' labels, or only classify them")
    empty = [
        f"{dataset} ({part}): none of {len(g)} patches is labelled"
        for (part, dataset), g in groups
        if not g["label"].notna().any()
    ]
    return Evaluation(
        about,
        tuple(entries),
        findings,
        combine,
        decision,
        *_used(scores, combine),
        (*scores.notes, *empty, *_unlike(plan, rows)),
        draws,
        seed,
        LEVEL,
        mitotype.__version__,
    )


def _used(scores: Scores, combine: Combine) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The members and views behind the test rows, or behind all rows where there are no test rows."""
    rows = scores.scores
    rows = rows[rows["part"] != OUT_OF_FOLD] if (rows["part"] != OUT_OF_FOLD).any() else rows
    members, views = (tuple(str(name) for name in rows[column].unique()) for column in ("member", "view"))
    return combine.members or members, combine.views or views


def _unlike(plan: _Plan, rows: pd.DataFrame) -> list[str]:
    fitted, test = plan.decision.members, rows[rows["part"] != OUT_OF_FOLD]
    deployed = int(test["members"].median()) if len(test) else fitted
    if not fitted or fitted == deployed:
        return []
    return [
        f"the decision was fitted on rows that are means of {fitted} members, and decides rows that are means of {deployed}:"
        " a mean over more members is less over-confident"
    ]


def _entry(plan: _Plan, rows: pd.DataFrame) -> Entry:
    labelled = rows[rows["label"].notna()].reset_index(drop=True)
    drawn = resample.of_rows(labelled, draws=plan.draws, seed=plan.seed)
    pictures = distinct(labelled)
    once, drawn_once = labelled[pictures.keep].reset_index(drop=True), drawn.take(pictures.keep)
    label, predicted, probability = _arrays(once)
    variants = [_variant(plan, DECIDED, "as decided", once, drawn_once)]
    part = str(rows["part"].iloc[0])
    if plan.decision.rows or plan.decision != PLAIN:
        raw = PLAIN.apply(once, guard=False)
        variants.append(_variant(plan, HALF, "uncalibrated at 0.5", raw, drawn_once, ranked=variants[0]))
    single = _single(plan, SINGLE, once, drawn_once) if part != OUT_OF_FOLD else None
    variants += [single] if single else []
    notes = []
    if pictures.changed:
        notes.append(
            f"{len(labelled)} files hold {len(labelled) - pictures.repeated - pictures.conflicting} distinct pictures without"
            f" conflict: {pictures.repeated} repeats and {pictures.conflicting} files of {pictures.conflicts} pictures with"
            " conflicting labels are left out"
        )
        variants.append(_variant(plan, ALL_FILES, f"as decided, all {len(labelled)} files", labelled, drawn))
        if single:
            every = _single(plan, SINGLE_ALL_FILES, labelled, drawn)
            variants += [every] if every else []
    if part == OUT_OF_FOLD and plan.decision.rows:
        notes.append("calibration, threshold and band are cross-fitted: each case was decided by what other cases gave")
    lone = int(once["case"].str.startswith("patch\x1f").sum())
    if lone:
        notes.append(f"{lone} patches name no case and are cases of their own: intervals may be too narrow")
    tp, fp = int((predicted * label).sum()), int((predicted * (1 - label)).sum())
    positives = int(label.sum())
    vote_NE = votes(once["expert_votes"]) if "expert_votes" in once.columns else np.zeros((len(once), 0))
    return Entry(
        dataset=str(rows["dataset"].iloc[0]),
        part=part,
        patches=len(once),
        atypical=positives,
        cases=drawn_once.groups,
        unlabelled=len(rows) - len(labelled),
        within=drawn.within,
        variants=tuple(variants),
        confusion=Confusion(tp, positives - tp, fp, len(once) - positives - fp),
        domains=_groups(plan, once, drawn_once, once["domain"].fillna("unknown").astype(str).to_numpy(str)),
        agreement=_groups(plan, once, drawn_once, _agreement(once)),
        pooled=challenge_json(
            pool(label, predicted, probability, once["domain"].fillna("unknown").astype(str).to_numpy())
        ),
        abstained=_abstained(plan, once, drawn_once),
        experts=judge(vote_NE, predicted, drawn_once, level=LEVEL),
        notes=tuple(notes),
        rows=once,
    )


def _arrays(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    predicted = (rows["class"] == "atypical").to_numpy(int)
    return rows["label"].to_numpy(float), predicted, rows["probability"].to_numpy(float)


def _variant(
    plan: _Plan, key: str, title: str, rows: pd.DataFrame, drawn: Draws, *, ranked: Variant | None = None
) -> Variant:
    """`ranked` is a variant with the patches in the same order of scores: its ranking metrics hold here too."""
    label, predicted, probability = _arrays(rows)
    known = {name: ranked.metrics[name] for name in RANKING} if ranked else {}
    found = intervals([n for n in ALL if n not in known], label, predicted, probability, drawn, level=LEVEL)
    found = {name: (known | found)[name] for name in ALL}
    return Variant(key, title, len(rows), int(label.sum()), drawn.groups, found, int(rows["members"].median()))


def _single(plan: _Plan, key: str, rows: pd.DataFrame, drawn: Draws) -> Variant | None:
    """The mean over single members, one view, σ(logit) at 0.5: like for like with single models in the literature."""
    scores = plan.scores.scores
    scores = scores[(scores["part"] == rows["part"].iloc[0]) & scores["patch_id"].isin(rows["patch_id"])]
    views = list(dict.fromkeys(scores["view"].astype(str)))
    view = GIVEN_VIEW if GIVEN_VIEW in views else views[0]
    wide = scores[scores["view"] == view].pivot(index="patch_id", columns="member", values="logit")
    wide = wide.reindex(rows["patch_id"])
    if (wide.shape[1] < 2 and len(views) < 2) or wide.isna().any(axis=None):
        return None
    probability_NM = sigmoid(wide.to_numpy(float))
    label = rows["label"].to_numpy(float)
    found = mean_over_members(
        OF_SINGLES, label, (probability_NM >= 0.5).astype(int), probability_NM, drawn, level=LEVEL
    )
    files = f", all {len(rows)} files" if key == SINGLE_ALL_FILES else ""
    title = f"{wide.shape[1]} single members at 0.5, mean{files}"
    return Variant(key, title, len(rows), int(label.sum()), drawn.groups, found, wide.shape[1])


def _groups(plan: _Plan, rows: pd.DataFrame, drawn: Draws, names: np.ndarray) -> tuple[Group, ...]:
    label, predicted, probability = _arrays(rows)
    groups = []
    for name in [n for n in dict.fromkeys(sorted(names.tolist())) if n]:
        mine = names == name
        seen = drawn.take(mine)
        found: dict[str, Interval] = intervals(
            PER_DOMAIN, label[mine], predicted[mine], probability[mine], seen, level=LEVEL
        )
        groups.append(Group(name, int(mine.sum()), int(label[mine].sum()), seen.groups, found))
    return tuple(groups)


def _agreement(rows: pd.DataFrame) -> np.ndarray:
    """ "unanimous", "contested", or nothing where fewer than two experts have voted."""
    import pandas as pd

    total = pd.to_numeric(rows["votes"], errors="coerce").to_numpy(float)
    for_it = pd.to_numeric(rows["votes_for"], errors="coerce").to_numpy(float)
    together = (for_it == 0) | (for_it == total)
    return np.where((total >= 2) & np.isfinite(for_it), np.where(together, "unanimous", "contested"), "")


def _abstained(plan: _Plan, rows: pd.DataFrame, drawn: Draws) -> Abstained | None:
    if plan.decision.abstention.low == plan.decision.abstention.high:
        return None
    sure = (rows["decision"] != UNCERTAIN).to_numpy()
    label, predicted, probability = _arrays(rows)
    kept = intervals(PER_DOMAIN, label[sure], predicted[sure], probability[sure], drawn.take(sure), level=LEVEL)
    return Abstained(int((~sure).sum()), float((~sure).mean()), kept)
