"""A member on disk: what is read gives the logits of what was written; a changed byte is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mitotype.backbones import members
from mitotype.backbones.classifier import Architecture, Classifier, build
from mitotype.backbones.predict import Way, predict
from mitotype.core.mistakes import Mistake


def kept(folder: Path) -> Classifier:
    net = build(Architecture("d4resnet-tiny", 64, "mean", (("sub_label", 8),)), seed=3).eval()
    net.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in members.halved(net.state_dict()).items()}
    )
    members.write(folder, "a", "crop(64)", net, more={"fold": 1})
    return net


def test_written_and_read_gives_the_same_logits(tmp_path: Path) -> None:
    net = kept(tmp_path)
    member = members.read(tmp_path)
    image = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(member.classifier(image).logit_B, net(image).logit_B)
    assert (member.name, member.frame) == ("a", "crop(64)")
    assert json.loads((tmp_path / "member.json").read_text())["fold"] == 1


@pytest.mark.parametrize("place", [8, 200, -1])
def test_a_changed_byte_is_refused(tmp_path: Path, place: int) -> None:
    kept(tmp_path)
    raw = bytearray((tmp_path / "model.safetensors").read_bytes())
    raw[place] ^= 1
    (tmp_path / "model.safetensors").write_bytes(bytes(raw))
    with pytest.raises(Mistake, match="digest differs"):
        members.read(tmp_path)


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    kept(tmp_path)
    raw = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(Mistake, match="does not fit"):
        members.load_state(build(Architecture("resnet10", 64, "mean"), seed=0), raw, "there")
    with pytest.raises(Mistake, match="not a whole safetensors"):
        members.load_state(build(Architecture("resnet10", 64, "mean"), seed=0), raw[:100], "there")


@pytest.mark.parametrize("hole", ["architecture", "digest"])
def test_a_description_with_a_hole_is_refused(tmp_path: Path, hole: str) -> None:
    kept(tmp_path)
    told = json.loads((tmp_path / "member.json").read_text())
    told[hole] = {} if hole == "architecture" else None
    (tmp_path / "member.json").write_text(json.dumps(told))
    with pytest.raises(Mistake):
        members.read(tmp_path)


def test_prediction_is_in_order_and_per_view() -> None:
    net = build(Architecture("d4resnet-tiny", 64, "mean"), seed=0).eval()
    image_N3HW = np.random.default_rng(0).integers(0, 256, (5, 3, 64, 64), dtype=np.uint8)
    told: list[int] = []
    views = [("identity", lambda x: x), ("dark", lambda x: x * 0.5)]
    said = predict(net, image_N3HW, lambda x: x.float() / 255, views, Way(batch=2, done=told.append))
    with torch.inference_mode():
        expected = net(torch.from_numpy(image_N3HW).float() / 255 * 0.5).logit_B.numpy()
    np.testing.assert_allclose(said.logit["dark"], expected, rtol=1e-4, atol=1e-6)
    assert told == [2, 2, 1]
    assert said.embedding_ND.shape[0] == 5
