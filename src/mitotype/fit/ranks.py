"""Ranks: one job over several devices or processes through Accelerate. One process is one rank and needs none of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from mitotype.backbones.classifier import Classifier
from mitotype.core.mistakes import Mistake


@dataclass(frozen=True)
class Ranks:
    """This process's place among `count`: `model` is what is called in training, `accelerator` None when it is alone."""

    model: Any
    index: int = 0
    count: int = 1
    accelerator: Any = None

    @property
    def writes(self) -> bool:
        """The first rank keeps the files."""
        return self.index == 0

    def slices(self, batch: int, parts: int) -> Iterator[slice]:
        """This rank's rows of a batch, part by part; all ranks and parts have equally many."""
        size = batch // (self.count * parts)
        for part in range(parts):
            start = (part * self.count + self.index) * size
            yield slice(start, start + size)

    def quiet(self, on: bool) -> AbstractContextManager[Any]:
        """No exchange of gradients inside, where more parts of the batch follow."""
        return self.accelerator.no_sync(self.model) if on and self.accelerator else nullcontext()

    def mean(self, value: float) -> float:
        """The mean of a number over the ranks."""
        if self.accelerator is None:
            return value
        mine = torch.tensor([value], device=self.accelerator.device)
        return float(self.accelerator.gather(mine).mean())


def count() -> int:
    """How many processes were launched together (by `accelerate launch` or torchrun)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined(model: Classifier, batch: int) -> Iterator[Ranks]:
    """The ranks of a launch, the model wrapped so that gradients are means over all of them."""
    if count() == 1:
        yield Ranks(model)
        return
    if batch % count():
        what = f"A batch of {batch} does not fall into {count()} equal parts, one for each process."
        raise Mistake(what, fix="choose batch as a multiple of the number of processes")
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=next(model.parameters()).device.type == "cpu")
    yield Ranks(accelerator.prepare(model), accelerator.process_index, accelerator.num_processes, accelerator)
    accelerator.wait_for_everyone()


def writes() -> bool:
    """Whether this process keeps the files."""
    return int(os.environ.get("RANK", "0")) == 0


def wait() -> None:
    """Go on when every process has come here."""
    if count() > 1:
        torch.distributed.barrier()
