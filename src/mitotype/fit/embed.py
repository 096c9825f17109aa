"""Embed: pictures → embeddings of a frozen trunk or of a feature, made once and kept where two processes may share them.

A cache is a folder named by everything that decides a number in it: the weights' digest, the facts, size, frame, view and
precision, the libraries that run the net, the code of a feature. In it lie segments, each one whole file with the digests of
what it holds: of pictures as they come, after they were brought to one scale and size. Who embeds holds the folder's lock; a
process that is killed leaves the segments that it finished and no lock.

Shapes: N patches, D width of what is kept: for a transformer the class token and the mean of the patch tokens side by side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files, pictures
from mitotype.core.mistakes import Mistake

if TYPE_CHECKING:
    import numpy as np

    from mitotype.backbones.weights import Base

SCHEMA = 2
SEGMENT = 512  # pictures; what a kill costs at most
FACTS = (  # that decide a number
    "offline_arch", "arch_options", "grid_antialias", "mean", "std", "prefix_tokens", "interpolation", "resize_px",
)  # fmt: skip
Done = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is embedded how. `name` is a backbone (then with a `base`) or a feature; `view` is one test view."""

    name: str
    base: Base | None
    size_px: int
    frame: str
    view: str = "identity"
    precision: str = "fp32"
    options: tuple[tuple[str, Any], ...] = ()
    colours: str = ""
    device: str = field(default="cpu", compare=False)

    @property
    def is_feature(self) -> bool:
        return self.base is None

    def told(self) -> dict[str, Any]:
        """Everything that decides a number, as plain data."""
        from importlib.metadata import version

        from mitotype.views import Frame

        one: dict[str, Any] = {"schema": SCHEMA, "name": self.name, "frame": Frame(self.frame).sentence}
        if self.base is None:
            from mitotype.features import features

            feature = features.get(self.name)
            libraries = {name: version(name) for name in ("numpy", "scipy", "scikit-image")}
            return one | {"descriptors": list(feature.names), "code": _code(), **libraries}
        from mitotype.backbones import backbones

        facts = backbones.get(self.name).facts
        kept = {name: getattr(facts, name) for name in FACTS}
        return one | {
            "weights": self.base.digest,
            "facts": kept,
            "size_px": self.size_px,
            "options": dict(self.options),
            "colours": self.colours,
            "view": self.view,
            "precision": self.precision,
            "timm": version("timm"),
            "torch": version("torch"),
        }

    @property
    def key(self) -> str:
        return files.digest_of(json.dumps(files.plain(self.told()), sort_keys=True))[:32]


def _code() -> str:
    """Digest of the code that computes features."""
    from mitotype import features

    return files.digest_of(*(path.read_bytes() for path in sorted(Path(features.__path__[0]).glob("*.py"))))


def embeddings(ask: Ask, image_N3HW: np.ndarray, done: Done = lambda n: None) -> np.ndarray:
    """`embedding_ND`, float32, of uint8 pictures in their order; what the cache lacks is embedded, segment by segment."""
    import numpy as np

    digests = [pictures.digest(image_3HW) for image_3HW in image_N3HW]
    folder = pictures.cache_folder() / "embeddings" / f"{ask.name}-{ask.key}"
    with files.locked(folder / ".lock"):
        if not (folder / "asked.json").is_file():
            files.write_json(folder / "asked.json", ask.told())
        kept = _kept(folder)
        lacking = list({digest: number for number, digest in enumerate(digests) if digest not in kept}.values())
        done(len(digests) - len(lacking))
        if lacking:
            run = _runner(ask)
            for start in range(0, len(lacking), SEGMENT):
                part = lacking[start : start + SEGMENT]
                embedding_ND = run(np.ascontiguousarray(image_N3HW[part]))
                names = [digests[number] for number in part]
                _write(folder, names, embedding_ND)
                kept.update(zip(names, embedding_ND, strict=True))
                done(len(part))
    return np.stack([kept[digest] for digest in digests])


def _kept(folder: Path) -> dict[str, np.ndarray]:
    """Digest → embedding of every whole segment."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                names = json.loads(file.metadata()["digests"])
                found.update(zip(names, file.get_tensor("embedding_ND"), strict=True))
        except (SafetensorError, KeyError, ValueError) as error:
            raise Mistake(
                f"The cached embeddings '{path}' are damaged.", fix="delete that file: it is made again"
            ) from error
    return found


def _write(folder: Path, names: Sequence[str], embedding_ND: np.ndarray) -> None:
    from safetensors.numpy import save_file

    with files.atomic(folder / f"{files.digest_of(*names)[:32]}.safetensors") as part:
        save_file({"embedding_ND": embedding_ND}, part, {"digests": json.dumps(list(names))})


def _runner(ask: Ask) -> Callable[[np.ndarray], np.ndarray]:
    """The function `image_N3HW → embedding_ND`; the trunk is loaded once, and only if something is lacking."""
    if ask.base is None:
        from mitotype.features import features

        feature = features.get(ask.name)
        return lambda image_N3HW: feature.describe(image_N3HW).value_BD
    import numpy as np

    from mitotype.backbones import backbones, weights
    from mitotype.backbones.classifier import Architecture, build
    from mitotype.backbones.predict import Way, predict
    from mitotype.fit import machine
    from mitotype.views import Frame, views_at_test

    facts = backbones.get(ask.name).facts
    widest = max(facts.pooling, key=lambda name: facts.pooling[name])
    told = Architecture(
        ask.name,
        ask.size_px,
        widest,
        options=ask.options,
        adaptation="probe",
        base=ask.base.digest,
        colours=ask.colours,
    )
    trunk = build(told, seed=0, base_state=weights.state(ask.base)).to(ask.device)
    view = [(name, made) for name, made in views_at_test(_sentence_of(ask.view)) if name == ask.view]
    frame, way = Frame(ask.frame), Way(device=ask.device, dtype=machine.DTYPES[ask.precision])

    def run(image_N3HW: np.ndarray) -> np.ndarray:
        said = predict(trunk, image_N3HW, frame, view, way)
        return said.embedding_ND.astype(np.float32)

    return run


def _sentence_of(view: str) -> str:
    """The sentence of test views in which a view's name stands."""
    from mitotype.views import views_at_test

    return next(text for text in ("identity", "d4", "around") if view in dict(views_at_test(text)))


def pooled(embedding_ND: np.ndarray, name: str, pooling: str) -> np.ndarray:
    """The named pooling out of what is kept: the class token's half, the patch tokens' half, or both."""
    from mitotype.backbones import backbones

    width = backbones.get(name).facts.pooling[pooling]
    if embedding_ND.shape[1] == width:
        return embedding_ND
    return embedding_ND[:, :width] if pooling == "cls" else embedding_ND[:, -width:]
