"""Out-of-distribution detection: fit a linear detector per member that separates training figures from other windows.

The negatives are windows beside the figures and blank tissue of their colours; `deploy.predictor` applies the detectors.

Shapes: N patches, M negatives, H side of a packed image in px, C side of the framed one, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression

from mitotype.backbones import member_files
from mitotype.backbones.predict import InferenceConfig, predict
from mitotype.core import records, run_layout, seeds
from mitotype.core.run_layout import LinearDetector, OodRates, OodRecord, names
from mitotype.transforms import Frame, tta_views

SHIFT_PX = (24, 32)  # distance of a negative window from the figure
FALSE_ALARM_RATE = 0.02  # share of out-of-fold figures that are flagged at the threshold
MAX_FIGURES = 1500  # per member, to fit its detector on


def sample_negatives(image_N3HW: np.ndarray, px: int, seed: int) -> np.ndarray | None:
    """Return `image_M3CC`: per patch a window beside its figure, and after every fourth of them a blank tissue.

    None where the images are too small for a window SHIFT_PX beside the centre.
    """
    margin = (image_N3HW.shape[-1] - px) // 2
    if margin < SHIFT_PX[0]:
        return None
    rng = seeds.numpy_generator(seed, "unlike")  # the purpose decides the numbers: it stays
    far = rng.integers(SHIFT_PX[0], min(SHIFT_PX[1], margin) + 1, len(image_N3HW))
    near = rng.integers(-margin, margin + 1, len(image_N3HW))
    sign = rng.choice([-1, 1], len(image_N3HW))
    is_vertical = rng.random(len(image_N3HW)) < 0.5
    windows = []
    for image, f, n, vertical in zip(image_N3HW, far * sign, near, is_vertical, strict=True):
        top, left = (margin + f, margin + n) if vertical else (margin + n, margin + f)
        windows.append(image[:, top : top + px, left : left + px])
        if len(windows) % 5 == 4:
            windows.append(_blank_tissue(windows[-1], rng))
    return np.stack(windows)


def _blank_tissue(image_3CC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return tissue without structure: the bright colours of a window, smooth, with scanner noise."""
    bright_3 = np.quantile(image_3CC, 0.7, axis=(1, 2))[:, None, None]
    field = gaussian_filter(rng.normal(size=image_3CC.shape[1:]), 6)
    image = bright_3 + 8 * field / max(field.std(), 1e-6) + rng.normal(scale=2, size=image_3CC.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def fit_detector(figure_ND: np.ndarray, negative_MD: np.ndarray) -> LinearDetector:
    """Fit a logistic regression between embeddings of figures (0) and negatives (1)."""
    embedding_ND = np.concatenate([figure_ND, negative_MD])
    mean, std = embedding_ND.mean(0), embedding_ND.std(0) + 1e-6
    target = np.r_[np.zeros(len(figure_ND)), np.ones(len(negative_MD))]
    model = LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced").fit((embedding_ND - mean) / std, target)
    coef, intercept = model.coef_[0].tolist(), float(model.intercept_[0])
    return LinearDetector(mean=mean.tolist(), std=std.tolist(), coef=coef, intercept=intercept)


def fit_ood_detector(run_dir: Path, seed: int, device: str, fold_N: np.ndarray, image_N3HW: np.ndarray) -> None:
    """Fit a detector per member and one threshold, and write them with their out-of-fold rates.

    Nothing is written where a member has no embedding (a feature) or the images are too small for negatives.
    """
    detectors: dict[str, LinearDetector] = {}
    figure_scores: dict[int, list[float]] = {}  # by patch
    negative_scores: list[float] = []
    for member_dir in names.member_dirs(run_dir):
        record = run_layout.read_member(member_dir)
        if record.feature is not None:
            return
        member, fold = member_files.read_member(member_dir, device=device), record.fold
        px = Frame(member.frame).needs_px
        train = np.flatnonzero(fold_N != fold)
        train = seeds.numpy_generator(seed, "unlike", member.name).permutation(train)[:MAX_FIGURES]
        embed = _embedder(member, device)
        negatives = sample_negatives(image_N3HW[train], px, seed)
        if negatives is None:
            return
        detector = detectors[member.name] = fit_detector(embed(image_N3HW[train]), embed(negatives))
        if fold:
            left_out = np.flatnonzero(fold_N == fold)
            for patch, score in zip(left_out, detector.score(embed(image_N3HW[left_out])), strict=True):
                figure_scores.setdefault(int(patch), []).append(float(score))
            negatives = sample_negatives(image_N3HW[left_out], px, seed + 1)
            negative_scores += detector.score(embed(negatives)).tolist()
    scores = np.array([np.mean(member_scores) for member_scores in figure_scores.values()])
    threshold = float(np.quantile(scores, 1 - FALSE_ALARM_RATE))
    rates = OodRates(
        figures=len(scores),
        flagged_figures=float((scores > threshold).mean()),
        negatives=len(negative_scores),
        flagged_negatives=float((np.array(negative_scores) > threshold).mean()),
    )
    records.write(run_dir / names.OOD, OodRecord(detectors=detectors, threshold=threshold, out_of_fold=rates))


def _embedder(member: member_files.Member, device: str) -> Callable[[Any], np.ndarray]:
    config, frame, identity = InferenceConfig(device=device), Frame(member.frame), tta_views("identity")
    return lambda image_N3HW: predict(member.classifier, image_N3HW, frame, identity, config).embedding_ND
