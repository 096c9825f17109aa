"""Evaluate a score table: one entry for each dataset and part, every number with its interval over cases."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
import pandas as pd
from msgspec.structs import replace

import mitotype
from mitotype.core.errors import UserError
from mitotype.core.expert_votes import parse_votes
from mitotype.core.run_layout.decision import CombinerRecord
from mitotype.core.run_layout.evaluation import (
    About,
    Abstained,
    Confusion,
    Group,
    MetricRecord,
    SettingsRecord,
    Variant,
)
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.evaluation import checks
from mitotype.evaluation.distinct import distinct_images
from mitotype.evaluation.experts import compare_with_experts
from mitotype.evaluation.interval import intervals, mean_over_members, note_without_case
from mitotype.evaluation.metrics import metrics_of
from mitotype.evaluation.metrics.metric import GROUP, MEMBERS
from mitotype.evaluation.pooling import challenge_metrics
from mitotype.evaluation.resample import Bootstrap, bootstrap_cases
from mitotype.evaluation.results import (
    ALL_FILES,
    DECIDED,
    HALF,
    MEAN_PROBABILITY,
    SINGLE,
    SINGLE_ALL_FILES,
    Entry,
    Evaluation,
)
from mitotype.scores.calibrate import sigmoid
from mitotype.scores.decision import UNCERTAIN, Decision, case_keys, cross_fitted, without_case
from mitotype.scores.ensemble import AnyCombiner, Combiner
from mitotype.scores.table import IDENTITY, Scores

UNCALIBRATED = Decision()
LEVEL = 0.95


@dataclass(frozen=True)
class _Context:
    scores: Scores
    decision: Decision
    n_boot: int
    seed: int
    by_probability: pd.Series | None = None


def decide_rows(
    scores: Scores, decision: Decision | None = None, *, combiner: AnyCombiner | None = None
) -> pd.DataFrame:
    """Return one row per patch and part: the patch's columns, logit, member_sd, members, probability, class, decision, case.

    Out-of-fold rows that the decision was fitted on are decided by cross-fitting over cases. `case` is the unit of the
    bootstrap: dataset and case, or the patch itself if its case is unknown.
    """
    decision = decision or UNCALIBRATED
    rows = scores.joined((combiner or Combiner()).apply(scores))
    fitted = (rows["part"] == OUT_OF_FOLD) & rows["label"].notna()
    if decision.fitted_on.rows and fitted.any() and rows.loc[fitted, "label"].nunique() > 1:
        target = decision.fitted_on.target if decision.fitted_on.target in rows.columns else "label"
        out_of_fold = cross_fitted(rows[fitted], decision, target=target)
        others = decision.apply(rows[~fitted])
        rows = pd.concat([out_of_fold, others], ignore_index=True) if len(others) else out_of_fold
    else:
        rows = decision.apply(rows)
    return rows.assign(case=case_keys(rows))


def evaluate(
    scores: Scores,
    decision: Decision | None = None,
    *,
    combiner: AnyCombiner | None = None,
    n_boot: int = 2000,
    seed: int = 0,
    part: str | None = None,
    about: About | None = None,
) -> Evaluation:
    """Evaluate every labelled patch of `scores`, or of one `part` of it.

    `decision` (default: probability σ(logit), threshold 0.5) was fitted on out-of-fold rows. Intervals are from `n_boot`
    bootstrap replicates of the cases. Images with several rows count once. The checks cover every part: pass the training's
    out-of-fold rows too, which show what was trained on. Raises a UserError for a leak (M001, M002, M004, M006) and for scores
    without labels.
    """
    about = about or About()
    if not about.created:
        about = replace(about, created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"))
    decision, combiner = decision or UNCALIBRATED, combiner or Combiner()
    findings = checks.run(checks.Evidence(scores, decision, about.overlaps, about.held_out))
    checks.raise_if_any(findings)
    scores = scores.take(part=part) if part else scores
    rows = decide_rows(scores, decision, combiner=combiner)
    context = _Context(scores, decision, n_boot, seed, _by_probability(scores, rows, combiner.record))
    groups = list(rows.groupby(["part", "dataset"], sort=False))
    groups.sort(key=lambda group: str(group[0][0]) == OUT_OF_FOLD)
    entries = [_entry(context, g.reset_index(drop=True)) for _, g in groups if g["label"].notna().any()]
    if not entries:
        raise UserError(
            "No patch of these scores has a label.", fix="add the labels of the patches, or only classify them"
        )
    unlabelled = [
        f"{dataset} ({part}): none of {len(g)} patches is labelled"
        for (part, dataset), g in groups
        if not g["label"].notna().any()
    ]
    members, views = _contributors(scores, combiner.record)
    settings = SettingsRecord(
        version=mitotype.__version__,
        n_boot=n_boot,
        seed=seed,
        level=LEVEL,
        combiner=combiner.record,
        members=members,
        views=views,
        decision=replace(decision, digests=()),
        decision_digests=len(decision.digests),
    )
    notes = [*scores.notes, *unlabelled, *_member_note(decision, rows)]
    return Evaluation(
        about=about,
        settings=settings,
        entries=entries,
        checks=findings,
        notes=notes,
        metrics=[MetricRecord(name, m.title, m.head, list(m.tables)) for name, m in metrics_of().items()],
        decision=decision,
    )


def _contributors(scores: Scores, combiner: CombinerRecord) -> tuple[list[str], list[str]]:
    """Return the members and views of the test rows, or of all rows without test rows."""
    rows = scores.scores
    rows = rows[rows["part"] != OUT_OF_FOLD] if (rows["part"] != OUT_OF_FOLD).any() else rows
    members, views = ([str(name) for name in rows[column].unique()] for column in ("member", "view"))
    return list(combiner.members) or members, list(combiner.views) or views


def _member_note(decision: Decision, rows: pd.DataFrame) -> list[str]:
    """Return a note if test rows are means of another number of members than the rows of the decision's fit."""
    fitted, test = decision.fitted_on.members, rows[rows["part"] != OUT_OF_FOLD]
    deployed = int(test["members"].median()) if len(test) else fitted
    if not fitted or fitted == deployed:
        return []
    return [
        f"the decision was fitted on rows that are means of {fitted} members, and decides rows that are means of {deployed}:"
        " a mean over more members is less over-confident"
    ]


