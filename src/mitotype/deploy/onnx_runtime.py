"""Nets on ONNX Runtime, without torch: the graph of a bundle, in float32 on the CPU.

Group convolutions are stored by their base kernels; the session expands them once, when it opens.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mitotype.core import files
from mitotype.core.cpu_limit import n_threads
from mitotype.core.errors import UserError, first_line
from mitotype.core.run_layout import BundleRecord, GraphRecord, graph_digest, names, read_metadata
from mitotype.deploy.runtime import MemberOutputs, OnProgress

MAX_BYTES = 2**31 - 1  # of a graph in one file
BATCH = 32
INPUT = "image"
TELEMETRY = "ORT_DISABLE_TELEMETRY"  # read when ONNX Runtime is loaded; its wheels send events by default


class OnnxRuntime:
    """An open graph: `image_N3HW` uint8 → per member the logits of its views and the embedding of the first one."""

    def __init__(self, raw: bytes, source: str) -> None:
        self._raw, self._source = raw, source
        self._threads = n_threads()
        self._session = self._open()
        self.record: GraphRecord = read_metadata(self._session.get_modelmeta().custom_metadata_map, source)
        self.members, self.needs_px = tuple(self.record.views), self.record.needs_px
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        missing = [name for member in self.members for name in output_names(member) if name not in shapes]
        if missing:
            raise UserError(f"The graph '{source}' has no output '{missing[0]}'.", fix="copy it again from its source")
        self.widths = {member: int(shapes[output_names(member)[1]][1]) for member in self.members}

    def run(self, image_N3HW: np.ndarray, *, precision: str, on_progress: OnProgress) -> list[MemberOutputs]:
        """Return the outputs of each member. The precision is float32, whatever is requested."""
        if self._threads != n_threads():
            self._threads = n_threads()
            self._session = self._open()
        requested = [name for member in self.members for name in output_names(member)]
        batches = []
        for start in range(0, len(image_N3HW), BATCH):
            image_B3HW = np.ascontiguousarray(image_N3HW[start : start + BATCH])
            batches.append(self._session.run(requested, {INPUT: image_B3HW}))
            on_progress(len(image_B3HW))
        arrays = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        return [
            MemberOutputs(name, dict(zip(self.record.views[name], logit_NV.T, strict=True)), embedding_ND)
            for name, logit_NV, embedding_ND in zip(self.members, arrays[::2], arrays[1::2], strict=True)
        ]

    def run_outputs(self, names: Sequence[str], image_N3HW: np.ndarray) -> list[np.ndarray]:
        """Return outputs of the graph by name, for images in one batch."""
        outputs: list[np.ndarray] = self._session.run(list(names), {INPUT: np.ascontiguousarray(image_N3HW)})
        return outputs

    def _open(self) -> Any:
        os.environ.setdefault(TELEMETRY, "1")  # a hospital's machine sends nothing
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        options.log_severity_level = 3  # errors
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # images are read at the same time
        try:
            return onnxruntime.InferenceSession(self._raw, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors have no common class
            reason = first_line(error)
            raise UserError(
                f"The graph '{self._source}' cannot be opened: {reason}.", fix="copy it again from its source"
            ) from error


def output_names(member: str) -> tuple[str, str]:
    """Return the names of a member's outputs: `logit_NV`, one column per view, and `embedding_ND`."""
    return f"logit/{member}", f"embedding/{member}"


def open_graph(folder: Path, record: BundleRecord) -> OnnxRuntime:
    """Return the graph of a bundle. Raises a UserError for one that was made of other weights or another decision."""
    path = folder / names.GRAPH
    runtime = OnnxRuntime(files.read_bytes(path, what="graph", max_bytes=MAX_BYTES), str(path))
    if runtime.record.digest not in (graph_digest(record), record.graph_digest):
        what = f"The graph '{path}' is not that of its bundle: it was made of other weights or another decision."
        raise UserError(what, fix="make it again: mitotype export BUNDLE --to onnx")
    return runtime
