"""The nets of a bundle as one module: uint8 images in, logits, embeddings and the probability of the bundle out.

Shapes: N patches, M members, V views, D width of an embedding.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mitotype.backbones.classifier import Classifier
from mitotype.backbones.shared_base import SharedBaseEnsemble
from mitotype.core.errors import UserError
from mitotype.deploy.predictor import Predictor
from mitotype.deploy.torch_runtime import TorchRuntime
from mitotype.scores.ensemble import Combiner, source_of
from mitotype.transforms import Frame, tta_views
from mitotype.transforms.geometry import crop_start
from mitotype.transforms.transform import CropOp


class BundleNet(nn.Module):
    """`image_N3HW` uint8 → `logit_NV` and `embedding_ND` of each member, then calibrated logit and probability, both `(N,)`.

    These two are absent where the bundle has members that are no nets. The frame of every member is a crop.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        if not isinstance(predictor.nets, TorchRuntime):
            raise UserError(
                f"The bundle '{predictor.record.name}' has no nets to export.", fix="export a bundle of nets"
            )
        ensembles = predictor.nets.ensembles
        self.views = {member: tta_views(predictor.record.tta_of(member)) for member in predictor.nets.members}
        self.crops_px = [frame_side_px(ensemble) for ensemble in ensembles for _ in ensemble.names]
        self.classifiers = nn.ModuleList(net for ensemble in ensembles for net in _separate(ensemble)).eval()
        self.combiner, self.calibration = predictor.combiner, predictor.decision.calibration
        self.is_complete = predictor.descriptors is None

    def forward(self, image_N3HW: Tensor) -> tuple[Tensor, ...]:
        outputs: list[Tensor] = []
        members = zip(self.classifiers, self.crops_px, self.views.values(), strict=True)
        for classifier, crop_px, views in members:
            image_N3CC = _center_crop(image_N3HW, crop_px).float() / 255
            seen = [classifier(view(image_N3CC)) for _, view in views]
            outputs += [torch.stack([output.logit_B for output in seen], 1), seen[0].embedding_BD]
        if not self.is_complete:
            return tuple(outputs)
        calibrated_N = self.calibration.slope * self._combined(outputs[::2]) + self.calibration.intercept
        return *outputs, calibrated_N, torch.sigmoid(calibrated_N)

    def _combined(self, logits_NV: list[Tensor]) -> Tensor:
        """Return `logit_N` as `Combiner.combine_views` does."""
        combiner, is_probability = self.combiner, self.combiner.kind == "mean_probability"
        by_member = {}
        for (member, views), logit_NV in zip(self.views.items(), logits_NV, strict=True):
            if member in combiner.members or not combiner.members:
                columns = [i for i, (name, _) in enumerate(views) if name in combiner.views or not combiner.views]
                value_NV = torch.stack([logit_NV[:, i] for i in columns], 1)
                by_member[member] = mean_probability(value_NV) if is_probability else value_NV.mean(1)
        if combiner.kind == "weighted":
            return _weighted(combiner, by_member)
        logit_NM = torch.stack(list(by_member.values()), 1)
        return mean_probability(logit_NM) if is_probability else logit_NM.mean(1)


def mean_probability(logit_NK: Tensor) -> Tensor:
    """Return the logit of the mean of σ(logit) over K, which float32 holds also where the mean rounds to 1."""
    log_p_N, log_q_N = (torch.logsumexp(nn.functional.logsigmoid(z), 1) for z in (logit_NK, -logit_NK))
    return log_p_N - log_q_N


def _center_crop(image_N3HW: Tensor, crop_px: int) -> Tensor:
    """Return what `geometry.center_crop` does, with a side that is known when the graph is made."""
    for axis in (2, 3):
        image_N3HW = image_N3HW.narrow(axis, crop_start(image_N3HW.shape[axis], crop_px), crop_px)
    return image_N3HW


def _weighted(combiner: Combiner, by_member: dict[str, Tensor]) -> Tensor:
    total_N = torch.full_like(next(iter(by_member.values())), combiner.intercept)
    for source, weight in combiner.weights.items():
        of_source = [logit_N for member, logit_N in by_member.items() if source_of(member) == source]
        total_N = total_N + weight * torch.stack(of_source).mean(0)
    return total_N


def frame_side_px(ensemble: SharedBaseEnsemble) -> int:
    """Return the side of the frame of an ensemble. Raises a UserError for a frame other than a crop."""
    steps = Frame(ensemble.frame).steps
    if len(steps) != 1 or not isinstance(steps[0].op, CropOp):
        what = f"The frame '{ensemble.frame}' of the members {', '.join(ensemble.names)} has no graph."
        raise UserError(what, allowed="crop(…) alone", fix="use the bundle on torch")
    return steps[0].op.px


def _separate(ensemble: SharedBaseEnsemble) -> Iterator[Classifier]:
    """Yield the members of an ensemble as nets of their own; equal tensors are stored once when the graph is written."""
    for state in ensemble.states:
        ensemble.swap_in(state)
        yield copy.deepcopy(ensemble.classifier) if len(ensemble.states) > 1 else ensemble.classifier
