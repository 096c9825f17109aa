"""Unlike: fit the line that tells training figures from windows beside them and from blank tissue (see `deploy.unlike`).

Shapes: N patches, H side of a packed picture in px, C side of the framed one, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files, seeds
from mitotype.views import Frame

if TYPE_CHECKING:
    import numpy as np

NAME = "unlike.json"
SHIFT_PX = (24, 32)  # how far beside the figure a window is cut
FALSE_ALARMS = 0.02  # share of real out-of-fold figures that the threshold lets be flagged
AT_MOST = 1500  # figures per member that the line is fitted on


def strange(image_N3HW: np.ndarray, px: int, seed: int) -> np.ndarray | None:
    """`image_M3CC`: per patch one window beside its figure, and for every fourth one blank tissue of its own colours.

    None where the pictures are too small to cut a window SHIFT_PX beside the centre.
    """
    import numpy as np

    room = (image_N3HW.shape[-1] - px) // 2
    if room < SHIFT_PX[0]:
        return None
    rng = seeds.numpy_generator(seed, "unlike")
    far = rng.integers(SHIFT_PX[0], min(SHIFT_PX[1], room) + 1, len(image_N3HW))
    near = rng.integers(-room, room + 1, len(image_N3HW))
    sign = rng.choice([-1, 1], len(image_N3HW))
    down = rng.random(len(image_N3HW)) < 0.5
    windows = []
    for image, f, n, d in zip(image_N3HW, far * sign, near, down, strict=True):
        top, left = (room + f, room + n) if d else (room + n, room + f)
        windows.append(image[:, top : top + px, left : left + px])
        if len(windows) % 5 == 4:
            windows.append(_blank(windows[-1], rng))
    return np.stack(windows)


def _blank(image_3CC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tissue without structure: the bright half of a window's colours, smoothed, with the scanner's noise."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    bright_3 = np.quantile(image_3CC, 0.7, axis=(1, 2))[:, None, None]
    field = gaussian_filter(rng.normal(size=image_3CC.shape[1:]), 6)
    image = bright_3 + 8 * field / max(field.std(), 1e-6) + rng.normal(scale=2, size=image_3CC.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def line(real_ND: np.ndarray, strange_ND: np.ndarray) -> dict[str, Any]:
    """Coefficients of the logistic line between real (0) and strange (1) embeddings."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    both = np.concatenate([real_ND, strange_ND])
    mean, sd = both.mean(0), both.std(0) + 1e-6
    target = np.r_[np.zeros(len(real_ND)), np.ones(len(strange_ND))]
    fitted = LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced").fit((both - mean) / sd, target)
    return {
        "mean": mean.tolist(),
        "sd": sd.tolist(),
        "weight": fitted.coef_[0].tolist(),
        "intercept": float(fitted.intercept_[0]),
    }


def fit(folder: Path, recipe_seed: int, device: str, fold_N: np.ndarray, image_N3HW: np.ndarray) -> None:
    """Write unlike.json: a line per member, the threshold, and how often it flags out-of-fold figures and windows."""
    import numpy as np

    from mitotype.backbones import members

    lines: dict[str, Any] = {}
    real: dict[int, list[float]] = {}
    beside: list[float] = []
    for place in sorted(path.parent for path in (folder / "members").glob("*/member.json")):
        told = files.read_json(place / "member.json")
        if "feature" in told:  # it has no embedding of its own
            return
        member, fold = members.read(place, device=device), int(told["fold"])
        seen = np.flatnonzero(fold_N != fold)
        seen = seeds.numpy_generator(recipe_seed, "unlike", member.name).permutation(seen)[:AT_MOST]
        embed = _embedder(member, device)
        windows = strange(image_N3HW[seen], Frame(member.frame).needs_px, recipe_seed)
        if windows is None:
            return
        lines[member.name] = line(embed(image_N3HW[seen]), embed(windows))
        if fold:
            left = np.flatnonzero(fold_N == fold)
            for patch, score in zip(left, _score(lines[member.name], embed(image_N3HW[left])), strict=True):
                real.setdefault(int(patch), []).append(float(score))
            windows = strange(image_N3HW[left], Frame(member.frame).needs_px, recipe_seed + 1)
            beside += _score(lines[member.name], embed(windows)).tolist()
    scores = np.array([np.mean(found) for found in real.values()])
    threshold = float(np.quantile(scores, 1 - FALSE_ALARMS))
    told = {
        "figures": len(scores), "flagged_figures": float((scores > threshold).mean()),
        "windows": len(beside), "flagged_windows": float((np.array(beside) > threshold).mean()),
    }  # fmt: skip
    files.write_json(folder / NAME, {"lines": lines, "threshold": threshold, "out_of_fold": told})


def _embedder(member: Any, device: str) -> Any:
    from mitotype.backbones.predict import Way, predict
    from mitotype.views import views_at_test

    way = Way(device=device)
    frame, identity = Frame(member.frame), views_at_test("identity")
    return lambda image_N3HW: predict(member.classifier, image_N3HW, frame, identity, way).embedding_ND


def _score(told: Mapping[str, Any], embedding_ND: np.ndarray) -> np.ndarray:
    import numpy as np

    return (embedding_ND - np.array(told["mean"])) / np.array(told["sd"]) @ np.array(told["weight"]) + told["intercept"]
