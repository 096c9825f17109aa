"""Open a classifier, and classify images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mitotype.api.predictions import Predictions
from mitotype.api.progress import Progress
from mitotype.core.cpu_limit import use_threads
from mitotype.core.devices import resolve_device
from mitotype.deploy import classify as classification
from mitotype.deploy import operating, predictor
from mitotype.deploy import predictions as prediction_files
from mitotype.deploy.predictions import Prediction
from mitotype.deploy.predictor import Predictor
from mitotype.deploy.sources import list_images


def open_bundle(
    source: str | os.PathLike[str] = "default", *, device: str = "cpu", threads: int | None = None
) -> Predictor:
    """Open a classifier, to classify with it more than once.

    Parameters
    ----------
    source : str or Path, default "default"
        Name of a bundle that ships with the package (see ``mitotype bundles``), folder of a bundle or of a finished run, or
        ``hf://OWNER/NAME@REVISION`` for one on the Hugging Face Hub, which is fetched once.
    device : str, default "cpu"
        ``cpu``, ``cuda``, ``cuda:1`` … or ``auto``.
    threads : int, optional
        Threads to compute with in this process. Default: as many as the CPUs that this process may use.

    Returns
    -------
    Predictor
        The opened members, how they are combined and how they decide.

    Raises
    ------
    UserError
        For an unknown name, a folder that is neither a bundle nor a run, files that are not as they were written, and a GPU
        that is absent.

    See Also
    --------
    classify : Classify images.
    bundle : Make a bundle of a run.

    Examples
    --------
    >>> import mitotype
    >>> predictor = mitotype.open_bundle("morphology")
    >>> predictor.members, predictor.needs_px
    (('all-seed0',), 64)
    """
    use_threads(threads)
    return predictor.open_predictor(os.fspath(source), device=resolve_device(device))


def classify(
    images: Any,
    bundle: str | os.PathLike[str] | Predictor = "default",
    *,
    mpp_um: float | None = None,
    sensitivity: float | None = None,
    specificity: float | None = None,
    explain: bool = False,
    out: str | Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    quiet: bool = True,
    on_predictions: Callable[[Sequence[Prediction]], None] = lambda predictions: None,
) -> Predictions:
    """Classify images of mitotic figures as atypical or normal.

    Parameters
    ----------
    images : path, array, PIL image, DataFrame, or several of these
        Paths of images, of folders of images, and of csv or parquet files with the column ``path``; ``image_HW3`` uint8 arrays
        (red, green, blue), or one stack ``image_NHW3``; PIL images; or a data frame with the column ``path``, and ``mpp_um``
        and ``page`` where they vary. One mitotic figure is in the middle of each image.
    bundle : str, Path or Predictor, default "default"
        What `open_bundle` takes, or what it returns.
    mpp_um : float, optional
        The µm/px of the images where it is not 0.25.
    sensitivity, specificity : float, optional
        One of them sets the threshold: to the highest one with this sensitivity, or the lowest one with this specificity, on the
        out-of-fold rows of the bundle. From 0.5 to 0.995. Default: the bundle's own threshold.
    explain : bool, default False
        Add phrases of the shape descriptors, for bundles that have them ("morphology").
    out : str or Path, optional
        File to write: .csv, .parquet or .json. Where the work is interrupted, the predictions so far are in NAME.partial.csv.
    device : str, default "cpu"
        ``cpu``, ``cuda``, ``cuda:1`` … or ``auto``. Not used for an opened Predictor.
    threads : int, optional
        Threads to compute with in this process. Default: as many as the CPUs that this process may use.
    quiet : bool, default True
        Show no progress.
    on_predictions : callable, optional
        Called with the next predictions as soon as they are made.

    Returns
    -------
    Predictions
        A sequence with one prediction per figure, in the order of the images. An image that cannot be read has an ``error``.

    Raises
    ------
    UserError
        For paths that are absent, arrays that are no images, no image that could be classified, and an operating point that
        the bundle does not have; and for a file that cannot be written or holds something else.

    See Also
    --------
    open_bundle : Open a classifier once for several calls.
    Predictions : What is returned.

    Notes
    -----
    For Research Use Only. Not for use in diagnostic procedures.

    Examples
    --------
    >>> import mitotype
    >>> predictions = mitotype.classify(mitotype.example_images(), "morphology", sensitivity=0.95)
    >>> round(predictions.operating_point.specificity, 2)
    0.57
    >>> import numpy as np
    >>> image_HW3 = np.full((64, 64, 3), 220, np.uint8)
    >>> mitotype.classify(image_HW3)[0].flags
    ('uncertain', 'out of distribution')
    """
    sources = list_images(images, mpp_um)
    if out is not None:
        prediction_files.check_output(Path(out), [str(source.path) for source in sources])
    if isinstance(bundle, Predictor):
        use_threads(threads)
        opened = bundle
    else:
        opened = open_bundle(bundle, device=device, threads=threads)
    opened, point = operating.at_operating_point(opened, sensitivity, specificity)
    predictions: list[Prediction] = []
    with prediction_files.completed(Path(out) if out else None, predictions), Progress(quiet=quiet) as progress:
        advance = progress.counter("classify", len(sources))
        for more, n_files in classification.classify_chunks(opened, sources, explain=explain):
            predictions += more
            on_predictions(more)
            advance(n_files)
    arrays = {str(source.path): source.image for source in sources if source.image is not None}
    return Predictions(tuple(predictions), point, arrays)
