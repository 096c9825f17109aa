"""Members on one base: each says what it says alone, and what they share is walked once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mitotype.backbones import members, team, weights
from mitotype.backbones.adapters import trained
from mitotype.backbones.classifier import Architecture, build
from mitotype.backbones.predict import Way, predict, predict_team
from mitotype.backbones.transformer import TransformerTrunk
from mitotype.backbones.weights import Base


@pytest.fixture
def base(tmp_path: Path) -> Base:
    net = build(Architecture("vit-mini8", 64, "mean"), seed=1)
    save_file({k: v.contiguous() for k, v in net.trunk.state_dict().items()}, tmp_path / "base.safetensors")
    return weights.find("vit-mini8", str(tmp_path / "base.safetensors"))


def five(base: Base, adaptation: str, folder: Path) -> list[Path]:
    """Five members whose trained tensors differ, written to disk."""
    places = []
    for number in range(5):
        net = build(
            Architecture("vit-mini8", 64, "mean", adaptation=adaptation, base=base.digest),
            seed=number,
            base_state=weights.state(base),
        )
        torch.manual_seed(number)
        with torch.no_grad():
            for name, value in trained(net):
                if value.is_floating_point() and "bank" not in name:
                    value.add_(torch.randn_like(value), alpha=0.05)
        if adaptation.startswith("knn"):
            net.head.remember(torch.randn(10 + number, 192), torch.rand(10 + number))
        members.write(folder / str(number), str(number), "crop(64)", net)
        places.append(folder / str(number))
    return places


def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the blocks that are walked, as they are walked."""
    walked: list[int] = []
    block = TransformerTrunk._block

    def counted(self: TransformerTrunk, tokens: Any, number: int, rope: Any) -> Any:
        walked.append(number)
        return block(self, tokens, number, rope)

    monkeypatch.setattr(TransformerTrunk, "_block", counted)
    return walked


@pytest.mark.parametrize(
    ("adaptation", "walks"),
    [("probe", 6), ("knn(3)", 6), ("prototype", 6), ("lora(4, last=2)", 4 + 5 * 2), ("full(last=1)", 5 + 5), ("prompts(3, last=2)", 4 + 10),
     ("lora(4)", 30), ("prompts(3)", 30)],
)  # fmt: skip
def test_five_members_on_one_trunk(
    adaptation: str, walks: int, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = five(base, adaptation, tmp_path / "members")
    image_N3HW = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), dtype=np.uint8)
    views = [("identity", lambda x: x), ("flip", lambda x: x.flip(3))]

    def frame(x: torch.Tensor) -> torch.Tensor:
        return x.float() / 255

    alone = [predict(members.read(place).classifier, image_N3HW, frame, views) for place in places]
    [together] = team.read(places)
    walked = calls(monkeypatch)
    for _ in range(2):  # what one member left in place must not speak for another
        said = predict_team(together, image_N3HW, frame, views)
        for one, other in zip(alone, said, strict=True):
            for view in one.logit:
                np.testing.assert_allclose(other.logit[view], one.logit[view], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(other.embedding_ND, one.embedding_ND, rtol=1e-4, atol=1e-5)
    assert len(walked) == 2 * len(views) * walks
    assert len({round(float(one.logit["identity"][0]), 4) for one in alone}) == 5


@pytest.mark.parametrize("adaptation", ["probe", "lora(4, last=2)", "full(last=1)"])
def test_a_team_in_half_precision_says_what_its_members_say(adaptation: str, base: Base, tmp_path: Path) -> None:
    """No cast of one member speaks for the next, and the head is reckoned in float32 whatever the trunk is."""
    places = five(base, adaptation, tmp_path / "members")
    image_N3HW = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), dtype=np.uint8)
    half, views = Way(dtype=torch.bfloat16), [("identity", lambda x: x)]
    [together] = team.read(places)
    said = predict_team(together, image_N3HW, lambda x: x.float() / 255, views, half)
    for place, one in zip(places, said, strict=True):
        alone = predict(members.read(place).classifier, image_N3HW, lambda x: x.float() / 255, views, half)
        np.testing.assert_allclose(one.logit["identity"], alone.logit["identity"], rtol=1e-4, atol=1e-4)
        with torch.inference_mode():
            exact_N = members.head(place)(torch.from_numpy(one.embedding_ND)).squeeze(1).numpy()
        np.testing.assert_allclose(one.logit["identity"], exact_N, rtol=1e-4, atol=1e-4)
    assert len({round(float(one.logit["identity"][0]), 4) for one in said}) == 5
    plain = predict(members.read(places[0]).classifier, image_N3HW, lambda x: x.float() / 255, views)
    assert not np.allclose(plain.embedding_ND, said[0].embedding_ND, rtol=1e-4, atol=1e-4)  # it was half precision


def test_members_trained_whole_stand_alone(tmp_path: Path) -> None:
    for number in range(2):
        members.write(
            tmp_path / str(number), str(number), "crop(64)", build(Architecture("vit-mini8", 64, "mean"), seed=number)
        )
    assert len(team.read([tmp_path / "0", tmp_path / "1"])) == 2
