"""Classification: images → probability, class, decision, standard deviation of the members, and flags.

Shapes: N images, H side of an image in px.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pandas as pd

from mitotype.core import image_list, images, tables, walk
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.schema import PATCH_COLUMNS
from mitotype.deploy.predictions import Prediction, failed
from mitotype.deploy.predictor import Predictor
from mitotype.scores.decision import UNCERTAIN
from mitotype.scores.table import Scores

OUT_OF_DISTRIBUTION = "out of distribution"  # the flag of an image with a mean score above 0
CHUNK = 512  # pages in memory at once


class Source(NamedTuple):
    """A file, its µm/px (None: not stated) and the page to classify (None: every figure in it)."""

    path: Path
    mpp_um: float | None
    page: int | None = None


class Page(NamedTuple):
    """A page of a file as its centred `image_3HW`, or its error; the last of its file, with the pages that are no figures."""

    path: Path
    page: int
    image: np.ndarray | UserError
    is_last: bool
    others: int = 0


def list_images(sources: Iterable[str], mpp_um: float | None = None) -> list[Source]:
    """Return the image files, given files, folders (see `walk.iter_files`) and lists.

    A list is a csv or parquet file with the column `path`, and `mpp_um` and `page` if they vary; see `image_list`. `mpp_um`
    is the default. Raises one UserError for all files that are absent and all cells that are wrong.
    """
    if mpp_um is not None:
        images.check_mpp(mpp_um, "--mpp")
    result: list[Source] = []
    errors = ErrorCollector()
    for source in sources:
        path = walk.check_name(Path(source))
        if walk.is_folder(path):
            paths = list(walk.iter_files(path, images.SUFFIXES))
            if not paths:
                raise UserError(f"The folder '{path}' contains no images.", allowed=", ".join(images.SUFFIXES))
            result += [Source(p, mpp_um) for p in paths]
        elif tables.is_table(path):
            with errors.capture():
                result += _read_list(path, mpp_um, errors)
        elif walk.is_file(path):
            result.append(Source(path, mpp_um))
        else:
            errors.add(UserError(f"There is no image at '{path}'.", fix="fix the path"))
    errors.raise_if_any()
    if not result:
        raise UserError("No images are given.", fix="mitotype classify FOLDER")
    return result


def _read_list(path: Path, mpp_um: float | None, errors: ErrorCollector) -> Iterator[Source]:
    rows = image_list.read_list(path, errors)
    unstated = [float("nan")] * len(rows)
    for name, scale, page in zip(rows["path"], rows.get("mpp_um", unstated), rows.get("page", unstated), strict=True):
        yield Source(Path(name), mpp_um if scale != scale else scale, None if page != page else int(page))


def classify(
    predictor: Predictor,
    sources: Sequence[Source],
    *,
    explain: bool = False,
    on_progress: Callable[[int], None] = lambda n: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> list[Prediction]:
    """Classify every figure of every file, in order; with `explain` also by phrases of the shape descriptors.

    An image that cannot be read or is too small has its error in its row, and no others. Raises a UserError that lists the
    errors if nothing can be classified. The next images are read while the last ones are scored, CHUNK at a time.
    """
    if explain and not predictor.feature_members:
        what = f"'{predictor.dir.name}' has no shape descriptors among its members, so there is nothing to explain."
        raise UserError(what, fix="mitotype classify IMAGES --words --bundle morphology")
    predictions: list[Prediction] = []
    errors = ErrorCollector()
    others: list[int] = []
    for chunk in _read_ahead(_pages(sources, predictor.needs_px)):
        predictions += _predict(predictor, chunk, explain)
        errors.errors += [page.image for page in chunk if isinstance(page.image, UserError)]
        others += [page.others for page in chunk if page.is_last and page.others]
        on_progress(sum(page.is_last for page in chunk))
    if others:
        on_note(
            f"{sum(others)} pages of {len(others)} files are previews, reduced copies or frames, and are no figures"
        )
    if len(errors.errors) == len(predictions):
        errors.raise_if_any()
    return predictions


def _pages(sources: Iterable[Source], needs_px: int) -> Iterator[Page]:
    """Yield the pages of all files; the first error of a file is its last page."""
    for path, mpp_um, only in sources:
        page = only or 0
        try:
            for page, image, is_last, others in images.iter_figures(path, only, mpp_um):
                images.check_large_enough(image, needs_px, path)
                yield Page(path, page, images.center_crop(image, needs_px).transpose(2, 0, 1), is_last, others)
        except UserError as error:
            yield Page(path, page, error, True)


def _read_ahead(pages: Iterator[Page]) -> Iterator[list[Page]]:
    """Yield chunks of pages; the next one is read while the caller works on the last."""
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(lambda: list(islice(pages, CHUNK)))
        while chunk := ahead.result():
            ahead = pool.submit(lambda: list(islice(pages, CHUNK)))
            yield chunk


def _predict(predictor: Predictor, chunk: list[Page], explain: bool) -> Iterator[Prediction]:
    """Yield the predictions for the pages of a chunk, in order."""
    readable = [page.image for page in chunk if not isinstance(page.image, UserError)]
    scored = _predict_images(predictor, readable, explain) if readable else iter(())
    for path, page, image, *_ in chunk:
        if isinstance(image, UserError):
            yield failed(path, page, image)
        else:
            yield msgspec.structs.replace(next(scored), path=str(path), page=page)


def _predict_images(predictor: Predictor, image_list_3HW: list[np.ndarray], explain: bool) -> Iterator[Prediction]:
    ids = [str(i) for i in range(len(image_list_3HW))]
    rows, ood_N = predictor.predict(ids, np.stack(image_list_3HW))
    patches = pd.DataFrame({"patch_id": ids, "dataset": "images"}).reindex(columns=list(PATCH_COLUMNS))
    combined = predictor.combiner.apply(Scores(patches, rows))
    decided = predictor.decision.apply(combined, guard=False).set_index("patch_id").loc[ids]
    sd_N = _member_sd(predictor, rows, ids)
    columns = [decided[name].tolist() for name in ("probability", "decision", "class")]
    for image, probability, decision, label_name, sd, ood in zip(image_list_3HW, *columns, sd_N, ood_N, strict=True):
        flags = (UNCERTAIN,) * (decision == UNCERTAIN) + (OUT_OF_DISTRIBUTION,) * bool(ood > 0)
        explanation = predictor.explain(image) if explain else ()
        yield Prediction("", 0, probability, decision, label_name, float(sd), flags, explanation)


def _member_sd(predictor: Predictor, rows: pd.DataFrame, ids: list[str]) -> np.ndarray:
    """Return the sample SD of the calibrated probabilities over members (over views where there is one member)."""
    by = "member" if len(predictor.members) > 1 else "view"
    logit = rows.groupby(["patch_id", by], sort=False)["logit"].mean().unstack(by).loc[ids].to_numpy(float)
    probability = predictor.decision.calibration.probability(logit.ravel()).reshape(logit.shape)
    sd_N: np.ndarray = probability.std(1, ddof=1) if logit.shape[1] > 1 else probability[:, 0] * float("nan")
    return sd_N
