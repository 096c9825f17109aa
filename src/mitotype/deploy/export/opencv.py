"""A folder for QuPath without an extension: a graph for OpenCV's DNN module, float32 and one image at a time, and a script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotype.core import extras, files
from mitotype.core.errors import UserError
from mitotype.deploy.bundle import find_bundle
from mitotype.deploy.export import export_folder
from mitotype.deploy.export.export_folder import CLASS_TITLES
from mitotype.deploy.export.onnx import shrink
from mitotype.deploy.predictor import open_predictor

if TYPE_CHECKING:
    from torch import nn

GRAPH, SCRIPT = "two_class.onnx", "classify_selected.groovy"
OPSET = 18
REVERSED = "reversed"  # indices of an axis of the image
HOW_TO = f"""## In QuPath

1. Put this folder into the folder of the project, under the name `mitotype`.
2. Select detections of mitotic figures.
3. Open `{SCRIPT}` in the script editor (*Automate → Script editor*) and run it.

Each detection gets its class and the measurement *{CLASS_TITLES[1]}*. The script first classifies the test image and stops if
its number is another one.

**Not run in QuPath.** OpenCV ran the graph in Python, and Groovy the script, with stand-ins for the classes of QuPath and
OpenCV."""


def export(source: str, out: Path) -> Path:
    """Write the folder of a bundle and return its path."""
    predictor = open_predictor(str(find_bundle(source)), runtime="torch")
    with extras.translated():
        import cv2

        from mitotype.deploy.export.two_class_net import TwoClassNet

    side_px = predictor.needs_px
    raw = _to_graph(TwoClassNet(predictor, scale=1).eval(), side_px)

    def run(image_N3SS: np.ndarray) -> np.ndarray:
        rows = []
        for image_3SS in image_N3SS:
            net.setInput(image_3SS[None].astype(np.float32))
            rows.append(net.forward().copy())
        return np.concatenate(rows)

    try:
        net = cv2.dnn.readNetFromONNX(np.frombuffer(raw, np.uint8))
        record = export_folder.check("opencv", predictor, side_px, run, CLASS_TITLES)
    except cv2.error as error:
        what = f"OpenCV {cv2.__version__} does not run the graph of '{predictor.record.name}'."
        raise UserError(what, fix="use --to wsinfer") from error
    with export_folder.created(out, (GRAPH, SCRIPT), predictor):
        files.write_bytes(out / GRAPH, raw)
        files.copy(Path(__file__).with_name(SCRIPT), out / SCRIPT)
        export_folder.write_shared(out, record, predictor, HOW_TO)
    return out


def _to_graph(net: nn.Module, side_px: int) -> bytes:
    """Return the graph with every constant folded: OpenCV has no expansion of kernels."""
    import onnxscript.optimizer
    import torch

    with torch.inference_mode():
        program = torch.onnx.export(
            net, (torch.zeros(1, 3, side_px, side_px),), dynamo=True, optimize=False, verbose=False, opset_version=OPSET,
            input_names=["image"], output_names=["logits"],
        )  # fmt: skip
    assert program is not None
    limit = 2**31  # elements: no limit
    graph = onnxscript.optimizer.optimize(program.model_proto, input_size_limit=limit, output_size_limit=limit)
    _gather_flips(graph)
    shrink(graph.graph, to_half=False)  # views have equal kernels
    raw: bytes = graph.SerializeToString()
    return raw


def _gather_flips(model: Any) -> None:
    """Replace every slice that reverses axes of an image by gathers: OpenCV has no negative steps."""
    from onnx import helper, numpy_helper, shape_inference

    graph, inferred = model.graph, shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*inferred.input, *inferred.value_info)
    }
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if len(tensor.dims) == 1}
    nodes, sides_px = [], set()
    for node in graph.node:
        is_slice = node.op_type == "Slice" and len(node.input) == 5
        steps = values.get(node.input[4]) if is_slice else None
        if steps is None or not (steps == -1).all():
            nodes.append(node)
            continue
        axes, output = values[node.input[3]].tolist(), node.output[0]
        names = [node.input[0], *(f"{output}.{axis}" for axis in axes[:-1]), output]
        for axis, before, after in zip(axes, names[:-1], names[1:], strict=True):
            side_px = shapes[node.input[0]][axis]  # members may have crops of their own
            sides_px.add(side_px)
            nodes.append(helper.make_node("Gather", [before, f"{REVERSED}.{side_px}"], [after], axis=axis))
    copied = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copied)
    for side_px in sorted(sides_px):
        graph.initializer.append(numpy_helper.from_array(np.arange(side_px)[::-1].copy(), f"{REVERSED}.{side_px}"))
