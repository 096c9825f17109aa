"""Checkpoint: where a member stands after an epoch, in one safetensors file that is whole or absent."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mitotype.backbones.classifier import Classifier
from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.fit.average import Average

NAME = "checkpoint.safetensors"
EVERY_S = 20.0  # what a kill costs at most, beside the epoch under way


class Keeper:
    """Writes a checkpoint after an epoch when the last one is EVERY_S seconds old."""

    def __init__(self, folder: Path, every_s: float = EVERY_S) -> None:
        self.folder, self.every_s, self.last_s = folder, every_s, time.monotonic()

    def epoch_done(
        self, epochs: int, model: Classifier, average: Average, optimisers: list[torch.optim.Optimizer]
    ) -> None:
        if time.monotonic() - self.last_s >= self.every_s:
            write(self.folder, epochs, model, average, optimisers)
            self.last_s = time.monotonic()


def write(
    folder: Path, epochs: int, model: Classifier, average: Average, optimisers: list[torch.optim.Optimizer]
) -> None:
    """Keep weights, average and the optimisers' moments; `epochs` are done."""
    state: dict[str, Tensor] = {f"model.{k}": v for k, v in model.state_dict().items()}
    state |= {f"average.{k}": v for k, v in average.model().state_dict().items()}
    for place, optimiser in enumerate(optimisers):
        for number, moments in optimiser.state_dict()["state"].items():
            state |= {f"optimiser{place}.{number}.{k}": v for k, v in moments.items()}
    with files.atomic(folder / NAME) as part:
        save_file(
            {k: v.detach().cpu().contiguous().clone() for k, v in state.items()},
            part,
            {"epochs": str(epochs), "updates": str(average.updates)},
        )


def load(folder: Path, model: Classifier, average: Average, optimisers: list[torch.optim.Optimizer]) -> int:
    """Take up the checkpoint of `folder`, if there is one, and return the number of epochs done (0 without)."""
    path = folder / NAME
    if not path.is_file():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata()
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safetensors' handle is no dict)
    except SafetensorError as error:
        raise Mistake(
            f"The checkpoint '{path}' is damaged: {error}.", fix=f"delete it: the member '{folder.name}' starts again"
        ) from error
    model.load_state_dict(_under(state, "model."))
    average.model().load_state_dict(_under(state, "average."))
    average.updates = int(told["updates"])
    for place, optimiser in enumerate(optimisers):
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(state, f"optimiser{place}.").items():
            number, name = key.split(".", 1)
            moments.setdefault(int(number), {})[name] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    return int(told["epochs"])


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