def _entry(context: _Context, rows: pd.DataFrame) -> Entry:
    labelled = rows[rows["label"].notna()].reset_index(drop=True)
    bootstrap_all = bootstrap_cases(labelled, n_boot=context.n_boot, seed=context.seed)
    images = distinct_images(labelled)
    once, bootstrap = labelled[images.mask].reset_index(drop=True), bootstrap_all.take(images.mask)
    label, predicted, probability, logit = metric_arrays(once)
    dataset, part, notes = str(rows["dataset"].iloc[0]), str(rows["part"].iloc[0]), []
    variants = [_variant(DECIDED, "as decided", once, bootstrap)]
    if context.decision.fitted_on.rows or context.decision != UNCALIBRATED:
        at_half = UNCALIBRATED.apply(once, guard=False)
        same = None if part == OUT_OF_FOLD else variants[0]  # each fold of cross-fitting has a calibration of its own
        variants.append(_variant(HALF, "uncalibrated at 0.5", at_half, bootstrap, same_ranking=same))
    if context.by_probability is not None:
        logit_N = context.by_probability.loc[part].reindex(once["patch_id"]).to_numpy()
        at_half = UNCALIBRATED.apply(once.assign(logit=logit_N), guard=False)
        variants.append(_variant(MEAN_PROBABILITY, "mean of probabilities at 0.5", at_half, bootstrap))
    single = _single(context, SINGLE, once, bootstrap) if part != OUT_OF_FOLD else None
    variants += [single] if single else []
    if not images.mask.all():
        notes.append(
            f"{len(labelled)} files have {len(labelled) - images.repeated - images.conflicting} distinct images without"
            f" conflict: {images.repeated} repeats and {images.conflicting} files of {images.conflicts} images with"
            " conflicting labels are left out"
        )
        variants.append(_variant(ALL_FILES, f"as decided, all {len(labelled)} files", labelled, bootstrap_all))
        single = _single(context, SINGLE_ALL_FILES, labelled, bootstrap_all) if single else None
        variants += [single] if single else []
    if part == OUT_OF_FOLD and context.decision.fitted_on.rows:
        unit = context.decision.fitted_on.unit
        notes.append(
            f"calibration, threshold and band are cross-fitted: each {unit} is decided by a fit on other {unit}s"
        )
    alone = int(without_case(once["case"]).sum())
    if alone:
        notes.append(note_without_case(alone))
    tp, fp = int((predicted * label).sum()), int((predicted * (1 - label)).sum())
    positives = int(label.sum())
    domain = once["domain"].fillna("unknown").astype(str).to_numpy(str)
    vote_NE = parse_votes(once["expert_votes"]) if "expert_votes" in once.columns else np.zeros((len(once), 0))
    return Entry(
        dataset=dataset,
        part=part,
        name=dataset if dataset.endswith(f"-{part}") else f"{dataset}, {part}",
        patches=len(once),
        atypical=positives,
        cases=bootstrap.groups,
        unlabelled=len(rows) - len(labelled),
        within=bootstrap.within,
        variants=variants,
        confusion=Confusion(tp, positives - tp, fp, len(once) - positives - fp),
        domains=_groups(once, bootstrap, domain),
        agreement=_groups(once, bootstrap, _agreement(once)),
        pooled=challenge_metrics(label, predicted, probability, domain, logit),
        abstained=_abstained(context.decision, once, bootstrap),
        experts=compare_with_experts(vote_NE, predicted, bootstrap, level=LEVEL),
        notes=notes,
        published=None,
        rows=once,
    )


