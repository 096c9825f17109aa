"""A synthetic cohort of scores like the real ones: three test sets, twelve domains, cases, votes, duplicates, an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mitotype.core import files
from mitotype.core.run_layout.evaluation import About
from mitotype.evaluation import evaluate
from mitotype.evaluation.results import Evaluation
from mitotype.scores import decision
from mitotype.scores.decision import Decision
from mitotype.scores.ensemble import mean_logit
from mitotype.scores.table import Scores

ABOUT = About(title="A run", command="mitotype evaluate runs/a", created="2025-01-01")

AMIBR = ["Hamamatsu XR", "Hamamatsu S360", "Aperio CS2", "TUPAC16 01-23", "TUPAC16 24-73"]
MD = [
    "canine lung cancer",
    "canine lymphoma",
    "canine cutaneous mast cell tumour",
    "human neuroendocrine tumour",
    "canine soft tissue sarcoma",
    "human melanoma",
]
MD_SHARES = (0.089, 0.465, 0.188, 0.046, 0.046, 0.166)
SETS = (  # dataset, part, rows, domains and their shares, cases per domain, prevalence, experts, AUROC-like separation
    ("amibr", "out-of-fold", 2894, dict(zip(AMIBR, (0.12, 0.16, 0.18, 0.36, 0.18), strict=True)), 29, 0.224, 3, 0.6),
    ("amibr", "test", 826, dict(zip(AMIBR, (0.12, 0.16, 0.24, 0.3, 0.18), strict=True)), 11, 0.223, 3, 0.6),
    ("atnorm-br", "test", 746, {"TCGA": 1.0}, 95, 0.172, 0, 0.5),
    ("atnorm-md", "test", 2107, dict(zip(MD, MD_SHARES, strict=True)), 10, 0.104, 5, 0.45),
)


def cohort(
    *, share: float = 1.0, members: int = 5, seed: int = 0, skill: float = 1.0, images: list[Path] | None = None
) -> Scores:
    """Return scores whose noise is shared between members, cases and views, so that averaging helps as much as on real data."""
    rng = np.random.default_rng(seed)
    case_rng = np.random.default_rng(1)
    tables, rows = [], []
    for dataset, part, full, domains, cases, prevalence, experts, separation in SETS:
        n = max(40, int(full * share))
        domain = rng.choice(list(domains), n, p=list(domains.values()))
        domain_index = np.array([list(domains).index(d) for d in domain])
        case = domain_index * cases + np.minimum(rng.geometric(3 / cases, n), cases) - 1
        difficulty = rng.normal(0, 1, n)
        case_effect = np.array([case_rng.normal(0, 0.3) for _ in range(len(domains) * cases)])[case]
        true = rng.normal(0, 1, n) + case_effect
        cut = np.quantile(true, 1 - prevalence)
        opinion = true[:, None] + rng.normal(0, 0.5, (n, max(experts, 1)))
        voted = opinion > cut
        label = (voted.mean(axis=1) > 0.5).astype(float)
        ids = [f"{dataset}/{part[0]}{i + 1}" for i in range(n)]
        tables.append(
            pd.DataFrame(
                {
                    "patch_id": ids,
                    "dataset": dataset,
                    "case_id": [f"{part[0]}{c:03d}" for c in case],
                    "domain": domain,
                    "label": label,
                    "votes_for": voted.sum(axis=1).astype(float) if experts else np.nan,
                    "votes": float(experts) if experts else np.nan,
                    "digest": [files.digest_of(name) for name in ids],
                    "path": [str(images[i % len(images)]) if images else "" for i in range(n)],
                    "mpp_um": 0.25,
                    "expert_votes": ["".join("NA"[int(v)] for v in vote) if experts else None for vote in voted],
                }
            )
        )
        base = skill * separation * 2.0 * (label - 0.5) + 0.9 * difficulty + 0.3 * true - 0.7
        for i in range(n):
            for m in [case[i] % members] if part == "out-of-fold" else range(members):
                shift = base[i] + rng.normal(0, 0.7) + 0.1 * m
                for view in ("identity", "rot90"):
                    logit = 1.4 * (shift + rng.normal(0, 0.25))
                    rows.append((ids[i], part, m + 1, f"fold{m + 1}", view, logit))
    patches = pd.concat(tables, ignore_index=True)
    _duplicate(patches)
    return Scores(patches, pd.DataFrame(rows, columns=["patch_id", "part", "fold", "member", "view", "logit"]))


def _duplicate(patches: pd.DataFrame) -> None:
    """Add duplicates to AtNorM-Br as in the real one: 27 groups, 62 files, two groups in conflict (with 5 and 2 files)."""
    rows = np.flatnonzero((patches["dataset"] == "atnorm-br").to_numpy())
    sizes = [5, 2, *([2] * 20), *([3] * 5)]
    if len(rows) < sum(sizes):
        return
    start = 0
    for index, size in enumerate(sizes):
        group = rows[start : start + size]
        patches.loc[group, "digest"] = patches["digest"].iloc[group[0]]
        patches.loc[group, "label"] = 0.0
        if index < 2:
            patches.loc[group[-1], "label"] = 1.0
        start += size


@pytest.fixture
def make_cohort() -> Callable[..., Scores]:
    return cohort


@pytest.fixture(scope="session")
def small() -> Scores:
    """Return a tenth of the cohort."""
    return cohort(share=0.12, members=3)


def fit_decision(scores: Scores) -> Decision:
    return decision.fit(scores.joined(mean_logit(scores.take(part="out-of-fold"))), abstention="share(0.1)")


@pytest.fixture(scope="session")
def evaluation(small: Scores) -> Evaluation:
    return evaluate(small, fit_decision(small), n_boot=300, about=ABOUT)
