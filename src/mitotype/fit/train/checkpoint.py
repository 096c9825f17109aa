"""Checkpoint: the state of training after an epoch, in one safetensors file that is complete or absent.

The names in the file are those of version 0.1.0 ("average", "optimiser", "told"), so that its runs can be resumed.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

from mitotype.backbones.adaptations import trained_tensors
from mitotype.backbones.classifier import Classifier
from mitotype.core import files
from mitotype.core.errors import UserError
from mitotype.fit.train.ema import EMA

NAME = "checkpoint.safetensors"
INTERVAL_S = 20.0  # a kill loses at most this time and the current epoch


@dataclass
class TrainState:
    """Everything that training resumes from: model, EMA, optimizers, loss scaler, the validation scores of the finished
    epochs, the weights of the best of them (empty without early stopping), and the difficulties of the training patches."""

    model: Classifier
    ema: EMA
    optimizers: list[Optimizer]
    scaler: GradScaler
    epochs_done: int = 0
    val_scores: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    difficulties: list[np.ndarray] = field(default_factory=list)

    @property
    def last_difficulty(self) -> np.ndarray | None:
        """The difficulty of every training patch after the last epoch, None before it was measured."""
        return self.difficulties[-1].astype(np.float64) if self.difficulties else None


class CheckpointWriter:
    """Writes a checkpoint after an epoch if the last one is `interval_s` old."""

    def __init__(self, folder: Path, interval_s: float = INTERVAL_S) -> None:
        self.folder, self.interval_s, self.last_s = folder, interval_s, time.monotonic()

    def maybe_save(self, state: TrainState) -> None:
        if time.monotonic() - self.last_s >= self.interval_s:
            save(self.folder, state)
            self.last_s = time.monotonic()


def save(folder: Path, state: TrainState) -> None:
    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in trained_tensors(state.model)}
    tensors |= {f"average.{k}": v for k, v in state.ema.shadow.items()}
    tensors |= {f"best.{k}": v for k, v in state.best.items()}
    if state.difficulties:
        tensors["difficulties"] = torch.from_numpy(np.stack(state.difficulties))
    for i, optimizer in enumerate(state.optimizers):
        for parameter, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimiser{i}.{parameter}.{k}": v for k, v in moments.items()}
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    metadata: dict[str, Any] = {"epochs": state.epochs_done, "updates": state.ema.updates, "held_out": state.val_scores}
    metadata |= {"scaler": state.scaler.state_dict()} if state.scaler.is_enabled() else {}
    with files.atomic(folder / NAME) as part:
        save_file(tensors, part, {"told": json.dumps(metadata)})


def load(folder: Path, state: TrainState) -> None:
    """Set `state` to the checkpoint of `folder`, if there is one. Raises a UserError for a damaged file."""
    path = folder / NAME
    if not path.is_file():
        return
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads(file.metadata()["told"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safetensors' handle is no dict)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        fix = f"delete it: the member '{folder.name}' starts again"
        raise UserError(f"The checkpoint '{path}' is damaged: {error}.", fix=fix) from error
    state.model.load_state_dict(_below(tensors, "model."), strict=False)
    state.ema.load(_below(tensors, "average."))
    state.ema.updates = metadata["updates"]
    state.epochs_done, state.val_scores, state.best = metadata["epochs"], metadata["held_out"], _below(tensors, "best.")
    state.difficulties = list(tensors["difficulties"].numpy()) if "difficulties" in tensors else []
    if "scaler" in metadata:
        state.scaler.load_state_dict(metadata["scaler"])
    for i, optimizer in enumerate(state.optimizers):
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, f"optimiser{i}.").items():
            parameter, name = key.split(".", 1)
            moments.setdefault(int(parameter), {})[name] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
        _restore_layout(optimizer)


def _restore_layout(optimizer: Optimizer) -> None:
    """Give moments the memory layout of their weights, as when they were created: sums over another layout round otherwise."""
    for weight, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == weight.shape:
                moments[name] = torch.zeros_like(weight, dtype=value.dtype).copy_(value)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
