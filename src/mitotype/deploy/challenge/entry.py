"""What the container runs: the stack of an input folder is classified into an output folder. It needs no network."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mitotype.core import images, records
from mitotype.core.cpu_limit import use_threads
from mitotype.core.devices import resolve_device
from mitotype.core.errors import UserError
from mitotype.core.run_layout import BundleRecord, names, read_member
from mitotype.core.schema import MPP_UM, NOTICE
from mitotype.deploy.challenge import interface
from mitotype.deploy.classify import classify
from mitotype.deploy.predictions import Prediction
from mitotype.deploy.predictor import open_predictor
from mitotype.deploy.sources import Source

MODEL_PATH = "MODEL_PATH"  # environment variable: a bundle in place of the one default inference.py
UPLOADED = Path("/opt/ml/model")  # where the platform unpacks a model that was uploaded on its own


def main(model_dir: Path, args: Sequence[str] | None = None) -> None:
    """Classify the stack of /input, or of the folder in the arguments, with the bundle in `model_dir`."""
    parser = argparse.ArgumentParser(description="Classify a stack of mitotic figures.", epilog=NOTICE)
    parser.add_argument("--input", type=Path, default=Path("/input"), help="folder with inputs.json and the stack")
    parser.add_argument("--output", type=Path, default=Path("/output"), help="folder of the result")
    options = parser.parse_args(args)
    print(NOTICE, file=sys.stderr)
    try:
        predictions = classify_stack(options.input, find_model(model_dir))
        print(interface.write_classifications(options.output, predictions))
    except UserError as error:
        sys.exit(str(error))


def find_model(default: Path) -> Path:
    """Return the folder of the bundle: $MODEL_PATH, else the one that was uploaded on its own, else `default`."""
    if os.environ.get(MODEL_PATH):
        return Path(os.environ[MODEL_PATH])
    return UPLOADED if names.is_bundle(UPLOADED) else default


def classify_stack(input_dir: Path, model_dir: Path) -> list[Prediction]:
    """Return the predictions for every page of a stack at its own spacing, in the order of the pages.

    Raises a UserError if a page is no figure or cannot be read: the platform refuses an output of another length.
    """
    use_threads()
    stack = interface.find_stack(input_dir)
    header = images.read_header(stack)
    if header.others:
        raise UserError(f"{header.others} pages of '{stack}' are previews or masks, and are no figures.")
    mpp_um = interface.spacing_um(header)
    if mpp_um is None:
        print(f"'{stack.name}' states no plausible spacing; {MPP_UM} µm/px is used", file=sys.stderr)
    record = records.read(model_dir / names.BUNDLE, BundleRecord, what="bundle")  # files are checked when it is opened
    device = resolve_device("auto") if needs_torch(model_dir, record) else "cpu"
    predictor = open_predictor(str(model_dir), device=device)
    predictions = classify(predictor, [Source(stack, MPP_UM if mpp_um is None else mpp_um)])
    failed = next((prediction.error for prediction in predictions if prediction.error), "")
    if failed:
        raise UserError(failed)
    return predictions


def needs_torch(model_dir: Path, record: BundleRecord) -> bool:
    """Return whether a bundle has nets and no graph of them."""
    if names.GRAPH in record.files:
        return False
    return any(read_member(names.member_dir(model_dir, name)).feature is None for name in record.members)
