"""model.onnx: the nets of a bundle as one graph with preparation, views, combiner and calibration in it.

Weights that half precision holds exactly are stored in it, equal ones once, and those of group convolutions by their base
kernels. A session expands them when it opens; all that is constant and small is folded here.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from mitotype.core import extras, files, images, records
from mitotype.core.errors import UserError
from mitotype.core.examples import example_paths
from mitotype.core.folder_lock import exclusive, remove_lock
from mitotype.core.run_layout import GraphRecord, bundle_digest, graph_digest, names, read_bundle
from mitotype.core.schema import PATCH_PX
from mitotype.deploy.bundle import find_bundle
from mitotype.deploy.onnx_runtime import INPUT, OnnxRuntime, output_names
from mitotype.deploy.predictor import Predictor, open_predictor

OPSET = 20
FOLDED_ELEMENTS = 2048  # larger results are left to the session: expanded kernels
DECIDED = ["calibrated_logit", "probability"]  # outputs of a bundle whose members are all nets
TOLERANCE = 1e-4  # between torch and the graph
N_CHECKED = 8  # random images
LOGGER = logging.getLogger("mitotype")


def export(source: str, out: Path) -> Path:
    """Write the graph of a bundle to a file and return its path."""
    files.write_bytes(out, to_onnx(find_bundle(source)))
    return out


def add_graph(source: str) -> Path:
    """Write the graph of a bundle into the bundle, whose digest changes, and return its path.

    Weights, decision and card are left as they are.
    """
    folder = find_bundle(source)
    path = folder / names.GRAPH
    with exclusive(folder):
        record, raw = read_bundle(folder), to_onnx(folder)
        digests = dict(sorted((record.files | {names.GRAPH: hashlib.sha256(raw).hexdigest()}).items()))
        record = replace(record, format=2, files=digests)
        files.write_bytes(path, raw)
        records.write(folder / names.BUNDLE, replace(record, digest=bundle_digest(record)))
        remove_lock(folder)  # a bundle is its files and nothing else
    return path


def to_onnx(folder: Path) -> bytes:
    """Return the graph of a bundle. Raises a UserError for a frame other than a crop, and for outputs unlike torch's."""
    predictor = open_predictor(str(folder), runtime="torch")
    with extras.translated():
        import onnxscript.optimizer
        import torch

        from mitotype.deploy.export.bundle_net import BundleNet

    net = BundleNet(predictor).eval()
    outputs = [name for member in net.views for name in output_names(member)]
    outputs += DECIDED if net.is_complete else []
    example = torch.zeros(2, 3, PATCH_PX, PATCH_PX, dtype=torch.uint8)
    sizes = {0: torch.export.Dim("patches"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    with torch.inference_mode():
        program = torch.onnx.export(
            net, (example,), dynamo=True, optimize=False, verbose=False, opset_version=OPSET,
            dynamic_shapes=(sizes,), input_names=[INPUT], output_names=outputs,
        )  # fmt: skip
    assert program is not None
    graph = onnxscript.optimizer.optimize(
        program.model_proto, input_size_limit=FOLDED_ELEMENTS, output_size_limit=FOLDED_ELEMENTS
    )
    shrink(graph.graph)
    decision = predictor.decision
    record = GraphRecord(
        views={member: [name for name, _ in views] for member, views in net.views.items()},
        needs_px=max(net.crops_px),
        threshold=decision.threshold.value,
        band=(decision.abstention.low, decision.abstention.high),
        digest=graph_digest(predictor.record),
    )
    del graph.metadata_props[:]
    for key, value in record.to_metadata().items():
        graph.metadata_props.add(key=key, value=value)
    raw: bytes = graph.SerializeToString()
    _check(raw, predictor, str(folder))
    return raw


def shrink(graph: Any, *, to_half: bool = True) -> None:
    """Store equal tensors once, and those that half precision holds exactly in it; remove the exporter's notes."""
    from onnx import TensorProto, helper, numpy_helper

    first: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    renamed, tensors, casts = {}, [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        key = (str(array.dtype), array.shape, array.tobytes())
        name = first.setdefault(key, tensor.name)
        if name != tensor.name:
            renamed[tensor.name] = name
            continue
        with np.errstate(over="ignore"):
            is_large = array.dtype == np.float32 and array.size > FOLDED_ELEMENTS
            half = array.astype(np.float16) if to_half and is_large else None
        if half is not None and np.array_equal(half.astype(np.float32), array):
            tensors.append(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        else:
            tensors.append(tensor)
    nodes = [*casts, *graph.node]
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.doc_string = ""
        del node.metadata_props[:]
    copied = [type(node).FromString(node.SerializeToString()) for node in nodes]
    stored = [type(tensor).FromString(tensor.SerializeToString()) for tensor in tensors]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(copied)
    graph.initializer.extend(stored)


def _check(raw: bytes, predictor: Predictor, source: str) -> None:
    """Compare every output of the graph with torch on random images of two sizes and on the shipped examples."""
    runtime, nets = OnnxRuntime(raw, source), predictor.nets
    assert nets is not None
    rng = np.random.default_rng(0)
    sides_px = sorted({runtime.needs_px, PATCH_PX})
    batches = [rng.integers(0, 256, (N_CHECKED, 3, side_px, side_px), dtype=np.uint8) for side_px in sides_px]
    examples = [images.read(path).transpose(2, 0, 1) for path in example_paths()]
    if runtime.needs_px <= PATCH_PX:
        batches.append(np.stack(examples))
    for image_N3HW in batches:
        ours = runtime.run(image_N3HW, precision="fp32", on_progress=lambda n: None)
        theirs = nets.run(image_N3HW, precision="fp32", on_progress=lambda n: None)
        for a, b in zip(ours, theirs, strict=True):
            for view in a.logit:
                _check_close(a.logit[view], b.logit[view], f"logits of the member '{a.name}'")
            assert a.embedding_ND is not None
            assert b.embedding_ND is not None
            _check_close(a.embedding_ND, b.embedding_ND, f"embeddings of the member '{a.name}'")
        if predictor.descriptors is None:
            decided = predictor.decision.decide(predictor.combiner.combine_views({b.name: b.logit for b in theirs}))
            calibrated_N, probability_N = runtime.run_outputs(DECIDED, image_N3HW)
            _check_close(probability_N, decided.probability_N, "probabilities")
            _check_close(calibrated_N, decided.calibrated_logit_N, "calibrated logits")


def _check_close(ours: np.ndarray, theirs: np.ndarray, what: str) -> None:
    """Raise a UserError for values that differ by more than TOLERANCE, or more than that share of large ones."""
    difference = float((np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max())
    if not difference <= TOLERANCE:
        problem = f"The graph's {what} differ from torch's by {difference:.2g}."
        raise UserError(problem, allowed=f"at most {TOLERANCE:g}", fix="report this, with the bundle")
