"""The graph of a bundle gives what torch gives, is refused where it is not that of its bundle, and follows the threads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from mitotype.core import cpu_limit, files, records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import bundle_digest, names, read_bundle
from mitotype.datasets.synthesis import cohort as synthetic
from mitotype.deploy import bundle, classify
from mitotype.deploy.onnx_runtime import TELEMETRY, OnnxRuntime
from mitotype.deploy.predictor import Predictor, open_predictor
from mitotype.deploy.sources import list_images
from mitotype.deploy.torch_runtime import TorchRuntime


@pytest.fixture(scope="module")
def on_onnx() -> Predictor:
    return open_predictor("default", runtime="onnx")


@pytest.fixture(scope="module")
def on_torch() -> Predictor:
    return open_predictor("default", runtime="torch")


def check_same(on_onnx: Predictor, on_torch: Predictor, images: object) -> None:
    sources = list_images(images)
    ours, theirs = classify.classify(on_onnx, sources), classify.classify(on_torch, sources)
    for attribute in ("probability", "member_sd"):
        values = [[getattr(prediction, attribute) for prediction in predictions] for predictions in (ours, theirs)]
        np.testing.assert_allclose(*values, atol=1e-4, rtol=0)
    assert [p.decision for p in ours] == [p.decision for p in theirs]
    assert [p.flags for p in ours] == [p.flags for p in theirs]


def test_the_graph_decides_like_torch(on_onnx: Predictor, on_torch: Predictor, tmp_path: Path) -> None:
    assert isinstance(on_onnx.nets, OnnxRuntime) and isinstance(on_torch.nets, TorchRuntime)
    assert (on_onnx.members, on_onnx.needs_px) == (on_torch.members, on_torch.needs_px)
    check_same(
        on_onnx, on_torch, list(synthetic.generate(tmp_path, patches=64, cases=20, seed=3, domains=5).rows["path"])
    )


@pytest.mark.real
def test_the_graph_decides_like_torch_on_real_patches(
    on_onnx: Predictor, on_torch: Predictor, shared_data: Path
) -> None:
    paths = sorted((shared_data / "AMi-Br_Benchmark" / "AtNorM-Br").rglob("*.png"))[:200]
    assert len(paths) == 200
    check_same(on_onnx, on_torch, paths)


def test_the_graph_runs_where_no_runtime_is_named() -> None:
    assert isinstance(open_predictor("default").nets, OnnxRuntime)


def test_a_session_follows_the_number_of_threads(on_onnx: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    nets = on_onnx.nets
    assert isinstance(nets, OnnxRuntime)
    monkeypatch.setattr(cpu_limit, "_chosen", 1)
    image_N3HW = np.zeros((1, 3, 64, 64), np.uint8)
    nets.run(image_N3HW, precision="auto", on_progress=lambda n: None)
    assert nets._session.get_session_options().intra_op_num_threads == 1


@pytest.mark.parametrize("change", ["threshold", "not a graph", "no metadata"])
def test_a_graph_that_is_not_that_of_its_bundle_is_refused(tmp_path: Path, change: str) -> None:
    folder = shutil.copytree(bundle.shipped()["default"], tmp_path / "copy")
    record = read_bundle(folder)
    if change == "threshold":
        threshold = msgspec.structs.replace(record.decision.threshold, value=0.5)
        decision = msgspec.structs.replace(record.decision, threshold=threshold)
        record = msgspec.structs.replace(record, decision=decision)
    else:
        graph = onnx.load(folder / names.GRAPH)
        del graph.metadata_props[:]
        raw = b"x" if change == "not a graph" else graph.SerializeToString()
        (folder / names.GRAPH).write_bytes(raw)
        record = msgspec.structs.replace(record, files=record.files | {names.GRAPH: files.sha256(folder / names.GRAPH)})
    records.write(folder / names.BUNDLE, msgspec.structs.replace(record, digest=bundle_digest(record)))
    with pytest.raises(UserError, match=r"not that of its bundle|cannot be opened|no metadata"):
        open_predictor(str(folder))


def test_onnx_runtime_sends_nothing_and_writes_nothing(tmp_path: Path) -> None:
    """Its telemetry would store an id and its events in the cache of the user."""
    environment = {key: value for key, value in os.environ.items() if key != TELEMETRY}
    environment |= dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(tmp_path))
    command = [sys.executable, "-m", "mitotype", "classify", "--example"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert list(tmp_path.iterdir()) == []
