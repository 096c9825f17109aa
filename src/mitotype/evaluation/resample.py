"""Bootstrap and jackknife over cases: how often each replicate contains each case.

Shapes: D replicates, C cases, N rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mitotype.core.seeds import numpy_generator

MAX_ELEMENTS = 2_000_000  # replicates × rows in memory at once
MAX_JACKKNIFE_CASES = 500  # above, no case weighs enough to matter


@dataclass(frozen=True)
class Bootstrap:
    """`weight_DC` is how often each replicate contains each case, `code_N` the case of each row, `stratum_C` its stratum.

    The first `n_boot` replicates sample cases with replacement within their stratum, as many as it has; the others, one for
    each case unless there are more than 500, leave one case out. `by` and `within` are names of columns.
    """

    weight_DC: np.ndarray
    code_N: np.ndarray
    stratum_C: np.ndarray
    n_boot: int
    by: str = "case_id"
    within: str = "domain"

    def take(self, rows: np.ndarray) -> Bootstrap:
        """Return the same replicates for some of the rows (a mask or indices)."""
        return replace(self, code_N=self.code_N[rows])

    @property
    def groups(self) -> int:
        """The number of cases of the rows."""
        return len(np.unique(self.code_N))

    @property
    def strata(self) -> int:
        """The number of strata of the rows."""
        return len(np.unique(self.stratum_C[self.code_N]))

    def row_weights(self) -> Iterator[np.ndarray]:
        """Yield the weights of the rows, D × N, some replicates at a time, in single precision (exact for counts)."""
        step = max(1, MAX_ELEMENTS // max(1, len(self.code_N)))
        for start in range(0, len(self.weight_DC), step):
            yield self.weight_DC[start : start + step].astype(np.float32)[:, self.code_N]


def case_weights(case: np.ndarray, stratum: np.ndarray, *, n_boot: int, seed: int) -> np.ndarray:
    """Return how often each replicate contains each case, D × C, cases in sorted order; every case is in one stratum."""
    cases, first = np.unique(case, return_index=True)
    case_stratum = stratum[first]
    generator = numpy_generator(seed, "bootstrap over cases")
    weight_DC = np.zeros((n_boot, len(cases)), np.float64)
    for name in np.unique(case_stratum):
        columns = np.flatnonzero(case_stratum == name)
        n = len(columns)
        samples = generator.integers(0, n, (n_boot, n)) + np.arange(n_boot)[:, None] * n
        weight_DC[:, columns] = np.bincount(samples.ravel(), minlength=n_boot * n).reshape(n_boot, n)
    return weight_DC


def bootstrap_cases(rows: pd.DataFrame, *, n_boot: int, seed: int) -> Bootstrap:
    """Return replicates of the cases of `rows` (case, dataset, domain), stratified by domain or dataset.

    The stratum is the domain if every case is in one domain and no domain has a single case (which would be in every
    replicate and seem certain); else the dataset.
    """
    case, dataset = rows["case"].to_numpy(str), rows["dataset"].to_numpy(str)
    domain = rows["domain"].fillna("").astype(str).to_numpy(str)
    pairs = rows.assign(domain=domain).drop_duplicates(["case", "domain"])
    by_domain = not pairs["case"].duplicated().any() and bool(
        (pairs.groupby(["dataset", "domain"])["case"].size() > 1).all()
    )
    stratum = np.array([f"{d}\x1f{m}" if by_domain else d for d, m in zip(dataset, domain, strict=True)])
    cases, first, code = np.unique(case, return_index=True, return_inverse=True)
    weight_DC = case_weights(case, stratum, n_boot=n_boot, seed=seed)
    if len(cases) <= MAX_JACKKNIFE_CASES:
        weight_DC = np.concatenate([weight_DC, 1 - np.eye(len(cases))])
    return Bootstrap(weight_DC, code, stratum[first], n_boot, within="domain" if by_domain else "dataset")
