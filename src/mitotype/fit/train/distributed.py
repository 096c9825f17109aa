"""One fit over several processes by Accelerate; a single process is one rank and does not use it."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mitotype.backbones.classifier import Classifier, Outputs
from mitotype.core.errors import UserError
from mitotype.fit.train.model import uses_batch_statistics
from mitotype.losses import Objective

POLL_S = 0.5


@dataclass(frozen=True)
class Ranks:
    """The rank `index` of `count` processes. `model` is what is called in training; a single process has no accelerator."""

    model: Any
    index: int = 0
    count: int = 1
    accelerator: Any = None

    def slices(self, batch: int, parts: int) -> Iterator[slice]:
        """Yield this rank's rows of a batch, part by part; all ranks and parts have equally many."""
        size = batch // (self.count * parts)
        for part in range(parts):
            start = (part * self.count + self.index) * size
            yield slice(start, start + size)

    def no_sync(self, more_parts: bool) -> AbstractContextManager[Any]:
        """Return a context without exchange of gradients, if more parts of the batch follow."""
        return self.accelerator.no_sync(self.model) if more_parts and self.accelerator else nullcontext()

    def mean(self, value: float) -> float:
        """Return the mean of a number over the ranks."""
        if self.accelerator is None:
            return value
        return float(self.accelerator.gather(torch.tensor([value], device=self.accelerator.device)).mean())

    def from_main(self, compute: Callable[[], float]) -> float:
        """Return a number that the main process computes and broadcasts."""
        if self.accelerator is None:
            return compute()
        result = compute() if self.index == 0 else 0.0
        value = torch.tensor([result], dtype=torch.float64, device=self.accelerator.device)
        torch.distributed.broadcast(value, 0)
        return float(value)

    @property
    def seed_purpose(self) -> tuple[int, ...]:
        """What distinguishes the seed of this rank's dropout; empty for the first, as in a single process."""
        return (self.index,) if self.index else ()


def world_size() -> int:
    """Return how many processes were launched together (by `accelerate launch` or torchrun)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Return whether this process writes files."""
    return int(os.environ.get("RANK", "0")) == 0


def local_device(device: str) -> str:
    """Return the device of this process: each of several has its own GPU, whatever number run.json has."""
    if world_size() == 1 or not device.startswith("cuda"):
        return device
    index = int(os.environ.get("LOCAL_RANK", "0"))
    torch.cuda.set_device(index)
    return f"cuda:{index}"


@contextmanager
def wrap(model: Classifier, objective: Objective, batch_sizes: Iterable[int], grad_accum_steps: int) -> Iterator[Ranks]:
    """Provide the ranks of a launch, with the model wrapped so that gradients are means over all of them."""
    for batch in batch_sizes:
        check_divisible(model, objective, batch, grad_accum_steps)
    if world_size() == 1:
        yield Ranks(model)
        return
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    accelerator = Accelerator(
        mixed_precision="no",  # the trainer autocasts
        cpu=next(model.parameters()).device.type == "cpu",
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=not objective.trains_logit)],
    )
    wrapped = accelerator.prepare(model if objective.trains_logit else _DetachedLogit(model))
    yield Ranks(wrapped, accelerator.process_index, accelerator.num_processes, accelerator)
    accelerator.wait_for_everyone()


def check_divisible(model: Classifier, objective: Objective, batch: int, grad_accum_steps: int) -> None:
    """Raise a UserError for what several ranks or parts would train differently from one process."""
    parts = world_size() * grad_accum_steps
    if batch % parts:
        what = f"batch={batch} is not divisible by {parts} ({world_size()} processes × grad_accum_steps={grad_accum_steps})."
        fix = f"choose batch as a multiple of {parts}, not larger than the training set, and drop_last=1"
        raise UserError(what, fix=fix)
    if batch // parts < 2 and not all(term.per_patch for term in objective.terms):
        what = f"With batch={batch} in {parts} parts a loss that compares patches would get one patch at a time."
        raise UserError(what, fix="choose a larger batch, fewer processes or fewer grad_accum_steps")
    if world_size() > 1 and uses_batch_statistics(model):
        what = "This net has BatchNorm, whose statistics several processes would compute over parts of a batch."
        raise UserError(what, fix="train it with one process, by LoRA, or use a backbone with LayerNorm")


class _DetachedLogit(nn.Module):
    """A classifier whose main head is not trained, so that DDP does not wait for its gradient."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, image_B3CC: Tensor) -> Outputs:
        outputs: Outputs = self.model(image_B3CC)
        return dataclasses.replace(outputs, logit_B=outputs.logit_B.detach())


def wait_for(path: Path, timeout_s: float = 3600.0) -> None:
    """Wait until the main process has written a file; there is no process group yet."""
    deadline = time.monotonic() + timeout_s
    while not path.is_file():
        if time.monotonic() > deadline:
            raise UserError(f"The first process has not written '{path}' in {timeout_s:g} s.", fix="see its output")
        time.sleep(POLL_S)


def barrier() -> None:
    """Wait for every process."""
    if world_size() > 1:
        torch.distributed.barrier()
