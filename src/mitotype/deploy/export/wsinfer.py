"""A folder for the WSInfer extension of QuPath: TorchScript of the whole bundle, and config.json.

The extension reads a square of `patch_size_pixels` × `spacing_um_px` around the centroid of a detection, resizes it, divides
by 255, and takes the softmax. https://github.com/qupath/qupath-extension-wsinfer
"""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mitotype.core import extras, files
from mitotype.core.schema import MPP_UM
from mitotype.deploy.bundle import find_bundle
from mitotype.deploy.export import export_folder
from mitotype.deploy.export.export_folder import CLASS_TITLES
from mitotype.deploy.predictor import open_predictor

if TYPE_CHECKING:
    from torch import nn

NET, CONFIG = "torchscript_model.pt", "config.json"
SPEC_VERSION = "1.0"  # the only one of WSInfer's zoo
HOW_TO = """## In QuPath

1. Put this folder into the model directory of the WSInfer extension, as `local/{name}`.
2. Select detections of mitotic figures, and no annotations.
3. *Extensions → WSInfer*: select the model `{name}`, and run it; or run `qupath.ext.wsinfer.WSInfer.runInference("{name}")`.

Each detection gets its class and a measurement per class. QuPath itself has not run this folder."""


def export(source: str, out: Path) -> Path:
    """Write the folder of a bundle and return its path. The name of the folder is that of the model in QuPath."""
    predictor = open_predictor(str(find_bundle(source)), runtime="torch")
    with extras.translated():
        import torch

        from mitotype.deploy.export.two_class_net import TwoClassNet

    side_px = predictor.needs_px
    raw = _torchscript(TwoClassNet(predictor, scale=255).eval(), side_px)
    net = _quietly_loaded(raw)

    def run(image_N3SS: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return net(torch.from_numpy(image_N3SS) / 255).numpy()

    record = export_folder.check("wsinfer", predictor, side_px, run, CLASS_TITLES)
    config = {
        "spec_version": SPEC_VERSION,
        "architecture": f"mitotype {record.bundle}",
        "num_classes": len(CLASS_TITLES),
        "patch_size_pixels": side_px,
        "spacing_um_px": MPP_UM,
        "class_names": CLASS_TITLES,
        "transform": [{"name": "Resize", "arguments": {"size": side_px}}, {"name": "ToTensor"}],
    }
    with export_folder.created(out, (NET, CONFIG), predictor):
        files.write_bytes(out / NET, raw)
        files.write_text(out / CONFIG, json.dumps(config, indent=2) + "\n")
        export_folder.write_shared(out, record, predictor, HOW_TO.format(name=out.name))
    return out


def _torchscript(net: nn.Module, side_px: int) -> bytes:
    """Return the net as TorchScript with its constants folded: kernels of group convolutions are expanded once, here."""
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of torch: TorchScript is deprecated; sides of images are constants
        traced = torch.jit.trace(net, torch.rand(2, 3, side_px, side_px), check_trace=False)
        torch.jit.save(torch.jit.freeze(traced), buffer)
    return buffer.getvalue()


def _quietly_loaded(raw: bytes) -> nn.Module:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(io.BytesIO(raw))
