"""Cache of embeddings: images → embeddings of a frozen trunk or values of a feature, computed once and shared by processes.

A cache is a folder named by the hash of everything that determines an embedding. It contains segments, complete files of up to
SEGMENT embeddings with the digests of their images (at one scale and size). The writing process holds the folder; one that is
killed leaves the segments that it finished.

Shapes: N patches, D width: for a transformer that of the class token and the mean of the patch tokens side by side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mitotype import features as features_package
from mitotype.backbones import backbones, weights
from mitotype.backbones.classifier import Architecture, build
from mitotype.backbones.predict import InferenceConfig, predict
from mitotype.backbones.weights import PretrainedWeights
from mitotype.core import files, images, records
from mitotype.core.cache import held, optional
from mitotype.core.records import Record
from mitotype.features import features
from mitotype.fit.context import MemberContext
from mitotype.fit.environment import DTYPES
from mitotype.transforms import Frame, tta_views

SCHEMA = 2
SEGMENT = 512  # images; a kill loses at most these
KEY_FILE = "key.json"  # for people; nothing reads it
OnProgress = Callable[[int], None]


# What key.json contains and what is hashed. The keys stay as they are, whatever the fields are called: they decide the hash.


class FeatureKey(Record, frozen=True, rename={"scikit_image": "scikit-image"}):
    schema: int
    name: str
    frame: str
    descriptors: tuple[str, ...]
    code: str
    numpy: str
    scipy: str
    scikit_image: str


class TrunkFacts(Record, frozen=True):
    offline_arch: str
    arch_options: Mapping[str, Any]
    grid_antialias: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    prefix_tokens: int
    interpolation: str
    resize_px: int | None


class BackboneKey(Record, frozen=True):
    schema: int
    name: str
    frame: str
    weights: str
    facts: TrunkFacts
    size_px: int
    options: Mapping[str, Any]
    normalization: str = msgspec.field(name="colours")  # as 0.1.0 hashed it
    view: str
    precision: str
    timm: str
    torch: str


@dataclass(frozen=True, kw_only=True)
class EmbeddingKey:
    """Everything that determines an embedding. `name` is a backbone (then with a `base`) or a feature; `view` a test-time view."""

    name: str
    base: PretrainedWeights | None
    size_px: int
    frame: str
    view: str = "identity"
    precision: str = "fp32"
    model_kwargs: tuple[tuple[str, Any], ...] = ()
    normalization: str = ""
    device: str = field(default="cpu", compare=False)

    def record(self) -> FeatureKey | BackboneKey:
        """Return what is hashed and written."""
        frame = Frame(self.frame).spec
        if self.base is None:
            libraries = [version(name) for name in ("numpy", "scipy", "scikit-image")]
            return FeatureKey(SCHEMA, self.name, frame, features.get(self.name).names, _feature_code(), *libraries)
        spec = backbones.get(self.name).spec
        facts = TrunkFacts(
            offline_arch=spec.arch, arch_options=spec.arch_kwargs, grid_antialias=spec.pretrained_antialias,
            mean=spec.normalization.mean, std=spec.normalization.std, prefix_tokens=spec.prefix_tokens,
            interpolation=spec.interpolation, resize_px=spec.resize_px,
        )  # fmt: skip
        return BackboneKey(
            schema=SCHEMA, name=self.name, frame=frame, weights=self.base.digest, facts=facts, size_px=self.size_px,
            options=dict(self.model_kwargs), normalization=self.normalization, view=self.view, precision=self.precision,
            timm=version("timm"), torch=version("torch"),
        )  # fmt: skip

    @property
    def digest(self) -> str:
        return files.digest_of(json.dumps(records.to_builtins(self.record()), sort_keys=True))[:32]

    @property
    def folder(self) -> str:
        """The name of its folder in the cache."""
        return f"{self.name}-{self.digest}"


def _feature_code() -> str:
    """Return the digest of the code that computes features."""
    return files.digest_of(*(path.read_bytes() for path in sorted(Path(features_package.__path__[0]).glob("*.py"))))


def embed(key: EmbeddingKey, image_N3HW: np.ndarray, on_progress: OnProgress = lambda n: None) -> np.ndarray:
    """Return `embedding_ND`, float32, of uint8 images in their order; what the cache lacks is computed segment by segment."""
    digests = [images.digest(image_3HW) for image_3HW in image_N3HW]
    with held("embeddings", key.folder) as folder:
        if not (folder / KEY_FILE).is_file():
            with optional():
                records.write(folder / KEY_FILE, key.record())
        cached = _read_segments(folder)
        missing = list({digest: i for i, digest in enumerate(digests) if digest not in cached}.values())
        on_progress(len(digests) - len(missing))
        if missing:
            run = _embedder(key)
            for start in range(0, len(missing), SEGMENT):
                rows = missing[start : start + SEGMENT]
                embedding_ND = run(np.ascontiguousarray(image_N3HW[rows]))
                with optional():
                    _write_segment(folder, [digests[i] for i in rows], embedding_ND)
                cached.update(zip([digests[i] for i in rows], embedding_ND, strict=True))
                on_progress(len(rows))
    return np.stack([cached[digest] for digest in digests])


def embed_run(context: MemberContext, base: PretrainedWeights | None, view: str = "identity") -> np.ndarray:
    """Return the embeddings of every patch of a run, with the pooling of its recipe (`base` None: values of a feature)."""
    recipe = context.recipe
    precision = "fp32" if context.device == "cpu" else context.run.record.precision
    key = EmbeddingKey(
        name=recipe.backbone, base=base, size_px=recipe.size_px, frame=recipe.frame, view=view, precision=precision,
        model_kwargs=recipe.model_kwargs, normalization=recipe.normalization, device=context.device,
    )  # fmt: skip
    embedding_ND = embed(key, context.run.image_N3HW)
    return embedding_ND if base is None else select_pooling(embedding_ND, recipe.backbone, recipe.pooling)


def select_pooling(embedding_ND: np.ndarray, backbone: str, pooling: str = "") -> np.ndarray:
    """Return a pooling ("": the backbone's default) of cached embeddings: class token, mean of the patch tokens, or both."""
    spec = backbones.get(backbone).spec
    pooling = pooling or spec.default_pooling
    width = spec.pooling[pooling]
    if embedding_ND.shape[1] == width:
        return embedding_ND
    return embedding_ND[:, :width] if pooling == "cls" else embedding_ND[:, -width:]


def _read_segments(folder: Path) -> dict[str, np.ndarray]:
    """Return digest → embedding of every complete segment. A damaged one is removed: it is computed again."""
    cached: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                digests = json.loads(file.metadata()["digests"])
                cached.update(zip(digests, file.get_tensor("embedding_ND"), strict=True))
        except (SafetensorError, OSError, LookupError, TypeError, ValueError):
            path.unlink()
    return cached


def _write_segment(folder: Path, digests: Sequence[str], embedding_ND: np.ndarray) -> None:
    with files.atomic(folder / f"{files.digest_of(*digests)[:32]}.safetensors") as part:
        save_file({"embedding_ND": embedding_ND}, part, {"digests": json.dumps(list(digests))})


def _embedder(key: EmbeddingKey) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function `image_N3HW → embedding_ND` with its trunk loaded."""
    if key.base is None:
        feature = features.get(key.name)
        return lambda image_N3HW: feature.compute(image_N3HW).value_BD
    widths = backbones.get(key.name).spec.pooling
    architecture = Architecture(
        key.name, key.size_px, max(widths, key=widths.__getitem__), model_kwargs=dict(key.model_kwargs), adaptation="probe",
        base=key.base.digest, normalization=key.normalization,
    )  # fmt: skip
    trunk = build(architecture, seed=0, base_state=weights.read_state_dict(key.base)).to(key.device)
    frame, config = Frame(key.frame), InferenceConfig(device=key.device, dtype=DTYPES[key.precision])
    view = [(key.view, _view(key.view))]
    return lambda image_N3HW: predict(trunk, image_N3HW, frame, view, config).embedding_ND.astype(np.float32)


def _view(name: str) -> Callable[[Any], Any]:
    """Return the test-time view of that name."""
    return next(views[name] for spec in ("identity", "d4", "around") if name in (views := dict(tta_views(spec))))
