"""The probe: all folds solved from one cache, against the study's way of probing, on the same patches and folds.

    python benchmarks/probe.py AMi-Br_Benchmark [--backbone vit-s16] [--weights FILE or RUN] [--frame "crop(128)"] [--json FILE]

The study's way (arXiv 2506.21444, read in its scripts): for every fold embed the patches one at a time, then train one linear layer
for up to 100 epochs of Adam (batch 8, rate 5e-5), the epoch with the best validation balanced accuracy kept. Ours: embed once in
batches, standardise, logistic regression to convergence, strength chosen inside the training fold. Both from an empty cache; then
a second question (other folds) to ours. The study reports the best of its epochs, chosen on the patches it is judged by; the last
epoch stands beside it. Without --weights the backbone keeps random weights, the same for both.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from machine import machine
from mitotype import datasets
from mitotype.backbones import backbones, weights
from mitotype.backbones.classifier import Architecture, Classifier, build
from mitotype.backbones.weights import Base
from mitotype.core import files, pictures
from mitotype.core.words import Cohort, join
from mitotype.datasets import splits
from mitotype.fit import embed, probe
from mitotype.views import Frame

EPOCHS, BATCH, RATE, DECAY, WAIT = 100, 8, 5e-5, 1e-5, 15


def balanced_accuracy(called: np.ndarray, label: np.ndarray) -> float:
    return float((called[label == 1].mean() + (~called[label == 0]).mean()) / 2)


def one_at_a_time(classifier: Classifier, image_N3HW: np.ndarray, frame: Frame) -> torch.Tensor:
    """`embedding_ND` of the study's way: a batch of one, again and again."""
    with torch.inference_mode():
        rows = [classifier(frame(torch.from_numpy(image[None].copy())).to(DEVICE)).embedding_BD for image in image_N3HW]
    return torch.cat(rows).clone()


