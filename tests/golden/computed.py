"""Numbers from a stored score table: decisions, ensembles, evaluations, a comparison, folds and digests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.golden.numbers import HERE, Flat, flat
from tests.golden.package import (
    CODES,
    OUT_OF_FOLD,
    TEST,
    Cohort,
    Combiner,
    Decision,
    Scores,
    case_folds,
    compare,
    decide_rows,
    decisions,
    evaluate,
    images,
    records,
    seeds,
    splits,
    stack,
)

PATCHES, LOGITS = "table_patches.parquet", "table_logits.parquet"
SOURCES, VIEWS, FOLDS, DRAWS = ("alpha", "beta"), ("identity", "turned"), 5, 200
RULES = {  # calibration, threshold, abstention, target
    "temperature": ("temperature", "balanced_accuracy", "share(0.15)", "label"),
    "platt": ("platt", "sensitivity(0.9)", "balanced_accuracy(0.9)", "label"),
    "soft": ("platt", "at(0.4)", "share(0.1)", "soft"),
    "identity": ("identity", "half", "none", "label"),
}
COMBINED = {
    "mean_logit": Combiner(),
    "mean_probability": Combiner("mean_probability"),
    "one_view": Combiner(views=("identity",)),
    "weighted": Combiner("weighted", weights={"alpha": 0.7, "beta": 0.4}, intercept=-0.1),
}


def make_table() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patches and logits from a seed: 120 out-of-fold patches of 20 cases, 80 test patches of 12 cases, in two datasets.

    Among the test patches are repeats of an image, one with another label, patches without a label or a case.
    """
    rng = np.random.default_rng(20240607)
    rows, logits = [], []
    for part, dataset, count, cases in ((OUT_OF_FOLD, "first", 120, 20), (TEST, "second", 80, 12)):
        for number in range(count):
            case = int(rng.integers(cases))
            severity = rng.normal(0.6 * (case % 5 == 0), 1)
            experts = severity + rng.normal(0, 0.6, 3) > np.array([0.9, 0.6, 0.4])
            patch = {
                "patch_id": f"{dataset}/{number:03d}", "dataset": dataset, "case_id": f"{dataset} case {case:02d}",
                "domain": f"{dataset} domain {case % 3}", "label": float(experts.sum() >= 2), "votes_for": float(experts.sum()),
                "votes": 3.0, "expert_votes": "".join("NA"[int(vote)] for vote in experts),
                "digest": images.digest(np.array([[[number, case, len(dataset)]]], np.int64)),
                "soft": round(float(experts.mean()), 4),
            }  # fmt: skip
            rows.append(patch)
            for source, gain, shift in (("alpha", 1.6, -0.8), ("beta", 1.1, -0.3)):
                member = f"{source}/fold{case % FOLDS + 1}" if part == OUT_OF_FOLD else f"{source}/all"
                centre = gain * severity + shift + rng.normal(0, 0.7)
                for view in VIEWS:
                    logits.append({
                        "patch_id": patch["patch_id"], "part": part, "fold": case % FOLDS + 1 if part == OUT_OF_FOLD else 0,
                        "member": member, "view": view, "logit": round(float(centre + rng.normal(0, 0.2)), 4),
                    })  # fmt: skip
    patches = pd.DataFrame(rows)
    for copy, source in ((125, 121), (131, 130), (140, 139)):
        patches.loc[copy, "digest"] = patches.loc[source, "digest"]
        patches.loc[copy, "label"] = patches.loc[source, "label"]
    patches.loc[140, "label"] = 1 - patches.loc[139, "label"]
    patches.loc[[150, 151], "label"] = np.nan
    patches.loc[[160, 161], "case_id"] = None
    patches.loc[170, "expert_votes"] = "A-N"
    return patches, pd.DataFrame(logits)


def write_table() -> None:
    for name, rows in zip((PATCHES, LOGITS), make_table(), strict=True):
        rows.to_parquet(HERE / name, index=False)


def stored_table() -> Scores:
    return Scores(pd.read_parquet(HERE / PATCHES), pd.read_parquet(HERE / LOGITS))


def of_source(scores: Scores, source: str) -> Scores:
    rows = scores.scores["member"].str.startswith(f"{source}/")
    return Scores(scores.patches, scores.scores[rows].reset_index(drop=True))


