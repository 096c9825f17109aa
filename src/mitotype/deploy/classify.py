"""Classification: images → probability, class, decision, standard deviation of the members, and flags.

Shapes: N images, H side of an image in px.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import msgspec
import numpy as np

from mitotype.core import images
from mitotype.core.encoded_image import ImageFile
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.schema import MPP_UM
from mitotype.deploy.predictions import Prediction, failed
from mitotype.deploy.predictor import Predictor
from mitotype.deploy.runtime import MemberOutputs
from mitotype.deploy.sources import Source
from mitotype.scores.decision import UNCERTAIN

OUT_OF_DISTRIBUTION = "out of distribution"  # the flag of an image with a mean score above 0
CHUNK = 128  # pages that are read and classified at once: an interrupt loses no more
LOGGER = logging.getLogger("mitotype")


class Page(NamedTuple):
    """A page of a file as its centred `image_3HW`, or its error; the last of its file, with the pages that are no figures."""

    path: str
    page: int
    image: np.ndarray | UserError
    is_last: bool
    others: int = 0


def classify(predictor: Predictor, sources: Sequence[Source], *, explain: bool = False) -> list[Prediction]:
    """Return the predictions for every figure of every file, in order; see `classify_chunks`."""
    return [prediction for chunk, _ in classify_chunks(predictor, sources, explain=explain) for prediction in chunk]


def classify_chunks(
    predictor: Predictor, sources: Sequence[Source], *, explain: bool = False
) -> Iterator[tuple[list[Prediction], int]]:
    """Classify every figure of every file, in order: yield the next predictions and the number of files that they complete.

    With `explain` they have phrases of the shape descriptors. An image that cannot be read or is too small has its error in
    its row, and no others. Raises a UserError that lists the errors if nothing could be classified. The next images are read
    while the last ones are scored, CHUNK at a time.
    """
    if explain:
        check_explainable(predictor)
    n_predictions = 0
    errors = ErrorCollector()
    others: list[int] = []
    for chunk in _read_ahead(read_pages(sources, predictor.needs_px)):
        predictions = list(predict_pages(predictor, chunk, explain))
        n_predictions += len(predictions)
        errors.errors += [page.image for page in chunk if isinstance(page.image, UserError)]
        others += [page.others for page in chunk if page.is_last and page.others]
        yield predictions, sum(page.is_last for page in chunk)
    if others:
        LOGGER.info(
            f"note: {sum(others)} pages of {len(others)} files are previews, reduced copies or frames, and are no figures"
        )
    if len(errors.errors) == n_predictions:
        errors.raise_if_any()


def check_explainable(predictor: Predictor) -> None:
    """Raise a UserError for a predictor without shape descriptors."""
    if not predictor.descriptors:
        what = f"'{predictor.dir.name}' has no shape descriptors among its members, so there is nothing to explain."
        raise UserError(what, fix="use the bundle morphology")


def read_pages(sources: Iterable[Source], needs_px: int, limits: images.Limits = images.LIMITS) -> Iterator[Page]:
    """Yield the pages of all files, those that cannot be read as their errors; a file that cannot be opened is one page."""
    for path, mpp_um, only, image_HW3 in sources:
        page = only or 0
        try:
            if image_HW3 is not None:
                image = images.at_scale(image_HW3, MPP_UM if mpp_um is None else mpp_um, path)
                images.check_large_enough(image, needs_px, path)
                yield Page(str(path), page, _center(image, needs_px), True)
                continue
            for figure in images.iter_figures(path, only, mpp_um, limits):
                image_3HW = _checked(figure.image, needs_px, path)
                yield Page(str(path), figure.page, image_3HW, figure.is_last, figure.others)
        except UserError as error:
            yield Page(str(path), only or 0, error, True)


def _checked(image: np.ndarray | UserError, needs_px: int, path: ImageFile) -> np.ndarray | UserError:
    """Return the centre of an image as `image_3HW`, or the error of one that is too small or was not read."""
    if isinstance(image, UserError):
        return image
    try:
        images.check_large_enough(image, needs_px, path)
    except UserError as error:
        return error
    return _center(image, needs_px)


def _center(image_HW3: np.ndarray, px: int) -> np.ndarray:
    """Return the centre as `image_3HW`: a copy, as a view would hold the memory of the whole image while it waits."""
    return np.ascontiguousarray(images.center_crop(image_HW3, px).transpose(2, 0, 1))


def _read_ahead(pages: Iterator[Page]) -> Iterator[list[Page]]:
    """Yield chunks of pages; the next one is read while the caller works on the last."""
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(lambda: list(islice(pages, CHUNK)))
        while chunk := ahead.result():
            ahead = pool.submit(lambda: list(islice(pages, CHUNK)))
            yield chunk


def predict_pages(predictor: Predictor, chunk: Sequence[Page], explain: bool) -> Iterator[Prediction]:
    """Yield the predictions for the pages of a chunk, in order. The nets run once on all of them."""
    readable = [page.image for page in chunk if not isinstance(page.image, UserError)]
    scored = _predict_images(predictor, readable, explain) if readable else iter(())
    for path, page, image, *_ in chunk:
        if isinstance(image, UserError):
            yield failed(path, page, image)
        else:
            yield msgspec.structs.replace(next(scored), path=path, page=page)


def _predict_images(predictor: Predictor, image_list_3HW: list[np.ndarray], explain: bool) -> Iterator[Prediction]:
    outputs, ood_N = predictor.predict(np.stack(image_list_3HW))
    logit_N = predictor.combiner.combine_views({output.name: output.logit for output in outputs})
    decided = predictor.decision.decide(logit_N)
    columns = [column_N.tolist() for column_N in (decided.probability_N, decided.decision_N, decided.class_N)]
    sd_N = _member_sd(predictor, outputs)
    for image, probability, decision, label_name, sd, ood in zip(image_list_3HW, *columns, sd_N, ood_N, strict=True):
        flags = (UNCERTAIN,) * (decision == UNCERTAIN) + (OUT_OF_DISTRIBUTION,) * bool(ood > 0)
        explanation = predictor.explain(image) if explain else ()
        yield Prediction("", 0, probability, decision, label_name, float(sd), flags, explanation)


def _member_sd(predictor: Predictor, outputs: Sequence[MemberOutputs]) -> np.ndarray:
    """Return the sample SD of the calibrated probabilities over members (over views where there is one member)."""
    logit_MVN = [np.array(list(output.logit.values()), float) for output in outputs]
    logit_MN = np.stack([logit_VN.mean(0) for logit_VN in logit_MVN]) if len(outputs) > 1 else logit_MVN[0]
    probability_MN = predictor.decision.calibration.probability(logit_MN)
    sd_N: np.ndarray = probability_MN.std(0, ddof=1) if len(logit_MN) > 1 else probability_MN[0] * float("nan")
    return sd_N
