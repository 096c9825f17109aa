"""Predict: pictures → raw logits of the members of a team, one per test view. Views and frame come as plain functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from mitotype.backbones.classifier import Classifier, Outputs
    from mitotype.backbones.team import Team

Picture = Callable[[Tensor], Tensor]
Done = Callable[[int], None]


@dataclass(frozen=True)
class Prediction:
    """`logit` maps a view's name to `logit_N`; `embedding_ND` is that of the first view."""

    logit: dict[str, np.ndarray]
    embedding_ND: np.ndarray


@dataclass(frozen=True)
class Way:
    """How pictures are shown to a net: batch size, device, dtype of mixed precision, who is told of finished patches."""

    batch: int = 64
    device: str = "cpu"
    dtype: torch.dtype | None = None
    done: Done = lambda n: None


def precision(device: str, wanted: str = "auto") -> torch.dtype | None:
    """The dtype of automatic mixed precision when pictures are scored, None for plain float32.

    It is bf16 on a GPU unless the recipe `wanted` "fp32", and float32 on a CPU, so that a card's numbers are met on every CPU.
    """
    return torch.bfloat16 if device.startswith("cuda") and wanted != "fp32" else None


def mixed(device: str, dtype: torch.dtype | None) -> torch.autocast | nullcontext[None]:
    """Mixed precision on a device; weights are cast anew each time, since the members of a team change places under it."""
    return torch.autocast(device.split(":")[0], dtype, cache_enabled=False) if dtype is not None else nullcontext()


def predict(
    classifier: Classifier,
    image_N3HW: np.ndarray,
    frame: Picture,
    views: Sequence[tuple[str, Picture]],
    way: Way = Way(),
) -> Prediction:
    """Score N pictures under every view in evaluation mode."""
    classifier.eval()
    return _predict(lambda image_B3CC: [classifier(image_B3CC)], image_N3HW, frame, views, way)[0]


def predict_team(
    team: Team, image_N3HW: np.ndarray, frame: Picture, views: Sequence[tuple[str, Picture]], way: Way = Way()
) -> list[Prediction]:
    """The predictions of every member of a team, in the order of its names; what they share is reckoned once."""
    team.classifier.eval()
    return _predict(team.judge, image_N3HW, frame, views, way)


@torch.inference_mode()
def _predict(
    judge: Callable[[Tensor], Iterable[Outputs]],
    image_N3HW: np.ndarray,
    frame: Picture,
    views: Sequence[tuple[str, Picture]],
    way: Way,
) -> list[Prediction]:
    logits: dict[tuple[int, str], list[Tensor]] = {}
    embeddings: dict[int, list[Tensor]] = {}
    for image_B3HW in _batches(image_N3HW, way.batch):
        image_B3CC = frame(image_B3HW.to(way.device))
        for number, (name, view) in enumerate(views):
            with mixed(way.device, way.dtype):
                for member, outputs in enumerate(judge(view(image_B3CC))):
                    logits.setdefault((member, name), []).append(outputs.logit_B.float().cpu())
                    if number == 0:
                        embeddings.setdefault(member, []).append(outputs.embedding_BD.float().cpu())
        way.done(len(image_B3HW))
    return [
        Prediction({name: torch.cat(logits[member, name]).numpy() for name, _ in views}, torch.cat(rows).numpy())
        for member, rows in embeddings.items()
    ]


def _batches(image_N3HW: np.ndarray, batch: int) -> Iterator[Tensor]:
    import numpy as np

    for start in range(0, len(image_N3HW), batch):
        yield torch.from_numpy(np.array(image_N3HW[start : start + batch]))