def fit_decision(scores: Scores, rules: str, combine: Combiner | None = None) -> Decision:
    calibration, threshold, abstention, target = RULES[rules]
    rows = scores.take(part=OUT_OF_FOLD)
    joined = rows.joined((combine or Combiner()).apply(rows))
    return decisions.fit(joined, calibration=calibration, threshold=threshold, abstention=abstention, target=target)


def by_patch(rows: pd.DataFrame) -> dict[str, Any]:
    """Logit, SD over members ("spread"), probability and decision of every row."""
    name = rows["patch_id"].str.replace("/", " ")
    codes = rows["decision"].map(CODES)
    return {
        key: dict(zip(name, column, strict=True))
        for key, column in {
            "logit": rows["logit"],
            "member_sd": rows["member_sd"],
            "probability": rows["probability"],
            "decision": codes,
        }.items()
    }


def decision_numbers() -> Flat:
    scores = stored_table()
    numbers: dict[str, Any] = {}
    for name in RULES:
        decision = fit_decision(scores, name)
        stored = records.to_builtins(decision)
        numbers[name] = {key: stored[key] for key in ("calibration", "threshold", "abstention", "fitted_on")}
        numbers[name]["digests"] = len(decision.digests)
        numbers[name]["rows"] = {
            key: by_patch(decide_rows(scores, decision))[key] for key in ("probability", "decision")
        }
    for name, combine in COMBINED.items():
        rows = by_patch(decide_rows(scores, combiner=combine))
        numbers[f"combined {name}"] = {
            key: rows[key] for key in ("logit", "member_sd") if key == "logit" or name.startswith("mean")
        }
    stacked, crossed = stack.fit(scores.take(part=OUT_OF_FOLD))
    numbers["stacked"] = {
        "combiner": records.to_builtins(stacked),
        "mean": crossed["logit"].mean(),
        "member_sd": crossed["logit"].std(),
    }
    return flat(numbers)


def evaluation_numbers() -> Flat:
    """The whole evaluation of both parts by a fitted decision, and that of the test part by another, without one."""
    scores = stored_table()
    combine = COMBINED["mean_probability"]
    return flat(records.to_builtins({
        "both parts": evaluate(scores, fit_decision(scores, "temperature"), n_boot=DRAWS),
        "test": evaluate(scores, fit_decision(scores, "platt", combine), combiner=combine, n_boot=DRAWS, part=TEST),
        "undecided": evaluate(of_source(scores, "alpha"), n_boot=DRAWS, seed=1, part=TEST),
    }))  # fmt: skip


def comparison_numbers() -> Flat:
    scores = stored_table()
    rows = []
    for source in SOURCES:
        part = of_source(scores, source)
        rows.append(decide_rows(part, fit_decision(part, "temperature")))
    return flat(records.to_builtins(compare(rows[0], rows[1].iloc[3:], SOURCES, n_boot=DRAWS)))


def lookups() -> dict[str, Any]:
    """Values that are stored on disk and looked up later: seeds, digests, folds."""
    image = (np.arange(8 * 8 * 3) % 251).astype(np.uint8).reshape(8, 8, 3)
    patches = stored_table().patches
    patches = patches[patches["dataset"] == "first"].reset_index(drop=True)
    blank = dict.fromkeys(("path", "scanner", "tumour", "species"), "")
    cohort = Cohort("first", patches.assign(**blank, mpp_um=0.25))
    fold = splits.grouped_folds(cohort, 5, 0)
    inner = case_folds(patches["case_id"].to_numpy(), patches["label"].to_numpy(), seed=3)
    return {
        "seed": seeds.derive(0, "augment", 3, 4),
        "drawn": seeds.numpy_generator(7, "unlike", "all-seed0").random(),
        "picture": images.digest(image),
        "split": splits.digest(fold),
        "folds": "".join(str(number) for number in fold),
        "case_folds": "".join(str(number) for number in inner),
    }


TABLES = {
    "decisions.json": decision_numbers,
    "evaluations.json": evaluation_numbers,
    "comparison.json": comparison_numbers,
}
NAMED = Path("named.json")
