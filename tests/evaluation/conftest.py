"""A made-up cohort of scores with the shape of the real ones: three test sets, twelve domains, cases, votes, duplicates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mitotype.core import files
from mitotype.scores.table import Scores

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
    *, share: float = 1.0, members: int = 5, seed: int = 0, skill: float = 1.0, pictures: list[Path] | None = None
) -> Scores:
    """Scores whose noise is shared between members, cases and views, so that averaging helps as much as it does in life."""
    rng = np.random.default_rng(seed)
    picture = np.random.default_rng(1)
    tables, rows = [], []
    for dataset, part, full, domains, cases, prevalence, experts, separation in SETS:
        n = max(40, int(full * share))
        domain = rng.choice(list(domains), n, p=list(domains.values()))
        place = np.array([list(domains).index(d) for d in domain])
        case = place * cases + np.minimum(rng.geometric(3 / cases, n), cases) - 1
        hardness = rng.normal(0, 1, n)
        leaning = np.array([picture.normal(0, 0.3) for _ in range(len(domains) * cases)])[case]
        true = rng.normal(0, 1, n) + leaning
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
                    "path": [str(pictures[i % len(pictures)]) if pictures else "" for i in range(n)],
                    "mpp_um": 0.25,
                    "expert_votes": ["".join("NA"[int(v)] for v in vote) if experts else None for vote in voted],
                }
            )
        )
        base = skill * separation * 2.0 * (label - 0.5) + 0.9 * hardness + 0.3 * true - 0.7
        own = list(range(members))
        for i in range(n):
            for m in [case[i] % members] if part == "out-of-fold" else own:
                shift = base[i] + rng.normal(0, 0.7) + 0.1 * m
                for view in ("identity", "rot90"):
                    logit = 1.4 * (shift + rng.normal(0, 0.25))
                    rows.append((ids[i], part, m + 1, f"fold{m + 1}", view, logit))
    patches = pd.concat(tables, ignore_index=True)
    _repeat(patches)
    return Scores(patches, pd.DataFrame(rows, columns=["patch_id", "part", "fold", "member", "view", "logit"]))


def _repeat(patches: pd.DataFrame) -> None:
    """Give AtNorM-Br duplicates as the real one has: 27 groups, 62 files, two groups in conflict (with 5 and 2 files)."""
    own = np.flatnonzero((patches["dataset"] == "atnorm-br").to_numpy())
    sizes = [5, 2, *([2] * 20), *([3] * 5)]
    if len(own) < sum(sizes):
        return
    start = 0
    for index, size in enumerate(sizes):
        group = own[start : start + size]
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
    """A tenth of the cohort."""
    return cohort(share=0.12, members=3)
