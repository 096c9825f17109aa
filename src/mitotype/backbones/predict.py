"""Inference: images → raw logits of one or several members, one per test-time view."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mitotype.backbones.classifier import Classifier, Outputs
from mitotype.backbones.shared_base import SharedBaseEnsemble

ImageTransform = Callable[[Tensor], Tensor]
Views = Sequence[tuple[str, ImageTransform]]


@dataclass(frozen=True)
class Prediction:
    """`logit` maps a view's name to `logit_N`; `embedding_ND` is that of the first view."""

    logit: dict[str, np.ndarray]
    embedding_ND: np.ndarray


@dataclass(frozen=True)
class InferenceConfig:
    """Batch size, device, dtype of mixed precision (None: float32), and a callback for the number of finished patches."""

    batch_size: int = 64
    device: str = "cpu"
    dtype: torch.dtype | None = None
    on_progress: Callable[[int], None] = lambda n: None


def amp_dtype(device: str, precision: str = "auto") -> torch.dtype | None:
    """Return the dtype of mixed precision for scoring: on a GPU bf16, or what `precision` names; None (float32) on a CPU.

    A CPU scores in float32 so that every CPU reproduces the numbers of a model card.
    """
    if not device.startswith("cuda") or precision == "fp32":
        return None
    return torch.float16 if precision == "fp16" else torch.bfloat16


def autocast(device: str, dtype: torch.dtype | None) -> torch.autocast | nullcontext[None]:
    """Return a context of mixed precision. Its weight cache is off, because members' weights are swapped in place."""
    return torch.autocast(device.split(":")[0], dtype, cache_enabled=False) if dtype is not None else nullcontext()


def predict(
    classifier: Classifier,
    image_N3HW: np.ndarray,
    frame: ImageTransform,
    views: Views,
    config: InferenceConfig = InferenceConfig(),
) -> Prediction:
    """Score N images under every view, in evaluation mode."""
    classifier.eval()
    return _predict(lambda image_B3CC: [classifier(image_B3CC)], image_N3HW, frame, views, config)[0]


def predict_ensemble(
    ensemble: SharedBaseEnsemble,
    image_N3HW: np.ndarray,
    frame: ImageTransform,
    views: Views,
    config: InferenceConfig = InferenceConfig(),
) -> list[Prediction]:
    """Score N images with every member of an ensemble, in the order of its names; shared layers run once."""
    ensemble.classifier.eval()
    return _predict(ensemble.forward, image_N3HW, frame, views, config)


@torch.inference_mode()
def _predict(
    forward: Callable[[Tensor], Iterable[Outputs]],
    image_N3HW: np.ndarray,
    frame: ImageTransform,
    views: Views,
    config: InferenceConfig,
) -> list[Prediction]:
    logits: dict[tuple[int, str], list[Tensor]] = {}
    embeddings: dict[int, list[Tensor]] = {}
    for image_B3HW in _batches(image_N3HW, config.batch_size):
        image_B3CC = frame(image_B3HW.to(config.device))
        for i, (name, view) in enumerate(views):
            with autocast(config.device, config.dtype):
                for member, outputs in enumerate(forward(view(image_B3CC))):
                    logits.setdefault((member, name), []).append(outputs.logit_B.float().cpu())
                    if i == 0:
                        embeddings.setdefault(member, []).append(outputs.embedding_BD.float().cpu())
        config.on_progress(len(image_B3HW))
    return [
        Prediction({name: torch.cat(logits[member, name]).numpy() for name, _ in views}, torch.cat(rows).numpy())
        for member, rows in embeddings.items()
    ]


def _batches(image_N3HW: np.ndarray, batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(image_N3HW), batch_size):
        yield torch.from_numpy(np.array(image_N3HW[start : start + batch_size]))
