"""Pretrained weights, embeddings, and checks of the machine."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mitotype.api.progress import Progress, no_progress
from mitotype.backbones import backbones, weights
from mitotype.backbones.weights import PUBLISHED, PretrainedWeights
from mitotype.core.errors import UserError
from mitotype.core.packing import pack_images
from mitotype.core.schema import Cohort
from mitotype.deploy.doctor import Check, check_machine
from mitotype.deploy.weights_check import check_backbone
from mitotype.features import features
from mitotype.fit import embeddings
from mitotype.fit.embeddings import EmbeddingKey
from mitotype.fit.environment import resolve_device


def fetch_weights(backbone: str, source: Path | None = None) -> PretrainedWeights:
    """Download the published weights of a backbone, or register a file of them, and check that they fit its net."""
    if source:
        return weights.register_local(backbone, str(source))
    pretrained = weights.find(backbone, PUBLISHED)
    weights.check_fits(backbone, Path(pretrained.path))
    return pretrained


def embed(
    name: str,
    cohort: Cohort,
    *,
    init_from: str = PUBLISHED,
    frame: str = "crop(64)",
    pooling: str = "",
    device: str = "auto",
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """Return patch_id and the embedding of every patch by a frozen backbone, or the values of a feature; they are cached.

    `init_from` is "published", a file or folder of weights, or a run; `pooling` is a variant of the backbone's spec.
    """
    spec = None if name in features else backbones.get(name).spec
    if spec and pooling and pooling not in spec.pooling:
        raise UserError(f"{name} has no pooling '{pooling}'.", allowed=", ".join(sorted(spec.pooling)))
    device = resolve_device(device)
    key = EmbeddingKey(
        name=name,
        base=weights.find(name, init_from) if spec else None,
        size_px=spec.size_px if spec else 0,
        frame=frame,
        precision=spec.precision if spec and device.startswith("cuda") else "fp32",
        device=device,
    )
    pack = pack_images(cohort)
    with progress(f"embed {cohort.name}", len(cohort)) as advance:
        value_ND = embeddings.embed(key, pack.image_N3HW, advance)
    if spec:
        value_ND = embeddings.select_pooling(value_ND, name, pooling or spec.default_pooling)
    columns = [f"e{i}" for i in range(value_ND.shape[1])] if spec else list(features.get(name).names)
    patch_ids = cohort.rows[["patch_id"]].reset_index(drop=True)
    return pd.concat([patch_ids, pd.DataFrame(value_ND, columns=columns)], axis=1)


def doctor(backbone: str | None = None, weights: str | None = None) -> list[Check]:
    """Return the checks of this machine, or of a backbone; `weights` (a path or "published") are loaded and run too."""
    if weights and not backbone:
        raise UserError("The backbone of these weights is not given.", fix="mitotype doctor BACKBONE --weights FILE")
    return check_backbone(backbone, weights) if backbone else check_machine()
