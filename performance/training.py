"""Training, patches per second: the loop of a recipe against the bare net's forward and backward.

    python performance/training.py [RECIPE] [--threads 1] [--json FILE]

The trainer samples, augments, mixes, steps the optimizers and averages the weights; the bare net runs on one fixed batch again
and again, in the same precision. Epochs of both are interleaved, and the median of each is taken.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from machine import machine
from mitotype.backbones.classifier import build, parameters_m
from mitotype.backbones.predict import autocast
from mitotype.core import records, seeds
from mitotype.fit import recipe as recipes
from mitotype.fit.environment import has_amx
from mitotype.fit.recipe import Recipe
from mitotype.fit.targets import SUB_LABELS
from mitotype.fit.train import trainer
from mitotype.fit.train.inputs import TrainContext, TrainData
from mitotype.fit.train.model import architecture
from mitotype.losses import Objective
from mitotype.recipes import recipes as registry

STEPS = 12


def random_data(recipe: Recipe, count: int) -> TrainData:
    """Return random images of 128 px with every target known."""
    rng = np.random.default_rng(0)
    heads = {
        name: rng.random((count, outputs), np.float32) for name, outputs in Objective(recipe.objective).aux_heads()
    }
    assert heads.get("sub_label", np.empty((0, len(SUB_LABELS)))).shape[1] == len(SUB_LABELS)
    image_N3HW = rng.integers(0, 256, (count, 3, 128, 128), dtype=np.uint8)
    label_N = np.arange(count) % 4 == 0
    return TrainData(image_N3HW, label_N.astype(np.int64), label_N.astype(np.float32), heads)


def trainer_seconds(recipe: Recipe, data: TrainData, dtype: torch.dtype | None, epochs: int) -> list[float]:
    """Seconds per step in every epoch but the first."""
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        context = TrainContext(Path(folder), amp_dtype=dtype, on_log=lambda line: times.append(time.perf_counter()))
        trainer.train(recipes.with_settings(recipe, [f"epochs={epochs}"]), "benchmark", data, context)
    return [(late - early) / STEPS for early, late in itertools.pairwise(times)]


def bare_seconds(recipe: Recipe, dtype: torch.dtype | None, repeats: int) -> list[float]:
    """Seconds per forward and backward of the net alone, main logit only summed."""
    model = build(architecture(recipe, Objective(recipe.objective)), seed=0).train()
    px = trainer.Augment(recipe.augment).output_px(128)
    image = torch.rand(recipe.batch, 3, px, px, generator=seeds.torch_generator(0)).contiguous(
        memory_format=torch.channels_last
    )
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        for _step in range(STEPS):
            with autocast("cpu", dtype):
                outputs = model(image)
            (outputs.logit_B.mean() + sum(aux.mean() for aux in outputs.aux.values())).backward()
            model.zero_grad(set_to_none=True)
        times.append((time.perf_counter() - start) / STEPS)
    return times[1:]


def measure(recipe: Recipe, rounds: int) -> dict[str, Any]:
    dtype = torch.bfloat16 if has_amx() else None
    data = random_data(recipe, STEPS * recipe.batch)
    ours, bare = [], []
    for _ in range(rounds):
        ours += trainer_seconds(recipe, data, dtype, 3)
        bare += bare_seconds(recipe, dtype, 2)
    loop_s, bare_s = statistics.median(ours), statistics.median(bare)
    net = build(architecture(recipe, Objective(recipe.objective)), seed=0)
    return {
        "recipe": recipe.name, "net": recipe.backbone, "parameters_m": parameters_m(net), "batch": recipe.batch,
        "precision": "bf16" if dtype else "fp32", "loop_patches_per_s": recipe.batch / loop_s,
        "bare_patches_per_s": recipe.batch / bare_s, "ratio": bare_s / loop_s,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", nargs="?", default="default")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; a member is trained on one")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    row = measure(registry.get(args.recipe)(), args.rounds)
    cpu = machine()
    print(
        f"{row['net']} ({row['parameters_m']:.2f} M), batch {row['batch']}, {row['precision']}, {cpu['cpu']}, {cpu['threads']} threads\n"
    )
    print(f"{'loop':>18}{'bare net':>18}{'ratio':>9}")
    print(f"{row['loop_patches_per_s']:>10.0f} patch/s{row['bare_patches_per_s']:>10.0f} patch/s{row['ratio']:>9.2f}")
    if args.json:
        records.write(args.json, {"benchmark": "training", "machine": cpu, "rows": [row]})


if __name__ == "__main__":
    main()
