"""Greedy selection of sources with replacement."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mitotype.core.arguments import argument
from mitotype.core.seeds import numpy_generator
from mitotype.scores.calibrate import log_loss
from mitotype.scores.combiners.rule import CombinerRule, FittedSum, combiners
from mitotype.scores.sources import SourceRows

LOG_LOSS, BALANCED_ACCURACY = "log_loss", "balanced_accuracy"
Loss = Callable[[np.ndarray, np.ndarray], float]


@combiners.add("greedy")
@dataclass(frozen=True)
class Greedy(CombinerRule):
    """Greedy selection with replacement (Caruana et al. 2004): the source is added whose addition improves the mean most.

    It begins with no source and adds `size` of them, each as often as it is selected; the weights are the shares of the best
    of the `size` ensembles on the path, the smallest of equally good ones, and of equally good sources the first is added.
    The loss is that of the mean of logits: the log loss of σ, or 1 - the balanced accuracy at its best threshold. With more
    than one bag, each selects from a random `share` of the sources, and the weights are the mean over bags.
    """

    metric: str = argument(LOG_LOSS, choices=(LOG_LOSS, BALANCED_ACCURACY), meaning="what is improved")
    size: int = argument(25, low=1, high=1000, meaning="number of additions")
    bags: int = argument(1, low=1, high=1000, meaning="number of selections that are averaged")
    share: float = argument(0.5, low=0, high=1, open_low=True, meaning="share of the sources in each of several bags")

    def fit(self, rows: SourceRows, seed: int) -> FittedSum:
        loss = log_loss if self.metric == LOG_LOSS else best_error
        n = len(rows.sources)
        weight_S = np.zeros(n)
        for bag in range(self.bags):
            allowed = np.arange(n)
            if self.bags > 1:
                size = max(1, round(self.share * n))
                allowed = np.sort(numpy_generator(seed, "greedy", bag).permutation(n)[:size])
            weight_S[allowed] += select(rows.logit_NS[:, allowed], rows.label_N, loss, self.size) / self.bags
        return FittedSum(weight_S)


def select(logit_NS: np.ndarray, label_N: np.ndarray, loss: Loss, size: int) -> np.ndarray:
    """Return the share of each source in the best ensemble on the path of `size` additions."""
    logit_SN = np.ascontiguousarray(logit_NS.T)
    total_N = np.zeros(len(label_N))
    path: list[int] = []
    losses: list[float] = []
    for count in range(1, size + 1):
        candidates = [loss((total_N + logit_N) / count, label_N) for logit_N in logit_SN]
        path.append(int(np.argmin(candidates)))
        losses.append(candidates[path[-1]])
        total_N += logit_SN[path[-1]]
    best = int(np.argmin(losses)) + 1
    share_S: np.ndarray = np.bincount(path[:best], minlength=len(logit_SN)) / best
    return share_S


def best_error(logit_N: np.ndarray, label_N: np.ndarray) -> float:
    """Return 1 - the balanced accuracy at the best threshold of these rows."""
    order = np.argsort(logit_N)[::-1]
    atypical = label_N[order] >= 0.5
    hits = np.cumsum(atypical)
    difference = hits / hits[-1] - (np.arange(1, len(hits) + 1) - hits) / (len(hits) - hits[-1])
    is_last = np.append(np.diff(logit_N[order]) != 0, True)  # of equal logits
    return float(0.5 - max(0.0, difference[is_last].max()) / 2)
