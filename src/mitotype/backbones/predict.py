"""Predict: pictures → raw logits of one classifier, one per test view. Views and frame come as plain functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np

    from mitotype.backbones.classifier import Classifier

Picture = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Prediction:
    """`logit` maps a view's name to `logit_N`; `embedding_ND` is that of the first view."""

    logit: dict[str, np.ndarray]
    embedding_ND: np.ndarray


def precision(device: str, wanted: str = "auto") -> torch.dtype | None:
    """The dtype of automatic mixed precision, None for plain float32.

    "auto" is bf16 on a GPU and float32 on a CPU, so that a card's numbers are met on every CPU.
    """
    if wanted == "bf16" or (wanted == "auto" and device.startswith("cuda")):
        return torch.bfloat16
    return None


def mixed(device: str, dtype: torch.dtype | None) -> torch.autocast | nullcontext[None]:
    return torch.autocast(device.split(":")[0], dtype) if dtype is not None else nullcontext()


@torch.inference_mode()
def predict(
    classifier: Classifier,
    image_N3HW: np.ndarray,
    frame: Picture,
    views: Sequence[tuple[str, Picture]],
    *,
    batch: int = 64,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    done: Callable[[int], None] = lambda n: None,
) -> Prediction:
    """Score N pictures under every view in evaluation mode. `done` is told how many patches each step finished."""
    classifier.eval()
    logits: dict[str, list[Tensor]] = {name: [] for name, _ in views}
    embeddings: list[Tensor] = []
    for image_B3HW in _batches(image_N3HW, batch):
        image_B3CC = frame(image_B3HW.to(device))
        for number, (name, view) in enumerate(views):
            with mixed(device, dtype):
                outputs = classifier(view(image_B3CC))
            logits[name].append(outputs.logit_B.float().cpu())
            if number == 0:
                embeddings.append(outputs.embedding_BD.float().cpu())
        done(len(image_B3HW))
    return Prediction({name: torch.cat(rows).numpy() for name, rows in logits.items()}, torch.cat(embeddings).numpy())


def _batches(image_N3HW: np.ndarray, batch: int) -> Iterator[Tensor]:
    import numpy as np

    for start in range(0, len(image_N3HW), batch):
        yield torch.from_numpy(np.array(image_N3HW[start : start + batch]))
