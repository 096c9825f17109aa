"""Probes: all folds from one cache of embeddings, against the protocol of the study, on the same patches and folds.

    python performance/probe.py AMi-Br_Benchmark [--backbone vit-s16] [--weights FILE or RUN] [--frame "crop(128)"] [--json FILE]

The study (arXiv 2506.21444, as in its scripts): for every fold embed the patches one at a time, then train one linear layer
for up to 100 epochs of Adam (batch 8, rate 5e-5), with the weights of the best epoch by validation balanced accuracy. Ours: embed once in
batches, standardise, logistic regression to convergence, C chosen inside the training fold. Both from an empty cache; then
a second run of ours with other folds. The study reports the best of its epochs, chosen on the patches that evaluate it; the last
epoch is printed beside it. Without --weights the backbone has random weights, the same for both.
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
from safetensors.torch import save_file
from torch import nn

from machine import machine
from mitotype import datasets
from mitotype.backbones import backbones, weights
from mitotype.backbones.classifier import Architecture, Classifier, build
from mitotype.backbones.weights import PretrainedWeights
from mitotype.core import records
from mitotype.core.packing import Pack, pack_images
from mitotype.core.schema import Cohort, join
from mitotype.datasets import splits
from mitotype.fit import embeddings, probe
from mitotype.transforms import Frame

EPOCHS, BATCH, RATE, DECAY, WAIT = 100, 8, 5e-5, 1e-5, 15


def balanced_accuracy(predicted: np.ndarray, label: np.ndarray) -> float:
    return float((predicted[label == 1].mean() + (~predicted[label == 0]).mean()) / 2)


def one_at_a_time(classifier: Classifier, image_N3HW: np.ndarray, frame: Frame) -> torch.Tensor:
    """`embedding_ND` as the study computes it: in batches of one."""
    with torch.inference_mode():
        rows = [classifier(frame(torch.from_numpy(image[None].copy())).to(DEVICE)).embedding_BD for image in image_N3HW]
    return torch.cat(rows).clone()


def adam(train: tuple[torch.Tensor, np.ndarray], left: tuple[torch.Tensor, np.ndarray]) -> tuple[float, float]:
    """The best and the last validation balanced accuracy of one linear layer trained as the study does."""
    x, y = train[0], torch.from_numpy(train[1]).float().to(DEVICE)
    weight = torch.from_numpy(np.where(train[1] == 1, 1 / train[1].sum(), 1 / (1 - train[1]).sum()))
    torch.manual_seed(0)
    layer = nn.Linear(x.shape[1], 1).to(DEVICE)
    optimizer = torch.optim.Adam(layer.parameters(), lr=RATE, weight_decay=DECAY)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=3, min_lr=1e-7)
    best, since, score = -1.0, 0, 0.0
    for _ in range(EPOCHS):
        for rows in torch.multinomial(weight, len(y), replacement=True).split(BATCH):
            loss = nn.functional.binary_cross_entropy_with_logits(layer(x[rows]).squeeze(1), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            score = balanced_accuracy((layer(left[0]).squeeze(1) > 0).cpu().numpy(), left[1])
        plateau.step(score)
        best, since = (score, 0) if score > best else (best, since + 1)
        if since >= WAIT:
            break
    return best, score


def study(
    base: PretrainedWeights, image_N3HW: np.ndarray, label_N: np.ndarray, fold_N: np.ndarray, frame: Frame
) -> tuple[float, list[tuple[float, float]]]:
    """Seconds, and the balanced accuracy of every fold: of the best epoch, as the study logs it, and of the last."""
    spec = backbones.get(base.backbone).spec
    architecture = Architecture(base.backbone, spec.size_px, spec.default_pooling, adaptation="probe", base=base.digest)
    classifier = build(architecture, seed=0, base_state=weights.read_state_dict(base)).to(DEVICE).eval()
    start, scores = time.perf_counter(), []
    for fold in np.unique(fold_N):
        inside = fold_N != fold
        train, left = (one_at_a_time(classifier, image_N3HW[rows], frame) for rows in (inside, ~inside))
        scores.append(adam((train, label_N[inside]), (left, label_N[~inside])))
    return time.perf_counter() - start, scores


def ours(
    base: PretrainedWeights, cohort: Cohort, pack: Pack, fold_N: np.ndarray, frame: str
) -> tuple[float, list[float]]:
    """Seconds, and the balanced accuracy of every fold at 0.5."""
    spec = backbones.get(base.backbone).spec
    start = time.perf_counter()
    precision = "fp32" if DEVICE == "cpu" else "fp16"
    key = embeddings.EmbeddingKey(
        name=base.backbone, base=base, size_px=spec.size_px, frame=frame, precision=precision, device=DEVICE
    )
    embedding_ND = embeddings.select_pooling(embeddings.embed(key, pack.image_N3HW), base.backbone)
    label_N = cohort.rows["label"].to_numpy(int)
    scores = []
    for fold in np.unique(fold_N):
        is_train = fold_N != fold
        part = cohort.take(cohort.rows["patch_id"].isin(cohort.rows["patch_id"][is_train]))
        data = probe.probe_data(embedding_ND[is_train], label_N[is_train], part, balanced=True, seed=0)
        coef_D, intercept, _ = probe.fit_probe(data)
        logit_N = embedding_ND[~is_train] @ coef_D + intercept
        scores.append(balanced_accuracy(logit_N > 0, label_N[~is_train]))
    return time.perf_counter() - start, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", help="the benchmark's folder")
    parser.add_argument("--backbone", default="vit-s16")
    parser.add_argument("--weights", help="a file of weights; random ones without it")
    parser.add_argument(
        "--frame", default="crop(128)", help="framing of a patch, before it is resized to the net's input"
    )
    parser.add_argument("--patches", type=int, default=0, help="only so many patches of each fold (0: all)")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        path = Path(args.weights) if args.weights else Path(folder) / "random.safetensors"
        if not args.weights:
            spec = backbones.get(args.backbone).spec
            net = build(Architecture(args.backbone, spec.pretrained_size_px, spec.default_pooling), seed=0)
            save_file({k.removeprefix("net."): v.contiguous() for k, v in net.trunk.state_dict().items()}, path)
        base = weights.find(args.backbone, str(path))
        cohort = join(datasets.read(args.data, part="train"))
        fold = splits.published_folds(cohort)
        if args.patches:
            chosen = fold.groupby(fold, group_keys=False).apply(lambda rows: rows.iloc[: args.patches])
            cohort = cohort.take(cohort.rows["patch_id"].isin(chosen.index))
        pack = pack_images(cohort)
        fold_N = fold.loc[cohort.rows["patch_id"]].to_numpy()
        other_N = splits.grouped_folds(cohort, 5, 1).loc[cohort.rows["patch_id"]].to_numpy()
        cold_s, scores = ours(base, cohort, pack, fold_N, args.frame)
        warm_s = min(ours(base, cohort, pack, other_N, args.frame)[0] for _ in range(3))
        study_s, theirs = study(
            base, np.asarray(pack.image_N3HW), cohort.rows["label"].to_numpy(int), fold_N, Frame(args.frame)
        )
    row: dict[str, Any] = {
        "backbone": args.backbone, "weights": "random" if not args.weights else path.name, "patches": len(cohort), "device": DEVICE,
        "study_s": study_s, "cold_s": cold_s, "warm_s": warm_s, "cold_ratio": study_s / cold_s, "warm_ratio": study_s / warm_s,
        "balanced_accuracy": statistics.mean(scores), "study_best_epoch": statistics.mean(best for best, _ in theirs),
        "study_last_epoch": statistics.mean(last for _, last in theirs),
    }  # fmt: skip
    print(
        f"{args.backbone}, {len(cohort)} patches, five folds, {machine()['cpu']}, {torch.get_num_threads()} threads, {DEVICE}\n"
    )
    print(f"{'':28}{'seconds':>10}{'ratio':>10}{'balanced accuracy':>20}")
    print(f"{'the study, best epoch':28}{study_s:>10.1f}{1:>10.1f}{row['study_best_epoch']:>20.4f}")
    print(f"{'the study, last epoch':28}{'':>20}{row['study_last_epoch']:>20.4f}")
    print(f"{'ours, empty cache':28}{cold_s:>10.1f}{row['cold_ratio']:>10.1f}{row['balanced_accuracy']:>20.4f}")
    print(f"{'ours, other folds':28}{warm_s:>10.1f}{row['warm_ratio']:>10.1f}")
    if args.json:
        records.write(args.json, {"benchmark": "probe", "machine": machine(), "rows": [row]})


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
