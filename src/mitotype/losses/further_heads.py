"""Further tasks on the same embedding: the experts' sub-classes, each expert's own vote, the shape descriptors."""

from torch import Tensor
from torch.nn import functional

from mitotype.losses.objective import Batch, Outputs, Term, losses, mean_over_known


@losses.add("sub_label")
class SubLabel(Term):
    """Cross-entropy of the eight sub-classes against the mean of the experts' one-hot choices: −Σ_k t_k·log softmax(s)_k."""

    per_patch = True
    mixup = "exact: the loss is linear in the target"
    says = "the experts' eight sub-classes (prometaphase … bridging) as a further task"
    head = "sub_label"
    outputs = 8

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        target_BK = batch.extra["sub_label"]
        return -(target_BK.nan_to_num(0.0) * functional.log_softmax(outputs.extra["sub_label"], 1)).sum(1)


@losses.add("expert")
class Expert(Term):
    """Mean cross-entropy over the experts' own votes; an expert who did not vote costs nothing."""

    per_patch = True
    mixup = "exact where both patches carry the vote; a missing vote in either makes the mixed one missing"
    says = "each expert's own vote as a further task"
    head = "expert"
    outputs = 3

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        target_BK = batch.extra["expert"]
        loss_BK = functional.binary_cross_entropy_with_logits(
            outputs.extra["expert"], target_BK.nan_to_num(0.5), reduction="none"
        )
        return mean_over_known(loss_BK, target_BK)


@losses.add("descriptor")
class Descriptor(Term):
    """Mean Huber loss over the standardised shape descriptors (unit: one standard deviation of the training patches)."""

    per_patch = True
    mixup = "approximate: a mixed picture has the mean of both descriptors only in expectation"
    says = "the shape descriptors of the chromatin as a further task"
    head = "descriptor"
    reads_labels = False

    def __init__(self, outputs: int = 24) -> None:
        self.outputs = int(outputs)  # type: ignore[misc]

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        target_BK = batch.extra["descriptor"]
        loss_BK = functional.smooth_l1_loss(outputs.extra["descriptor"], target_BK.nan_to_num(0.0), reduction="none")
        return mean_over_known(loss_BK, target_BK)
