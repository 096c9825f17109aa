"""Classification: images → probability, class, decision, standard deviation of the members, and flags.

Shapes: N images, H side of an image in px.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from msgspec import Struct

from mitotype.core import files, images
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.schema import MPP_UM, PATCH_COLUMNS
from mitotype.deploy.predictor import Predictor
from mitotype.scores.decision import UNCERTAIN
from mitotype.scores.table import Scores

OUT_OF_DISTRIBUTION = "out of distribution"  # the flag of an image with a mean score above 0
CHUNK = 512  # images in memory at once
Page = tuple[str, int, np.ndarray]  # path, page, centred `image_3HW`


class Source(NamedTuple):
    """A file and its µm/px."""

    path: Path
    mpp_um: float


class Prediction(Struct, frozen=True, omit_defaults=True, rename={"label_name": "class", "member_sd": "spread"}):
    """The prediction for one image; `mitotype classify --json` prints a list of them.

    probability   of atypical, calibrated        label_name    atypical or normal, by the threshold
    decision      the class, or "uncertain"      member_sd     SD of the members' probabilities, nan for one member
    flags         "uncertain", "out of distribution"
    explanation   phrases of the shape descriptors, if requested
    """

    path: str
    page: int
    probability: float
    decision: str
    label_name: str
    member_sd: float
    flags: tuple[str, ...]
    explanation: tuple[str, ...] = ()


def list_images(sources: Iterable[str], mpp_um: float | None = None) -> list[Source]:
    """Return the image files, given files, folders (searched recursively, without hidden files) and csv lists.

    A list has a column `path`, and `mpp_um` if it varies. `mpp_um` is the default; without it 0.25 µm/px, as published.
    """
    scale = images.check_mpp(mpp_um, "--mpp") if mpp_um is not None else MPP_UM
    result: list[Source] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            paths = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in images.SUFFIXES]
            paths = [p for p in paths if not any(part.startswith(".") for part in p.relative_to(path).parts)]
            if not paths:
                raise UserError(f"The folder '{path}' contains no images.", allowed=", ".join(images.SUFFIXES))
            result += [Source(p, scale) for p in paths]
        elif path.suffix.lower() == ".csv":
            result += _read_list(path, scale)
        else:
            result.append(Source(path, scale))
    if not result:
        raise UserError("No images are given.", fix="mitotype classify FOLDER")
    return result


def _read_list(path: Path, scale: float) -> Iterator[Source]:
    rows = files.read_table(path, what="list of images")
    if "path" not in rows:
        columns = ", ".join(rows.columns)
        raise UserError(f"The list '{path}' has the columns {columns}, and no column 'path'.", allowed="path, mpp_um")
    scales = rows["mpp_um"].fillna(scale) if "mpp_um" in rows else [scale] * len(rows)
    for name, mpp_um in zip(rows["path"], scales, strict=True):
        yield Source(path.parent / name, images.check_mpp(float(mpp_um), f"'{name}' in '{path}'"))


def classify(
    predictor: Predictor,
    sources: Sequence[Source],
    *,
    explain: bool = False,
    on_progress: Callable[[int], None] = lambda n: None,
) -> list[Prediction]:
    """Classify every page of every image, in order; with `explain` also by phrases of the shape descriptors.

    The next images are read while the last ones are scored, CHUNK at a time. Raises one UserError that lists every image
    that cannot be read or is too small; nothing is skipped silently.
    """
    if explain and not predictor.feature_members:
        what = f"'{predictor.dir.name}' has no shape descriptors among its members, so there is nothing to explain."
        raise UserError(what, fix="mitotype classify IMAGES --words --bundle morphology")
    predictions: list[Prediction] = []
    errors = ErrorCollector()
    for chunk in _read_ahead(sources, predictor.needs_px, errors):
        if chunk and not errors.errors:
            predictions += _predict(predictor, chunk, explain)
        on_progress(len(chunk))
    errors.raise_if_any()
    return predictions


def _read_ahead(sources: Sequence[Source], needs_px: int, errors: ErrorCollector) -> Iterator[list[Page]]:
    """Yield chunks of pages; the next one is read while the caller works on the last."""

    def load(path: Path, mpp_um: float) -> list[Page]:
        with errors.capture():
            pages = [images.at_scale(image, mpp_um) for image in images.read_pages(path)]
            return [(str(path), page, _crop(image, needs_px, path)) for page, image in enumerate(pages)]
        return []

    def read(start: int) -> list[Page]:
        return [page for source in sources[start : start + CHUNK] for page in load(*source)]

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(read, 0)
        for start in range(0, len(sources), CHUNK):
            chunk = ahead.result()
            if start + CHUNK < len(sources):
                ahead = pool.submit(read, start + CHUNK)
            yield chunk


def _crop(image_HW3: np.ndarray, px: int, path: Path) -> np.ndarray:
    images.check_large_enough(image_HW3, px, path)
    return images.center_crop(image_HW3, px).transpose(2, 0, 1)


def _predict(predictor: Predictor, chunk: list[Page], explain: bool) -> Iterator[Prediction]:
    ids = [str(i) for i in range(len(chunk))]
    rows, ood_N = predictor.predict(ids, np.stack([image for *_, image in chunk]))
    patches = pd.DataFrame({"patch_id": ids, "dataset": "images"}).reindex(columns=list(PATCH_COLUMNS))
    combined = predictor.combiner.apply(Scores(patches, rows))
    decided = predictor.decision.apply(combined, guard=False).set_index("patch_id").loc[ids]
    sd_N = _member_sd(predictor, rows, ids)
    columns = [decided[name].tolist() for name in ("probability", "decision", "class")]
    for (path, page, image), probability, decision, label_name, sd, ood in zip(
        chunk, *columns, sd_N, ood_N, strict=True
    ):
        flags = (UNCERTAIN,) * (decision == UNCERTAIN) + (OUT_OF_DISTRIBUTION,) * bool(ood > 0)
        explanation = predictor.explain(image) if explain else ()
        yield Prediction(path, page, probability, decision, label_name, float(sd), flags, explanation)


def _member_sd(predictor: Predictor, rows: pd.DataFrame, ids: list[str]) -> np.ndarray:
    """Return the sample SD of the calibrated probabilities over members (over views where there is one member)."""
    by = "member" if len(predictor.members) > 1 else "view"
    logit = rows.groupby(["patch_id", by], sort=False)["logit"].mean().unstack(by).loc[ids].to_numpy(float)
    probability = predictor.decision.calibration.probability(logit.ravel()).reshape(logit.shape)
    sd_N: np.ndarray = probability.std(1, ddof=1) if logit.shape[1] > 1 else probability[:, 0] * float("nan")
    return sd_N
