"""The OpenCV folder: its graph, run by OpenCV as the script runs it in QuPath, gives the class of `classify`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from PIL import Image

from mitotype import api
from mitotype.core.errors import UserError
from mitotype.deploy.export import opencv
from mitotype.deploy.export.export_folder import CLASS_TITLES
from tests.deploy.export.qupath import read_square, resize
from tests.deploy.export.test_onnx import changed

TITLES = {"normal": CLASS_TITLES[0], "atypical": CLASS_TITLES[1]}
SIDE_PX, MPP_UM = 64, 0.25


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.export("default", to="opencv", out=tmp_path_factory.mktemp("project") / "mitotype")


@pytest.fixture(scope="module")
def net(folder: Path) -> cv2.dnn.Net:
    return cv2.dnn.readNetFromONNX(str(folder / "two_class.onnx"))


def atypical_of(net: cv2.dnn.Net, image_SS3: np.ndarray) -> float:
    net.setInput(cv2.dnn.blobFromImage(image_SS3))
    [[normal, atypical]] = net.forward()
    return float(1 / (1 + np.exp(normal - atypical)))


def drawn_patch(slide_HW3: np.ndarray, mpp_um: float, x: float, y: float) -> np.ndarray:
    """`image_SS3` as the script reads it away from the border: the region, drawn at the side of the patch."""
    return resize(read_square(slide_HW3, MPP_UM / mpp_um, SIDE_PX, x, y), SIDE_PX)


def test_the_graph_is_float32_and_for_one_image(folder: Path) -> None:
    graph = onnx.load(folder / "two_class.onnx").graph
    [image], [logits] = graph.input, graph.output
    for value, shape in ((image, [1, 3, SIDE_PX, SIDE_PX]), (logits, [1, 2])):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert [dimension.dim_value for dimension in value.type.tensor_type.shape.dim] == shape


def test_the_test_image_has_its_number(folder: Path, net: cv2.dnn.Net) -> None:
    expected = json.loads((folder / "mitotype.json").read_text())
    atypical = atypical_of(net, np.asarray(Image.open(folder / expected["test_image"])))
    assert atypical == pytest.approx(expected["atypical"], abs=1e-4)
    script = (folder / "classify_selected.groovy").read_text()
    assert "Not run in QuPath" in script and "Not run in QuPath" in (folder / "README.md").read_text()
    assert all(name in script for name in ("two_class.onnx", "mitotype.json", "For Research Use Only"))


@pytest.mark.real
@pytest.mark.parametrize(("mpp_um", "least"), [(0.25, 0.995), (0.23, 0.97)])
def test_the_class_is_that_of_classify(net: cv2.dnn.Net, shared_data: Path, mpp_um: float, least: float) -> None:
    paths = sorted((shared_data / "AMi-Br_Benchmark" / "AtNorM-Br").rglob("*.png"))
    slides = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    patches = [drawn_patch(slide_HW3, mpp_um, *(side / 2 for side in slide_HW3.shape[1::-1])) for slide_HW3 in slides]
    ours = [CLASS_TITLES[int(atypical_of(net, patch) >= 0.5)] for patch in patches]
    theirs = [TITLES[prediction.label_name] for prediction in api.classify(paths, mpp_um=mpp_um)]
    share = np.mean([a == b for a, b in zip(ours, theirs, strict=True)])
    print(f"{mpp_um} µm/px: the class of {share:.4%} of {len(paths)} figures")
    assert len(paths) == 746 and share >= least


def test_a_graph_that_opencv_does_not_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv, "_to_graph", lambda net, side_px: b"no graph")
    with pytest.raises(UserError, match=r"OpenCV 4.* does not run the graph of 'default'"):
        api.export("default", to="opencv", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_flipped_views_are_in_the_graph_and_their_kernels_once(tmp_path: Path) -> None:
    source = changed(tmp_path / "bundle", tta="flip")
    out = api.export(source, to="opencv", out=tmp_path / "out")  # which compares the graph with the bundle
    assert (out / "two_class.onnx").stat().st_size < 23e6
