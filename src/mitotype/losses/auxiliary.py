"""Auxiliary tasks on the same embedding: the experts' sub-classes, each expert's vote, the shape descriptors."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional

from mitotype.core.arguments import argument
from mitotype.losses.term import Batch, Outputs, TargetSource, Term, losses, mean_over_known

MAX_SD = 3.0  # standardized descriptors are clipped here
SUB_LABELS = (  # spelled as AMi-Br spells them
    "AMF bipolar assymetric",
    "AMF multipolar",
    "AMF other",
    "AMF segregation",
    "NMF anaphase-telophase",
    "NMF metaphase",
    "NMF prometaphase",
    "NMF ring shape",
)


@losses.add("sub_label")
@dataclass(frozen=True)
class SubLabel(Term):
    """The experts' eight sub-classes (prometaphase … bridging) as an auxiliary task.

    Cross-entropy against the mean of the experts' one-hot choices: −Σ_k t_k·log softmax(s)_k.
    """

    per_patch = True
    mixup = "exact: the loss is linear in the target"
    head = "sub_label"
    n_outputs = 8

    def targets(self, source: TargetSource) -> np.ndarray:
        """Return the mean of the experts' one-hot choices among SUB_LABELS, nan where none was made."""
        rows = source.rows
        count_NK = np.zeros((len(rows), len(SUB_LABELS)), np.float32)
        for column in ("sub_label_1", "sub_label_2"):
            if column in rows:
                for row, choice in enumerate(rows[column]):
                    if choice in SUB_LABELS:
                        count_NK[row, SUB_LABELS.index(choice)] += 1
        total_N1 = count_NK.sum(1, keepdims=True)
        return np.where(total_N1 > 0, count_NK / np.maximum(total_N1, 1), np.nan).astype(np.float32)

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        target_BK = batch.aux["sub_label"]
        return -(target_BK.nan_to_num(0.0) * functional.log_softmax(outputs.aux["sub_label"], 1)).sum(1)


@losses.add("expert")
@dataclass(frozen=True)
class Expert(Term):
    """Each expert's own vote as an auxiliary task.

    Mean cross-entropy over the votes; an expert without a vote adds no loss.
    """

    per_patch = True
    mixup = "exact where both patches have the vote; a missing vote in either makes the mixed one missing"
    head = "expert"
    n_outputs = 3

    def targets(self, source: TargetSource) -> np.ndarray:
        """Return the votes of the first three experts, 1 for atypical, nan where one did not vote."""
        vote, rows = {"A": 1.0, "N": 0.0}, source.rows
        texts = rows["expert_votes"] if "expert_votes" in rows else [""] * len(rows)
        return np.array([[vote.get(v, np.nan) for v in str(text).ljust(3, "-")[:3]] for text in texts], np.float32)

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        target_BK = batch.aux["expert"]
        loss_BK = functional.binary_cross_entropy_with_logits(
            outputs.aux["expert"], target_BK.nan_to_num(0.5), reduction="none"
        )
        return mean_over_known(loss_BK, target_BK)


@losses.add("descriptor")
@dataclass(frozen=True)
class Descriptor(Term):
    """The shape descriptors of the chromatin as an auxiliary task.

    Mean Huber loss over the standardised descriptors (unit: one standard deviation of the training patches).
    """

    per_patch = True
    mixup = "approximate: a mixed image has the mean of both descriptors only in expectation"
    head = "descriptor"
    reads_labels = False

    n_outputs: int = argument(24, low=1, meaning="number of descriptors")

    def targets(self, source: TargetSource) -> np.ndarray:
        return source.descriptors()

    def fit_targets(self, target_NK: np.ndarray) -> np.ndarray:
        """Return each column with mean 0 and SD 1 over these patches, clipped to ± MAX_SD; nan stays nan."""
        value_NK = np.where(np.isfinite(target_NK), target_NK, np.nan).astype(np.float64)
        std_K = np.nanstd(value_NK, 0)
        standard_NK = (value_NK - np.nanmean(value_NK, 0)) / np.where(std_K > 0, std_K, 1)
        return np.clip(standard_NK, -MAX_SD, MAX_SD).astype(np.float32)

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        target_BK = batch.aux["descriptor"]
        loss_BK = functional.smooth_l1_loss(outputs.aux["descriptor"], target_BK.nan_to_num(0.0), reduction="none")
        return mean_over_known(loss_BK, target_BK)