def adam(train: tuple[torch.Tensor, np.ndarray], left: tuple[torch.Tensor, np.ndarray]) -> tuple[float, float]:
    """The best and the last validation balanced accuracy of one linear layer trained as the study does."""
    x, y = train[0], torch.from_numpy(train[1]).float().to(DEVICE)
    weight = torch.from_numpy(np.where(train[1] == 1, 1 / train[1].sum(), 1 / (1 - train[1]).sum()))
    torch.manual_seed(0)
    layer = nn.Linear(x.shape[1], 1).to(DEVICE)
    optimiser = torch.optim.Adam(layer.parameters(), lr=RATE, weight_decay=DECAY)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, "max", factor=0.5, patience=3, min_lr=1e-7)
    best, since, score = -1.0, 0, 0.0
    for _ in range(EPOCHS):
        for rows in torch.multinomial(weight, len(y), replacement=True).split(BATCH):
            loss = nn.functional.binary_cross_entropy_with_logits(layer(x[rows]).squeeze(1), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.inference_mode():
            score = balanced_accuracy((layer(left[0]).squeeze(1) > 0).cpu().numpy(), left[1])
        plateau.step(score)
        best, since = (score, 0) if score > best else (best, since + 1)
        if since >= WAIT:
            break
    return best, score


def study(
    base: Base, image_N3HW: np.ndarray, label_N: np.ndarray, fold_N: np.ndarray, frame: Frame
) -> tuple[float, list[tuple[float, float]]]:
    """Seconds, and the balanced accuracy of every fold: of the best epoch, as the study logs it, and of the last."""
    facts = backbones.get(base.backbone).facts
    told = Architecture(base.backbone, facts.size_px, facts.default_pooling, adaptation="probe", base=base.digest)
    classifier = build(told, seed=0, base_state=weights.state(base)).to(DEVICE).eval()
    start, found = time.perf_counter(), []
    for fold in np.unique(fold_N):
        inside = fold_N != fold
        train, left = (one_at_a_time(classifier, image_N3HW[rows], frame) for rows in (inside, ~inside))
        found.append(adam((train, label_N[inside]), (left, label_N[~inside])))
    return time.perf_counter() - start, found


def ours(base: Base, cohort: Cohort, pack: pictures.Pack, fold_N: np.ndarray, frame: str) -> tuple[float, list[float]]:
    """Seconds, and the balanced accuracy of every fold at 0.5."""
    facts = backbones.get(base.backbone).facts
    start = time.perf_counter()
    precision = "fp32" if DEVICE == "cpu" else "fp16"
    ask = embed.Ask(
        name=base.backbone, base=base, size_px=facts.size_px, frame=frame, precision=precision, device=DEVICE
    )
    embedding_ND = embed.pooled(embed.embeddings(ask, pack.image_N3HW), base.backbone, facts.default_pooling)
    label_N = cohort.rows["label"].to_numpy(int)
    found = []
    for fold in np.unique(fold_N):
        inside = fold_N != fold
        part = cohort.take(cohort.rows["patch_id"].isin(cohort.rows["patch_id"][inside]))
        solved = probe.logistic(probe.known(embedding_ND[inside], label_N[inside], part, balanced=True, seed=0))
        found.append(balanced_accuracy(embedding_ND[~inside] @ solved.weight_D + solved.bias > 0, label_N[~inside]))
    return time.perf_counter() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", help="the benchmark's folder")
    parser.add_argument("--backbone", default="vit-s16")
    parser.add_argument("--weights", help="a file of weights; random ones without it")
    parser.add_argument(
        "--frame", default="crop(128)", help="what of a patch is seen, before it is brought to the net's size"
    )
    parser.add_argument("--patches", type=int, default=0, help="only so many patches of each fold (0: all)")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights.cache_folder = embed.pictures.cache_folder = lambda: Path(folder)  # type: ignore[assignment]
        path = Path(asked.weights) if asked.weights else Path(folder) / "random.safetensors"
        if not asked.weights:
            facts = backbones.get(asked.backbone).facts
            net = build(Architecture(asked.backbone, facts.grid_px, facts.default_pooling), seed=0)
            save_file({k.removeprefix("net."): v.contiguous() for k, v in net.trunk.state_dict().items()}, path)
        base = weights.find(asked.backbone, str(path))
        cohort = join(datasets.read(asked.data, part="train"))
        fold = splits.stored(cohort)
        if asked.patches:
            chosen = fold.groupby(fold, group_keys=False).apply(lambda rows: rows.iloc[: asked.patches])
            cohort = cohort.take(cohort.rows["patch_id"].isin(chosen.index))
        pack = pictures.pack(cohort)
        fold_N = fold.loc[cohort.rows["patch_id"]].to_numpy()
        other_N = splits.grouped_folds(cohort, 5, 1).loc[cohort.rows["patch_id"]].to_numpy()
        cold_s, mine = ours(base, cohort, pack, fold_N, asked.frame)
        warm_s = min(ours(base, cohort, pack, other_N, asked.frame)[0] for _ in range(3))
        study_s, theirs = study(
            base, np.asarray(pack.image_N3HW), cohort.rows["label"].to_numpy(int), fold_N, Frame(asked.frame)
        )
    row: dict[str, Any] = {
        "backbone": asked.backbone, "weights": "random" if not asked.weights else path.name, "patches": len(cohort), "device": DEVICE,
        "study_s": study_s, "cold_s": cold_s, "warm_s": warm_s, "cold_ratio": study_s / cold_s, "warm_ratio": study_s / warm_s,
        "balanced_accuracy": statistics.mean(mine), "study_best_epoch": statistics.mean(best for best, _ in theirs),
        "study_last_epoch": statistics.mean(last for _, last in theirs),
    }  # fmt: skip
    print(
        f"{asked.backbone}, {len(cohort)} patches, five folds, {machine()['cpu']}, {torch.get_num_threads()} threads, {DEVICE}\n"
    )
    print(f"{'':28}{'seconds':>10}{'ratio':>10}{'balanced accuracy':>20}")
    print(f"{'the study, best epoch':28}{study_s:>10.1f}{1:>10.1f}{row['study_best_epoch']:>20.4f}")
    print(f"{'the study, last epoch':28}{'':>20}{row['study_last_epoch']:>20.4f}")
    print(f"{'ours, empty cache':28}{cold_s:>10.1f}{row['cold_ratio']:>10.1f}{row['balanced_accuracy']:>20.4f}")
    print(f"{'ours, second question':28}{warm_s:>10.1f}{row['warm_ratio']:>10.1f}")
    if asked.json:
        files.write_json(asked.json, {"benchmark": "probe", "machine": machine(), "rows": [row]})


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
