"""Cases into folds: the rows of one case share a fold, and the atypical rows, or all classes, are spread evenly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mitotype.core.seeds import numpy_generator


def case_folds(case: np.ndarray, label: np.ndarray, *, folds: int = 5, seed: int = 0) -> np.ndarray:
    """Return a fold 0 … folds-1 for every row, with the atypical rows spread evenly.

    Cases are taken in the order of their number of atypical rows, most first and ties shuffled by `seed`; each goes to the
    fold with the fewest atypical rows, then the fewest rows, so that many cases without any may share one fold. Where that
    would leave all rows of a class in one fold, the rule is that of `stratified_case_folds`. With fewer cases than folds there
    are as many folds as cases.
    """
    unique_C, inverse = np.unique(np.asarray(case).astype(str), return_inverse=True)
    is_atypical = np.asarray(label, float) == 1
    count_C2 = np.zeros((len(unique_C), 2))  # atypical rows, rows
    np.add.at(count_C2, inverse, np.stack([is_atypical, np.ones(len(inverse))], axis=1))
    shuffled = numpy_generator(seed, "case_folds").permutation(len(unique_C))
    order = shuffled[np.lexsort((-count_C2[shuffled, 1], -count_C2[shuffled, 0]))]
    n_folds = max(1, min(folds, len(unique_C)))
    fold = _assign(count_C2, order, n_folds, lambda held_F2, fold: tuple(held_F2[fold]))[inverse]
    for is_class in (is_atypical, ~is_atypical):
        if len(np.unique(fold[is_class])) == 1 < len(np.unique(inverse[is_class])):
            return stratified_case_folds(case, is_atypical, folds=n_folds, seed=seed)
    return fold


def stratified_case_folds(case: np.ndarray, label: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    """Return a fold 0 … folds-1 for every row, with the rows of every value of `label` spread evenly.

    This is the rule of scikit-learn's StratifiedGroupKFold, whose shuffle differs between versions: cases are shuffled by
    `seed` and ordered by how unevenly they hold the labels; each goes to the fold for which the standard deviation over
    folds of the share of each label, averaged over labels, is least; ties go to the fold with the fewest rows.
    """
    unique_C, inverse = np.unique(np.asarray(case), return_inverse=True)
    label_K, column = np.unique(label, return_inverse=True)
    count_CK = np.zeros((len(unique_C), len(label_K)))
    np.add.at(count_CK, (inverse, column), 1)
    total_K = count_CK.sum(axis=0)
    shuffled = numpy_generator(seed, "grouped_folds", folds).permutation(len(unique_C))
    order = shuffled[np.argsort(-count_CK[shuffled].std(axis=1), kind="stable")]

    def cost(held_FK: np.ndarray, fold: int) -> tuple[float, float]:
        return round(float((held_FK / total_K).std(axis=0).mean()), 12), held_FK[fold].sum()

    return _assign(count_CK, order, folds, cost)[inverse]


def _assign(
    count_CK: np.ndarray, order: np.ndarray, folds: int, cost: Callable[[np.ndarray, int], tuple[float, ...]]
) -> np.ndarray:
    """Return the fold of each case: in `order`, each goes to the first fold with the least `cost(rows per fold, fold)`."""
    held_FK = np.zeros((folds, count_CK.shape[1]))
    fold_C = np.zeros(len(count_CK), int)
    for case in order:
        costs = []
        for fold in range(folds):
            held_FK[fold] += count_CK[case]
            costs.append(cost(held_FK, fold))
            held_FK[fold] -= count_CK[case]
        fold_C[case] = costs.index(min(costs))
        held_FK[fold_C[case]] += count_CK[case]
    return fold_C
