"""LoRA training, patches per second and memory: the loop of a recipe against a plain loop as a user would write it.

    python performance/lora.py [--backbone h-optimus-0] [--steps 20] [--json FILE]

The plain loop takes timm's net, peft's LoRA, torchvision's transforms in a DataLoader and AdamW, in float32 and under bf16
autocast. Ours runs the same net at its true size with random weights, the same batch and rank. On a GPU the share of the chip's
own bf16 matrix rate is shown, measured here on square matrices, and the peak memory with recomputed activations.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from machine import machine
from mitotype.backbones import backbones
from mitotype.backbones.model_spec import ModelSpec
from mitotype.core import records
from mitotype.core.run_layout import LogLine
from mitotype.fit.environment import has_amx
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import trainer
from mitotype.fit.train.inputs import TrainContext, TrainData

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, RANK, ALPHA = 32, 8, 16


class Plain(Dataset):
    """Images in memory, transformed one at a time."""

    def __init__(self, image_N3HW: np.ndarray, label_N: np.ndarray, spec: ModelSpec) -> None:
        self.image, self.label = torch.from_numpy(image_N3HW), torch.from_numpy(label_N).float()
        self.transform = v2.Compose([
            v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), v2.RandomAffine(180, scale=(0.87, 1.15)), v2.CenterCrop(64),
            v2.ColorJitter(0.2, 0.2, 0.2, 0.05), v2.Resize(spec.size_px, antialias=True), v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(*spec.normalization),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.transform(self.image[index]), self.label[index]


class WithHead(nn.Module):
    """timm's net and one linear layer, as a user would put them together."""

    def __init__(self, name: str) -> None:
        super().__init__()
        backbone = backbones.get(name)
        self.net = backbone.build(backbone.spec, backbone.spec.size_px, {}).net  # type: ignore[attr-defined]
        self.head = nn.Linear(self.net.num_features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.net.forward_features(x)[:, 0]).squeeze(1)


def synchronize() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def plain(name: str, data: tuple[np.ndarray, np.ndarray], steps: int, bf16: bool) -> dict[str, float]:
    """Median seconds per step after two to warm up, and peak memory in GB."""
    spec = backbones.get(name).spec
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.05, target_modules=spec.lora_targets)
    torch.manual_seed(0)
    model = get_peft_model(WithHead(name), config)  # type: ignore[arg-type]
    model.base_model.model.head.requires_grad_(True)
    model.to(DEVICE).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    workers = min(8, (os.cpu_count() or 2) - 1) if DEVICE == "cuda" else 1
    loader = DataLoader(
        Plain(*data, spec), BATCH, shuffle=True, num_workers=workers, persistent_workers=True, drop_last=True
    )
    _fresh()
    times, done = [], 0
    while done < steps + 2:
        start = time.perf_counter()
        for x, y in loader:
            with torch.autocast(DEVICE, torch.bfloat16, enabled=bf16):
                loss = nn.functional.binary_cross_entropy_with_logits(model(x.to(DEVICE)), y.to(DEVICE))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            synchronize()
            times.append(time.perf_counter() - start)
            start, done = time.perf_counter(), done + 1
            if done >= steps + 2:
                break
    return {"seconds": statistics.median(times[2:]), "memory_gb": _peak()}


