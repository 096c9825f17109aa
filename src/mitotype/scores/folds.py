"""Cases into folds, for fitting on some cases and judging on the others."""

from __future__ import annotations

import numpy as np

from mitotype.core.seeds import numpy_generator


def case_folds(case: np.ndarray, label: np.ndarray, *, folds: int = 5, seed: int = 0) -> np.ndarray:
    """A fold 0..folds-1 for every row; the rows of one case share it, the atypical rows are spread evenly.

    Cases are taken in the order of their atypical rows, most first and ties shuffled by `seed`; each goes to the fold
    with the fewest atypical rows, then the fewest rows. With fewer cases than folds there are as many folds as cases.
    """
    _, code = np.unique(np.asarray(case).astype(str), return_inverse=True)
    cases = int(code.max()) + 1
    folds = max(1, min(folds, cases))
    rows = np.bincount(code, minlength=cases)
    positives = np.bincount(code, weights=np.asarray(label, float) == 1, minlength=cases)
    shuffled = numpy_generator(seed, "case_folds").permutation(cases)
    order = shuffled[np.lexsort((-rows[shuffled], -positives[shuffled]))]
    fold_of = np.zeros(cases, int)
    load = np.zeros((folds, 2))
    for index in order:
        fold = min(range(folds), key=lambda f: (load[f, 0], load[f, 1]))
        fold_of[index] = fold
        load[fold] += positives[index], rows[index]
    return fold_of[code]
