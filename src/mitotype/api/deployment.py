"""Bundles: make one of a run, open it, classify images, publish it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from mitotype.api.progress import Progress, no_progress
from mitotype.deploy import classify as classification
from mitotype.deploy.from_run import bundle_from_run
from mitotype.deploy.hub import push as push
from mitotype.deploy.predictions import Prediction
from mitotype.deploy.predictor import Predictor, open_predictor
from mitotype.fit.environment import resolve_device

bundle = bundle_from_run


def open_bundle(source: str | Path = "default", *, device: str = "cpu") -> Predictor:
    """Open a shipped bundle by its name, or a bundle or finished run by its folder."""
    return open_predictor(str(source), device=resolve_device(device))


def classify(
    images: Iterable[str | Path],
    bundle: str | Path | Predictor = "default",
    *,
    mpp_um: float | None = None,
    explain: bool = False,
    device: str = "cpu",
    progress: Progress = no_progress,
    on_note: Callable[[str], None] = lambda text: None,
) -> list[Prediction]:
    """Classify images: files, folders and csv lists, in order, every figure of each.

    `mpp_um` is the µm/px of images that are not at 0.25; `explain` adds phrases of the shape descriptors, for bundles that
    have them. An image that cannot be read has its `error`; raises one UserError that lists them if nothing can be classified.
    """
    sources = classification.list_images([str(image) for image in images], mpp_um)
    opened = bundle if isinstance(bundle, Predictor) else open_bundle(bundle, device=device)
    with progress("classify", len(sources)) as advance:
        return classification.classify(opened, sources, explain=explain, on_progress=advance, on_note=on_note)
