"""Pretrained weights and embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mitotype.api.data import Data, read_cohort, source_names
from mitotype.api.progress import Progress
from mitotype.backbones import backbones, weights
from mitotype.backbones.weights import PUBLISHED
from mitotype.core import files, outputs
from mitotype.core.cpu_limit import use_threads
from mitotype.core.devices import resolve_device
from mitotype.core.errors import UserError
from mitotype.core.packing import pack_images
from mitotype.features import features
from mitotype.fit import embeddings
from mitotype.fit.embeddings import EmbeddingKey


@dataclass(frozen=True)
class FetchedWeights:
    """Pretrained weights on this machine, which fit their backbone; `fetch_weights` returns it.

    Parameters
    ----------
    backbone : str
        Name of the backbone.
    digest : str
        SHA-256 of the weights.
    source : str
        Where they come from.
    license : str
        License of the weights.

    See Also
    --------
    fetch_weights : Download or register pretrained weights.

    Examples
    --------
    >>> from mitotype import FetchedWeights
    >>> FetchedWeights("h-optimus-0", "0" * 64, "model.safetensors", "Apache-2.0").license
    'Apache-2.0'
    """

    backbone: str
    digest: str
    source: str
    license: str


def fetch_weights(backbone: str, source: str | Path | None = None) -> FetchedWeights:
    """Download or register the pretrained weights of a backbone, for later use without a network.

    Parameters
    ----------
    backbone : str
        Its name: see ``mitotype backbones``.
    source : str or Path, optional
        A file of weights, or a folder with one. Default: the published weights.

    Returns
    -------
    FetchedWeights
        Digest, source and license.

    Raises
    ------
    UserError
        For an unknown backbone, weights that do not fit its net, and a hub that refuses.

    See Also
    --------
    embed : Return embeddings of patches.
    doctor : Check this machine or a backbone.

    Examples
    --------
    >>> import mitotype
    >>> weights = mitotype.fetch_weights("h-optimus-0", "model.safetensors")  # doctest: +SKIP
    """
    if source:
        pretrained = weights.register_local(backbone, str(source))
    else:
        pretrained = weights.find(backbone, PUBLISHED)
        weights.check_fits(backbone, Path(pretrained.path))
    return FetchedWeights(backbone, pretrained.digest, pretrained.source, backbones.get(backbone).spec.license)


def embed(
    backbone: str,
    data: Data,
    *,
    init_from: str = PUBLISHED,
    frame: str = "crop(64)",
    pooling: str = "",
    mpp_um: float | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    quiet: bool = True,
) -> pd.DataFrame:
    """Return the embedding of every patch by a frozen backbone, or the values of a feature; they are cached.

    Parameters
    ----------
    backbone : str
        A backbone or a feature: see ``mitotype backbones`` and ``mitotype features``.
    data : str, Path, DataFrame, Cohort, or several of these
        Patches, see `read_cohort`.
    init_from : str, default "published"
        ``published``, a file or folder of weights, or the folder of a run.
    frame : str, default "crop(64)"
        How images are framed, in px at 0.25 µm/px.
    pooling : str, default ""
        Variant of pooling. Default: that of the backbone.
    mpp_um : float, optional
        The µm/px of the images where it is not stated and not 0.25.
    out : str or Path, optional
        File to write: .parquet or .csv.
    device : str, default "auto"
        Such as ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    threads : int, optional
        Threads to compute with in this process. Default: as many as the CPUs that this process may use.
    quiet : bool, default True
        Show no progress.

    Returns
    -------
    pandas.DataFrame
        One row per patch: ``patch_id``, then ``e0``, ``e1`` … or the names of the feature's descriptors.

    Raises
    ------
    UserError
        For an unknown backbone or pooling, weights that are absent, and images that cannot be read.

    See Also
    --------
    fetch_weights : Download or register pretrained weights.

    Examples
    --------
    >>> import mitotype
    >>> rows = mitotype.embed("morphology", mitotype.example_images()[0].parent)
    >>> rows.shape[0], rows.columns[0]
    (6, 'patch_id')
    """
    use_threads(threads)
    if out is not None:
        outputs.check_file(Path(out), files.TABLES, inputs=source_names(data))
    spec = None if backbone in features else backbones.get(backbone).spec
    if spec and pooling and pooling not in spec.pooling:
        raise UserError(f"{backbone} has no pooling '{pooling}'.", allowed=", ".join(sorted(spec.pooling)))
    device = resolve_device(device)
    key = EmbeddingKey(
        name=backbone,
        base=weights.find(backbone, init_from) if spec else None,
        size_px=spec.size_px if spec else 0,
        frame=frame,
        precision=spec.precision if spec and device.startswith("cuda") else "fp32",
        device=device,
    )
    cohort = read_cohort(data, mpp_um=mpp_um)
    pack = pack_images(cohort)
    with Progress(quiet=quiet) as progress:
        advance = progress.counter(f"embed {cohort.name}", len(cohort))
        value_ND = embeddings.embed(key, pack.image_N3HW, advance)
    if spec:
        value_ND = embeddings.select_pooling(value_ND, backbone, pooling or spec.default_pooling)
    columns = [f"e{i}" for i in range(value_ND.shape[1])] if spec else list(features.get(backbone).names)
    patch_ids = cohort.rows[["patch_id"]].reset_index(drop=True)
    rows = pd.concat([patch_ids, pd.DataFrame(value_ND, columns=columns)], axis=1)
    if out is not None:
        files.write_table(Path(out), rows)
    return rows
