"""Auxiliary tasks on the same embedding: the experts' sub-classes, each expert's vote, the shape descriptors."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from mitotype.core.arguments import argument
from mitotype.losses.objective import Batch, Outputs, Term, losses, mean_over_known


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

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        target_BK = batch.aux["descriptor"]
        loss_BK = functional.smooth_l1_loss(outputs.aux["descriptor"], target_BK.nan_to_num(0.0), reduction="none")
        return mean_over_known(loss_BK, target_BK)
