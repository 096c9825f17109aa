"""Checkpoint: where a member stands after an epoch, in one safetensors file that is whole or absent."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mitotype.backbones import adapters
from mitotype.backbones.classifier import Classifier
from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.fit.average import Average

NAME = "checkpoint.safetensors"
EVERY_S = 20.0  # what a kill costs at most, beside the epoch under way


@dataclass
class State:
    """Everything that training goes on from: what is trained, its average, the optimisers' moments, the held-out scores
    of the epochs that are done, and the weights of the best of them (empty where nobody looks)."""

    model: Classifier
    average: Average
    optimisers: list[torch.optim.Optimizer]
    epochs: int = 0
    held_out: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


class Keeper:
    """Writes a checkpoint after an epoch when the last one is EVERY_S seconds old."""

    def __init__(self, folder: Path, every_s: float = EVERY_S) -> None:
        self.folder, self.every_s, self.last_s = folder, every_s, time.monotonic()

    def epoch_done(self, state: State) -> None:
        if time.monotonic() - self.last_s >= self.every_s:
            write(self.folder, state)
            self.last_s = time.monotonic()


def write(folder: Path, state: State) -> None:
    kept: dict[str, Tensor] = {f"model.{k}": v for k, v in adapters.trained(state.model)}
    kept |= {f"average.{k}": v for k, v in state.average.kept.items()}
    kept |= {f"best.{k}": v for k, v in state.best.items()}
    for place, optimiser in enumerate(state.optimisers):
        for number, moments in optimiser.state_dict()["state"].items():
            kept |= {f"optimiser{place}.{number}.{k}": v for k, v in moments.items()}
    told = {"epochs": state.epochs, "updates": state.average.updates, "held_out": state.held_out}
    with files.atomic(folder / NAME) as part:
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in kept.items()}, part, {"told": json.dumps(told)})


def load(folder: Path, state: State) -> None:
    """Take up the checkpoint of `folder`, if there is one."""
    path = folder / NAME
    if not path.is_file():
        return
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads(file.metadata()["told"])
            kept = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safetensors' handle is no dict)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise Mistake(
            f"The checkpoint '{path}' is damaged: {error}.", fix=f"delete it: the member '{folder.name}' starts again"
        ) from error
    state.model.load_state_dict(_under(kept, "model."), strict=False)
    state.average.take(_under(kept, "average."))
    state.average.updates = told["updates"]
    state.epochs, state.held_out, state.best = told["epochs"], told["held_out"], _under(kept, "best.")
    for place, optimiser in enumerate(state.optimisers):
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(kept, f"optimiser{place}.").items():
            number, name = key.split(".", 1)
            moments.setdefault(int(number), {})[name] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
        _lay_out(optimiser)


def _lay_out(optimiser: torch.optim.Optimizer) -> None:
    """Moments in the memory layout of their weights, as they were made: sums over another layout round otherwise."""
    for weight, moments in optimiser.state.items():
        for name, value in moments.items():
            if value.shape == weight.shape:
                moments[name] = torch.zeros_like(weight, dtype=value.dtype).copy_(value)


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
