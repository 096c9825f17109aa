"""A bundle as one net of two classes, for programs that take the class by argmax.

Shapes: N patches, 2 classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mitotype.core.errors import UserError
from mitotype.deploy.export.bundle_net import BundleNet
from mitotype.deploy.predictor import Predictor
from mitotype.scores.calibrate import logit_of


class TwoClassNet(nn.Module):
    """`image_N3HW`, which `scale` brings to 0 … 255, → `logit_N2` in the order of CLASS_NAMES: 0 and z - logit(t).

    z is the calibrated logit and t the threshold of the bundle: argmax is its class, and softmax is 0.5 at its threshold.
    """

    weight_12: Tensor
    bias_2: Tensor

    def __init__(self, predictor: Predictor, *, scale: float) -> None:
        super().__init__()
        self.net, self.scale = BundleNet(predictor), scale
        if not self.net.is_complete:
            what = f"The bundle '{predictor.record.name}' has members that are no nets."
            raise UserError(what, fix="export a bundle of nets")
        margin = float(logit_of(predictor.decision.threshold.value))
        self.register_buffer("weight_12", torch.tensor([[0.0, 1.0]]))
        self.register_buffer("bias_2", torch.tensor([0.0, -margin]))

    def forward(self, image_N3HW: Tensor) -> Tensor:
        image_N3HW = image_N3HW if self.scale == 1 else image_N3HW * self.scale
        *_, calibrated_N, _ = self.net(image_N3HW)
        return calibrated_N.reshape(-1, 1) * self.weight_12 + self.bias_2