def ours(name: str, data: tuple[np.ndarray, np.ndarray], steps: int, **changes: Any) -> dict[str, float]:
    """The same of our loop: the mean over an epoch of `steps` steps after one to warm up, and the first epoch's excess."""
    spec = backbones.get(name).spec
    recipe = Recipe(
        name="lora", backbone=name, size_px=spec.size_px, adaptation=f"lora({RANK}, {ALPHA}, 0.05)", pooling="cls",
        augment="affine(180, 0.15, 0, 0) | d4 | color(0.2, 0.2, 0.2, 0.05) | crop(64)", tta="identity", batch=BATCH, epochs=4,
        sampler="uniform", ema_decay=0.99, **changes,
    )  # fmt: skip
    image_N3HW, label_N = data[0][: steps * BATCH], data[1][: steps * BATCH]
    train_data = TrainData(image_N3HW, label_N, label_N.astype(np.float32), {})
    dtype = torch.bfloat16 if DEVICE == "cuda" or recipe.precision == "bf16" else None
    times = [0.0]
    _fresh()

    def on_log(line: LogLine) -> None:
        synchronize()
        times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        times[0] = time.perf_counter()
        context = TrainContext(Path(folder), device=DEVICE, amp_dtype=dtype, on_log=on_log)
        trainer.train(recipe, "benchmark", train_data, context)
    epochs = np.diff(times)
    best = float(np.median(epochs[1:]))
    return {"seconds": best / steps, "first_epoch_more_s": float(epochs[0] - best), "memory_gb": _peak()}


def _fresh() -> None:
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak() -> float:
    return torch.cuda.max_memory_allocated() / 2**30 if DEVICE == "cuda" else float("nan")


def matrix_rate() -> float:
    """The chip's bf16 multiply-add rate on square matrices, in FLOP/s."""
    a = torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16)
    for _ in range(5):
        a @ a
    synchronize()
    start = time.perf_counter()
    for _ in range(20):
        a @ a
    synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - start)


def flop_per_patch(name: str) -> float:
    """Multiply-adds of one patch forward and backward, as FLOP: twice the forward, since frozen weights need no gradient."""
    spec = backbones.get(name).spec
    tokens = (spec.size_px // (spec.patch_px or 16)) ** 2 + spec.prefix_tokens
    width = spec.pooling["cls"]
    forward = 2 * spec.params_m * 1e6 * tokens + 4 * spec.blocks * tokens**2 * width
    return 2 * forward


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backbone", default="h-optimus-0" if DEVICE == "cuda" else "vit-s16")
    parser.add_argument("--steps", type=int, default=20 if DEVICE == "cuda" else 3)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    count = args.steps * BATCH
    data = rng.integers(0, 256, (count, 3, 128, 128), dtype=np.uint8), (np.arange(count) % 4 == 0).astype(np.int64)
    name, steps = args.backbone, args.steps
    rows = {"plain loop, float32": plain(name, data, steps, False)}
    if DEVICE == "cuda" or has_amx():  # elsewhere bf16 is emulated, and slower than float32
        rows["plain loop, bf16"] = plain(name, data, steps, True)
    rows["ours"] = ours(name, data, steps)
    if DEVICE == "cuda":
        rows["ours, compiled"] = ours(name, data, steps, compile=1)
    rows["ours, recomputing"] = ours(name, data, steps, grad_checkpointing=1)
    rate = matrix_rate() if DEVICE == "cuda" else float("nan")
    cpu = machine()
    print(f"{name}, LoRA {RANK}, batch {BATCH}, {torch.cuda.get_device_name() if DEVICE == 'cuda' else cpu['cpu']}\n")
    print(f"{'':24}{'patch/s':>10}{'× float32':>11}{'first epoch +':>15}{'memory GB':>11}{'share of rate':>15}")
    for title, row in rows.items():
        row["patches_per_s"] = BATCH / row["seconds"]
        row["ratio"] = rows["plain loop, float32"]["seconds"] / row["seconds"]
        row["share_of_rate"] = row["patches_per_s"] * flop_per_patch(name) / rate
        more = f"{row.get('first_epoch_more_s', float('nan')):.1f} s"
        print(
            f"{title:24}{row['patches_per_s']:>10.1f}{row['ratio']:>11.2f}{more:>15}{row['memory_gb']:>11.1f}{row['share_of_rate']:>15.2f}"
        )
    if args.json:
        about = {"backbone": name, "batch": BATCH, "rank": RANK, "device": DEVICE, "matrix_rate": rate}
        records.write(args.json, {"benchmark": "lora", "machine": cpu, **about, "rows": rows})


if __name__ == "__main__":
    main()
