"""A folder of timm: config.json and model.safetensors, for `timm.create_model("local-dir:FOLDER")` and the Hugging Face Hub."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mitotype.core import extras, files
from mitotype.core.errors import UserError, first_line
from mitotype.core.schema import CLASS_NAMES
from mitotype.deploy.bundle import find_bundle
from mitotype.deploy.export import export_folder
from mitotype.deploy.predictor import Predictor, open_predictor

if TYPE_CHECKING:
    from torch import nn

    from mitotype.deploy.export.timm_net import TimmNet

NET, CONFIG = "model.safetensors", "config.json"
HOW_TO = """## In timm

```python
net = timm.create_model("local-dir:{name}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
logits = net(transform(image)[None])  # image: the middle {side_px} × {side_px} px at 0.25 µm/px
```{views}"""
VIEWS = "\n\nThe bundle scores {n} views of an image and combines them; this net scores the image as it is."


def export(source: str, out: Path) -> Path:
    """Write the folder of a bundle with one net and return its path. Raises a UserError for a net that timm does not build."""
    predictor = open_predictor(str(find_bundle(source)), runtime="torch")
    with extras.translated():
        from mitotype.deploy.export.timm_net import timm_net

    made = timm_net(predictor)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        _save(made, folder)
        run = _runner(_loaded(folder, made), made)
        record = export_folder.check("timm", _single_view(predictor), predictor.needs_px, run, CLASS_NAMES)
        views = VIEWS.format(n=made.n_views) if made.n_views > 1 else ""
        how_to = HOW_TO.format(name=out.name, side_px=record.side_px, views=views)
        with export_folder.created(out, (NET, CONFIG), predictor):
            for name in (NET, CONFIG):
                files.copy(folder / name, out / name)
            export_folder.write_shared(out, record, predictor, how_to)
    return out


def _save(made: TimmNet, folder: Path) -> None:
    """Write the files of timm: what the net was trained on replaces what timm's own configuration of it is."""
    from timm.models import save_for_hf

    net, classifier = made.net, made.classifier
    size_px, spec = classifier.size_px, classifier.spec
    own = {key: net.pretrained_cfg.get(key) for key in ("architecture", "first_conv", "classifier", "fixed_input_size")}
    net.pretrained_cfg = net.default_cfg = {
        **own,
        "num_classes": len(CLASS_NAMES),
        "input_size": (3, size_px, size_px),
        "interpolation": spec.interpolation,
        "crop_pct": spec.size_px / spec.resize_px if spec.resize_px and made.side_px != size_px else 1.0,
        "crop_mode": "center",
        "mean": tuple(classifier.mean.flatten().tolist()),
        "std": tuple(classifier.std.flatten().tolist()),
    }
    labels = {
        "label_names": list(CLASS_NAMES),
        "label_descriptions": {name: f"{name} mitotic figure" for name in CLASS_NAMES},
    }
    save_for_hf(net, str(folder), model_config=labels, model_args=made.model_args, safe_serialization=True)


def _loaded(folder: Path, made: TimmNet) -> nn.Module:
    """Return the net as timm builds it from the files."""
    import timm

    try:
        net: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    except Exception as error:  # whatever a net's own code raises
        reason = first_line(error)
        backbone = made.classifier.architecture.backbone
        raise UserError(
            f"timm does not build the '{backbone}' of this bundle: {reason}.", fix="use --to onnx"
        ) from error
    return net.eval()


def _runner(net: nn.Module, made: TimmNet) -> export_folder.RunNet:
    import torch

    def run(image_N3SS: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return net(made.classifier.prepare(torch.from_numpy(image_N3SS) / 255)).numpy()

    return run


def _single_view(predictor: Predictor) -> Predictor:
    """Return the predictor with the first view alone, the image as it is."""
    return replace(predictor, combiner=msgspec.structs.replace(predictor.combiner, views=("identity",)))
