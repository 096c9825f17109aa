"""model.onnx gives the probability of its bundle for every combiner and set of views, is small, and is folded when it opens."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from msgspec.structs import replace

from mitotype import api
from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import CombinerRecord, bundle_digest, graph_digest, names, read_bundle
from mitotype.core.schema import NOTICE
from mitotype.deploy import bundle
from mitotype.deploy.export import onnx as onnx_export
from mitotype.deploy.export.bundle_net import BundleNet, mean_probability
from mitotype.deploy.export.onnx import to_onnx
from mitotype.deploy.predictor import Predictor, open_predictor
from mitotype.scores.calibrate import logit_of, sigmoid
from mitotype.scores.decision import Decided

MEMBERS = ("all-seed0", "all-seed1")


def changed(folder: Path, **changes: Any) -> Path:
    """A copy of the first shipped bundle with changed fields and without its graph."""
    shutil.copytree(bundle.shipped()["default"], folder)
    record = read_bundle(folder)
    files = {path: digest for path, digest in record.files.items() if path != names.GRAPH}
    record = replace(record, files=files, **changes)
    records.write(folder / names.BUNDLE, replace(record, digest=bundle_digest(record)))
    return folder


CASES = pytest.mark.parametrize(
    ("tta", "combiner"),
    [
        ("flip", CombinerRecord("mean_probability", members=MEMBERS[1:])),
        (
            "around",
            CombinerRecord("weighted", views=("identity", "turn45"), weights={MEMBERS[0]: 0.7, MEMBERS[1]: 0.4}),
        ),
    ],
)


def expected_of(predictor: Predictor, image_N3HW: np.ndarray) -> Decided:
    outputs, _ = predictor.predict(image_N3HW)
    return predictor.decision.decide(predictor.combiner.combine_views({o.name: o.logit for o in outputs}))


@CASES
def test_the_net_of_a_graph_has_the_probability_of_its_bundle(
    tmp_path: Path, tta: str, combiner: CombinerRecord
) -> None:
    predictor = open_predictor(str(changed(tmp_path / "bundle", tta=tta, combiner=combiner)))
    image_N3HW = np.random.default_rng(1).integers(0, 256, (5, 3, 101, 90), dtype=np.uint8)
    with torch.inference_mode():
        *_, calibrated_N, probability_N = BundleNet(predictor)(torch.from_numpy(image_N3HW))
    expected = expected_of(predictor, image_N3HW)
    np.testing.assert_allclose(probability_N.numpy(), expected.probability_N, atol=1e-4)
    np.testing.assert_allclose(calibrated_N.numpy(), expected.calibrated_logit_N, atol=1e-3)


@pytest.mark.long
@CASES
def test_the_graph_has_the_probability_of_its_bundle(tmp_path: Path, tta: str, combiner: CombinerRecord) -> None:
    folder = changed(tmp_path / "bundle", tta=tta, combiner=combiner)
    image_N3HW = np.random.default_rng(1).integers(0, 256, (5, 3, 101, 90), dtype=np.uint8)
    expected = expected_of(open_predictor(str(folder)), image_N3HW)
    session = onnxruntime.InferenceSession(to_onnx(folder), providers=["CPUExecutionProvider"])
    [probability_N] = session.run(["probability"], {"image": image_N3HW})
    np.testing.assert_allclose(probability_N, expected.probability_N, atol=1e-4)


def test_a_graph_is_added_to_a_bundle_whose_weights_and_decision_stay(tmp_path: Path) -> None:
    folder = changed(tmp_path / "bundle", members=[MEMBERS[0]])
    before = read_bundle(folder)
    with pytest.raises(UserError, match="mitotype export"):
        open_predictor(str(folder), runtime="onnx")
    path = api.export(folder)
    after = read_bundle(folder)
    assert replace(after, files=before.files, digest=before.digest) == before
    assert open_predictor(str(folder), runtime="onnx").members == MEMBERS[:1]
    stored = (names.member_dir(folder, MEMBERS[0]) / names.WEIGHTS).stat().st_size
    assert path.stat().st_size < 1.25 * stored  # base kernels in half precision: the session expands them
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert metadata["digest"] == f'"{graph_digest(after)}"' and metadata["notice"] == f'"{NOTICE}"'
    assert float(metadata["threshold"]) == after.decision.threshold.value


def test_a_session_folds_the_kernels_when_it_opens(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "folded.onnx"), 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(bundle.shipped()["default"] / names.GRAPH, options, providers=["CPUExecutionProvider"])
    nodes = [node.op_type for node in onnx.load(tmp_path / "folded.onnx").graph.node]
    assert not {"Transpose", "Expand", "Tile", "BatchNormalization"} & set(nodes), set(nodes)
    assert nodes.count("Gemm") + nodes.count("MatMul") == len(MEMBERS)  # the heads alone


def test_a_frame_that_is_no_crop_and_a_bundle_without_nets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no nets"):
        to_onnx(bundle.shipped()["morphology"])
    with pytest.raises(UserError, match="No format is called 'onx'"):
        api.export("default", to="onx", out=tmp_path / "x.onnx")


def test_the_mean_of_probabilities_holds_where_float32_rounds_them() -> None:
    logit_NK = np.array([[14.0, 15.0], [18.0, 19.0], [-18.0, -19.0], [0.2, -0.4], [40.0, 41.0]])
    expected = logit_of(sigmoid(logit_NK[:4]).mean(1))
    computed = mean_probability(torch.tensor(logit_NK, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(computed[:4], expected, atol=2e-4)
    assert 40 < computed[4] < 41


@pytest.mark.parametrize("source", ["default", "hf://owner/name@main"])
def test_a_bundle_of_others_is_exported_into_a_file_only(source: str) -> None:
    with pytest.raises(UserError, match="not yours to change"):
        api.export(source)


def test_a_graph_is_added_to_a_bundle_of_0_1_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(Path(__file__).parents[2] / "golden" / "v0_1_0" / "bundle", tmp_path / "bundle")
    monkeypatch.setattr(onnx_export, "to_onnx", lambda folder: b"graph")
    onnx_export.add_graph(str(folder))
    record = read_bundle(folder)
    assert record.format == 2 and "model.onnx" in record.files and not (folder / ".lock").exists()