def _by_probability(scores: Scores, rows: pd.DataFrame, combiner: CombinerRecord) -> pd.Series | None:
    """Return the logit of the mean probability by part and patch, as many studies combine members and views.

    None for a combiner that is not the mean of logits, and where each of the combined `rows` is of one score.
    """
    if combiner.kind != "mean_logit" or (rows[["members", "views"]] == 1).all(axis=None):
        return None
    other = Combiner("mean_probability", views=combiner.views, members=combiner.members)
    return other.apply(scores).set_index(["part", "patch_id"])["logit"]


def metric_arrays(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return label, predicted class, P(atypical) and its logit, which ranks where probabilities round to 1."""
    predicted = (rows["class"] == "atypical").to_numpy(int)
    label, probability, logit = (rows[name].to_numpy(float) for name in ("label", "probability", "calibrated_logit"))
    return label, predicted, probability, logit


def _variant(
    key: str, title: str, rows: pd.DataFrame, bootstrap: Bootstrap, *, same_ranking: Variant | None = None
) -> Variant:
    """Return the metrics of `rows`; the ranking metrics are those of `same_ranking`, which orders the patches in the same way."""
    label, predicted, probability, logit = metric_arrays(rows)
    metrics = metrics_of()
    ranking = [name for name, metric in metrics.items() if metric.reads == "score"]
    known = {name: same_ranking.metrics[name] for name in ranking} if same_ranking else {}
    names = [name for name in metrics if name not in known]
    computed = intervals(names, label, predicted, probability, bootstrap, score=logit, level=LEVEL)
    ordered = {name: (known | computed)[name] for name in metrics}
    return Variant(key, title, len(rows), int(label.sum()), bootstrap.groups, ordered, int(rows["members"].median()))


def _single(context: _Context, key: str, rows: pd.DataFrame, bootstrap: Bootstrap) -> Variant | None:
    """Return the mean over single members, one view, σ(logit) at 0.5, as the literature reports single models.

    None for one member with one view, and if a member lacks a patch.
    """
    scores = context.scores.scores
    scores = scores[(scores["part"] == rows["part"].iloc[0]) & scores["patch_id"].isin(rows["patch_id"])]
    views = list(dict.fromkeys(scores["view"].astype(str)))
    view = IDENTITY if IDENTITY in views else views[0]
    wide = scores[scores["view"] == view].pivot(index="patch_id", columns="member", values="logit")
    wide = wide.reindex(rows["patch_id"])
    members = wide.shape[1]
    if (members < 2 and len(views) < 2) or wide.isna().any(axis=None):
        return None
    probability_NM = sigmoid(wide.to_numpy(float))
    label = rows["label"].to_numpy(float)
    predicted_NM = (probability_NM >= 0.5).astype(int)
    metrics = mean_over_members(
        list(metrics_of(MEMBERS)),
        label,
        predicted_NM,
        probability_NM,
        bootstrap,
        score_NM=wide.to_numpy(float),
        level=LEVEL,
    )
    files = f", all {len(rows)} files" if key == SINGLE_ALL_FILES else ""
    title = f"{members} single members at 0.5, mean{files}"
    return Variant(key, title, len(rows), int(label.sum()), bootstrap.groups, metrics, members)


def _groups(rows: pd.DataFrame, bootstrap: Bootstrap, names: np.ndarray) -> list[Group]:
    """Return the metrics of the rows of each name; rows with an empty name are left out."""
    label, predicted, probability, logit = metric_arrays(rows)
    metrics, groups = list(metrics_of(GROUP)), []
    for name in sorted(set(names.tolist()) - {""}):
        mask = names == name
        replicates = bootstrap.take(mask)
        values = intervals(
            metrics, label[mask], predicted[mask], probability[mask], replicates, score=logit[mask], level=LEVEL
        )
        groups.append(Group(name, int(mask.sum()), int(label[mask].sum()), replicates.groups, values))
    return groups


def _agreement(rows: pd.DataFrame) -> np.ndarray:
    """Return "unanimous", "contested", or "" for fewer than two votes."""
    votes = pd.to_numeric(rows["votes"], errors="coerce").to_numpy(float)
    votes_for = pd.to_numeric(rows["votes_for"], errors="coerce").to_numpy(float)
    unanimous = (votes_for == 0) | (votes_for == votes)
    return np.where((votes >= 2) & np.isfinite(votes_for), np.where(unanimous, "unanimous", "contested"), "")


def _abstained(decision: Decision, rows: pd.DataFrame, bootstrap: Bootstrap) -> Abstained | None:
    if decision.abstention.low == decision.abstention.high:
        return None
    certain = (rows["decision"] != UNCERTAIN).to_numpy()
    label, predicted, probability, logit = (array[certain] for array in metric_arrays(rows))
    replicates = bootstrap.take(certain)
    names = list(metrics_of(GROUP))
    metrics = intervals(names, label, predicted, probability, replicates, score=logit, level=LEVEL)
    return Abstained(int((~certain).sum()), float((~certain).mean()), metrics)
