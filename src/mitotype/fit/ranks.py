"""Ranks: one job over several devices or processes through Accelerate. One process is one rank and needs none of it."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mitotype.backbones.classifier import Classifier, Outputs
from mitotype.core.mistakes import Mistake
from mitotype.fit.crew import LOOK_EVERY_S
from mitotype.losses import Objective


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

    def from_first(self, reckon: Callable[[], float]) -> float:
        """A number that the first rank reckons and tells the others, so that all decide alike."""
        if self.accelerator is None:
            return reckon()
        told = torch.tensor([reckon() if self.writes else 0.0], dtype=torch.float64, device=self.accelerator.device)
        torch.distributed.broadcast(told, 0)
        return float(told)

    @property
    def words(self) -> tuple[int, ...]:
        """What the seed of this rank's dropout says beside that of a lone process."""
        return (self.index,) if self.index else ()


def count() -> int:
    """How many processes were launched together (by `accelerate launch` or torchrun)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined(model: Classifier, objective: Objective, batch: int, accumulate: int) -> Iterator[Ranks]:
    """The ranks of a launch, the model wrapped so that gradients are means over all of them."""
    check(model, objective, batch, accumulate)
    if count() == 1:
        yield Ranks(model)
        return
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    judged = any(term.head is None for term in objective.terms)
    accelerator = Accelerator(
        mixed_precision="no",  # the loop casts by itself
        cpu=next(model.parameters()).device.type == "cpu",
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=not judged)],
    )
    wrapped = accelerator.prepare(model if judged else _Unjudged(model))
    yield Ranks(wrapped, accelerator.process_index, accelerator.num_processes, accelerator)
    accelerator.wait_for_everyone()


def check(model: nn.Module, objective: Objective, batch: int, accumulate: int) -> None:
    """Raise a Mistake for what does not come to the same over the ranks as in one process."""
    parts = count() * accumulate
    if batch % parts:
        what = f"A batch of {batch} does not fall into {parts} equal parts ({count()} processes × accumulate)."
        raise Mistake(what, fix=f"choose batch as a multiple of {parts}, not larger than the training set")
    if batch // parts < 2 and not all(term.per_patch for term in objective.terms):
        what = f"With {parts} parts of a batch of {batch} a term that compares patches sees one of them at a time."
        raise Mistake(what, fix="choose a larger batch, fewer processes or a smaller accumulate")
    if count() > 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
        what = "This net takes statistics over a batch, which several processes would each take over a part of it."
        raise Mistake(what, fix="train it with one process, or use a backbone with LayerNorm")


class _Unjudged(nn.Module):
    """A classifier whose main head learns nothing: its logit leads to no loss, and the ranks must not wait for its gradient."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, image_B3CC: Tensor) -> Outputs:
        outputs: Outputs = self.model(image_B3CC)
        return dataclasses.replace(outputs, logit_B=outputs.logit_B.detach())


def device(wanted: str) -> str:
    """The device of this process: of several on GPUs each has its own, whatever number the run names."""
    if count() == 1 or not wanted.startswith("cuda"):
        return wanted
    own = int(os.environ.get("LOCAL_RANK", "0"))
    torch.cuda.set_device(own)
    return f"cuda:{own}"


def writes() -> bool:
    """Whether this process keeps the files."""
    return int(os.environ.get("RANK", "0")) == 0


def wait_for(path: Path, timeout_s: float = 3600.0) -> None:
    """Go on when the first process has written a file; there is no group of processes yet that could say so."""
    deadline = time.monotonic() + timeout_s
    while not path.is_file():
        if time.monotonic() > deadline:
            raise Mistake(f"The first process has not written '{path}' in {timeout_s:g} s.", fix="see what it says")
        time.sleep(LOOK_EVERY_S)


def wait() -> None:
    """Go on when every process has come here."""
    if count() > 1:
        torch.distributed.barrier()
