"""A member as a net of timm with two classes: 0, and its calibrated logit less that of the threshold."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import timm
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from mitotype.backbones import backbones
from mitotype.backbones.adaptations.lora_qv import QueryValueLora
from mitotype.backbones.classifier import Classifier
from mitotype.backbones.heads import LinearHead
from mitotype.backbones.pooled_trunk import PooledTrunk
from mitotype.backbones.transformer_trunk import LAYERS, TransformerTrunk
from mitotype.core.errors import UserError
from mitotype.deploy.export.bundle_net import frame_side_px
from mitotype.deploy.predictor import Predictor
from mitotype.deploy.torch_runtime import TorchRuntime
from mitotype.scores.calibrate import logit_of
from mitotype.transforms import tta_views

GLOBAL_POOL = {"cls": "token", "mean": "avg"}  # by the name of our pooling; timm does not concatenate both


@dataclass(frozen=True)
class TimmNet:
    """A net of timm, the arguments that `timm.create_model` builds it with, and what it is made of.

    `side_px` is the side of the image before it is resized, `n_views` the number of views that the bundle scores.
    """

    net: Any
    model_args: dict[str, Any]
    classifier: Classifier
    side_px: int
    n_views: int


def timm_net(predictor: Predictor) -> TimmNet:
    """Return the one member of a bundle as a net of timm. Raises a UserError where timm has no such net."""
    name, nets = predictor.record.name, predictor.nets
    if not isinstance(nets, TorchRuntime) or predictor.descriptors or len(nets.members) > 1:
        what = f"The bundle '{name}' has {len(predictor.members)} members; timm's format is one net."
        raise UserError(what, allowed="a bundle with one net", fix="use --to onnx")
    classifier = nets.ensembles[0].classifier
    architecture, spec = classifier.architecture, classifier.spec
    trunk = copy.deepcopy(classifier.trunk)
    head = classifier.head
    if not isinstance(head, LinearHead):
        what = f"The head of '{name}' is no linear layer; timm's classifier is one."
        raise UserError(what, allowed="the adaptations full, lora, prompts, head and probe", fix="use --to onnx")
    if not isinstance(trunk, PooledTrunk | TransformerTrunk):
        raise _no_net_of_timm(architecture.backbone)
    model_args = {**spec.arch_kwargs, **architecture.model_kwargs}
    pool: dict[str, Any] = {}
    if isinstance(trunk, TransformerTrunk):
        if (
            architecture.pooling not in GLOBAL_POOL
            or trunk.prompts is not None
            or set(model_args.values()) & set(LAYERS)
        ):
            raise _no_net_of_timm(architecture.backbone)
        pool = {"global_pool": GLOBAL_POOL[architecture.pooling]}
        model_args |= {**pool, "fc_norm": False}
    if isinstance(trunk, TransformerTrunk) or "img_size" in model_args:
        model_args["img_size"] = classifier.size_px
    net = _merged(trunk.net)
    net.reset_classifier(2, **pool)
    _set_classifier(net, head, predictor)
    n_views = len(tta_views(nets.tta[0]))
    net = net.eval().to(memory_format=torch.contiguous_format)  # safetensors stores no other
    return TimmNet(net, model_args, classifier, frame_side_px(nets.ensembles[0]), n_views)


def _no_net_of_timm(backbone: str) -> UserError:
    named = [name for name in backbones if _is_buildable(name)]
    return UserError(
        f"timm has no net like the '{backbone}' of this bundle.",
        allowed=f"one of {', '.join(named)}, or any timm/…; pooled by cls or mean, without prompts",
        fix="use --to onnx",
    )


def _is_buildable(backbone: str) -> bool:
    spec = backbones.get(backbone).spec
    return timm.is_model(spec.arch) and not {str(value) for value in spec.arch_kwargs.values()} & set(LAYERS)


def _merged(net: nn.Module) -> Any:
    """Return the net with the updates of LoRA in its weights."""
    for name, module in list(net.named_modules()):
        parent_name, _, child = name.rpartition(".")
        if isinstance(module, BaseTunerLayer):
            module.merge()
            setattr(net.get_submodule(parent_name), child, module.get_base_layer())
        elif isinstance(module, QueryValueLora):
            setattr(net.get_submodule(parent_name), child, module.merged())
    return net


def _set_classifier(net: Any, head: LinearHead, predictor: Predictor) -> None:
    """Set the weights of the two classes: the head, then combiner, calibration and threshold, which are linear for one member."""
    combiner, decision = predictor.combiner, predictor.decision
    [weight] = combiner.weights.values() if combiner.kind == "weighted" else (1.0,)
    slope = decision.calibration.slope
    offset = slope * combiner.intercept + decision.calibration.intercept
    margin = float(logit_of(decision.threshold.value))
    with torch.no_grad():
        linear = net.get_classifier()
        linear.weight.copy_(torch.cat([torch.zeros_like(head.weight), slope * weight * head.weight]))
        linear.bias.copy_(torch.cat([torch.zeros_like(head.bias), slope * weight * head.bias + offset - margin]))
