"""A member on disk: reading it gives the logits of what was written, and a changed byte is an error."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mitotype.backbones import member_files
from mitotype.backbones.classifier import Architecture, Classifier, build
from mitotype.backbones.predict import InferenceConfig, predict
from mitotype.core import records
from mitotype.core.errors import UserError


def write_example(member_dir: Path) -> Classifier:
    net = build(Architecture("d4resnet-tiny", 64, "mean", {"sub_label": 8}), seed=3).eval()
    net.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in member_files.to_half(net.state_dict()).items()}
    )
    member_files.write_member(member_dir, "a", "crop(64)", net, fold=1)
    return net


def test_reading_gives_the_logits_of_what_was_written(tmp_path: Path) -> None:
    net = write_example(tmp_path)
    member = member_files.read_member(tmp_path)
    image = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(member.classifier(image).logit_B, net(image).logit_B)
    assert (member.name, member.frame) == ("a", "crop(64)")
    assert json.loads((tmp_path / "member.json").read_text())["fold"] == 1


def test_an_architecture_is_read_as_it_was_written() -> None:
    architecture = Architecture(
        "d4resnet-tiny", 64, "mean", {"expert": 3}, 0.1, {"depth": 2, "widths": [4, 8]}, normalization="half"
    )
    assert records.decode(records.encode(architecture), Architecture, "architecture") == architecture


@pytest.mark.parametrize("index", [8, 200, -1])
def test_a_changed_byte_is_an_error(tmp_path: Path, index: int) -> None:
    write_example(tmp_path)
    raw = bytearray((tmp_path / "model.safetensors").read_bytes())
    raw[index] ^= 1
    (tmp_path / "model.safetensors").write_bytes(bytes(raw))
    with pytest.raises(UserError, match="digest differs"):
        member_files.read_member(tmp_path)


def test_weights_of_another_net_are_an_error(tmp_path: Path) -> None:
    write_example(tmp_path)
    raw = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="does not fit"):
        member_files.load_state(build(Architecture("resnet10", 64, "mean"), seed=0), raw, "file")
    with pytest.raises(UserError, match="not a valid safetensors"):
        member_files.load_state(build(Architecture("resnet10", 64, "mean"), seed=0), raw[:100], "file")


@pytest.mark.parametrize("key", ["architecture", "digest"])
def test_an_incomplete_record_is_an_error(tmp_path: Path, key: str) -> None:
    write_example(tmp_path)
    record = json.loads((tmp_path / "member.json").read_text())
    record[key] = {} if key == "architecture" else None
    (tmp_path / "member.json").write_text(json.dumps(record))
    with pytest.raises(UserError):
        member_files.read_member(tmp_path)


def test_predictions_keep_the_order_of_images_for_every_view() -> None:
    net = build(Architecture("d4resnet-tiny", 64, "mean"), seed=0).eval()
    image_N3HW = np.random.default_rng(0).integers(0, 256, (5, 3, 64, 64), dtype=np.uint8)
    progress: list[int] = []
    views = [("identity", lambda x: x), ("dark", lambda x: x * 0.5)]
    config = InferenceConfig(batch_size=2, on_progress=progress.append)
    prediction = predict(net, image_N3HW, lambda x: x.float() / 255, views, config)
    with torch.inference_mode():
        expected = net(torch.from_numpy(image_N3HW).float() / 255 * 0.5).logit_B.numpy()
    np.testing.assert_allclose(prediction.logit["dark"], expected, rtol=1e-4, atol=1e-6)
    assert progress == [2, 2, 1]
    assert prediction.embedding_ND.shape[0] == 5
