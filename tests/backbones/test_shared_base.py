"""Members on one base: each gives the logits that it gives alone, and shared blocks run once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mitotype.backbones import member_files, shared_base, weights
from mitotype.backbones.adaptations import trained_tensors
from mitotype.backbones.classifier import Architecture, build
from mitotype.backbones.predict import InferenceConfig, predict, predict_ensemble
from mitotype.backbones.transformer_trunk import TransformerTrunk
from mitotype.backbones.weights import PretrainedWeights


@pytest.fixture
def base(tmp_path: Path) -> PretrainedWeights:
    net = build(Architecture("vit-mini8", 64, "mean"), seed=1)
    save_file({k: v.contiguous() for k, v in net.trunk.state_dict().items()}, tmp_path / "base.safetensors")
    return weights.find("vit-mini8", str(tmp_path / "base.safetensors"))


def write_five(base: PretrainedWeights, adaptation: str, folder: Path) -> list[Path]:
    """Write five members whose trained tensors differ."""
    member_dirs = []
    for seed in range(5):
        net = build(
            Architecture("vit-mini8", 64, "mean", adaptation=adaptation, base=base.digest),
            seed=seed,
            base_state=weights.read_state_dict(base),
        )
        torch.manual_seed(seed)
        with torch.no_grad():
            for name, value in trained_tensors(net):
                if value.is_floating_point() and "bank" not in name:
                    value.add_(torch.randn_like(value), alpha=0.05)
        if adaptation.startswith("knn"):
            net.head.store(torch.randn(10 + seed, 192), torch.rand(10 + seed))
        member_files.write_member(folder / str(seed), str(seed), "crop(64)", net)
        member_dirs.append(folder / str(seed))
    return member_dirs


def record_blocks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that receives the index of every block when it runs."""
    indices: list[int] = []
    block = TransformerTrunk._block

    def recorded(self: TransformerTrunk, tokens: Any, index: int, rotary: Any) -> Any:
        indices.append(index)
        return block(self, tokens, index, rotary)

    monkeypatch.setattr(TransformerTrunk, "_block", recorded)
    return indices


@pytest.mark.parametrize(
    ("adaptation", "block_runs"),
    [("probe", 6), ("knn(3)", 6), ("prototype", 6), ("lora(4, last=2)", 4 + 5 * 2), ("full(last=1)", 5 + 5), ("prompts(3, last=2)", 4 + 10),
     ("lora(4)", 30), ("prompts(3)", 30)],
)  # fmt: skip
def test_five_members_on_one_trunk(
    adaptation: str, block_runs: int, base: PretrainedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member_dirs = write_five(base, adaptation, tmp_path / "members")
    image_N3HW = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), dtype=np.uint8)
    views = [("identity", lambda x: x), ("flip", lambda x: x.flip(3))]

    def frame(x: torch.Tensor) -> torch.Tensor:
        return x.float() / 255

    alone = [predict(member_files.read_member(path).classifier, image_N3HW, frame, views) for path in member_dirs]
    [ensemble] = shared_base.read_ensembles(member_dirs)
    indices = record_blocks(monkeypatch)
    for _ in range(2):  # the tensors of the last member must not remain in the first
        together = predict_ensemble(ensemble, image_N3HW, frame, views)
        for expected, prediction in zip(alone, together, strict=True):
            for view in expected.logit:
                np.testing.assert_allclose(prediction.logit[view], expected.logit[view], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(prediction.embedding_ND, expected.embedding_ND, rtol=1e-4, atol=1e-5)
    assert len(indices) == 2 * len(views) * block_runs
    assert len({round(float(prediction.logit["identity"][0]), 4) for prediction in alone}) == 5


@pytest.mark.parametrize("adaptation", ["probe", "lora(4, last=2)", "full(last=1)"])
def test_an_ensemble_in_half_precision_gives_the_logits_of_its_members(
    adaptation: str, base: PretrainedWeights, tmp_path: Path
) -> None:
    """No cast weight of one member is used for the next, and the head runs in float32 whatever the trunk's precision."""
    member_dirs = write_five(base, adaptation, tmp_path / "members")
    image_N3HW = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), dtype=np.uint8)
    half, views = InferenceConfig(dtype=torch.bfloat16), [("identity", lambda x: x)]
    [ensemble] = shared_base.read_ensembles(member_dirs)
    together = predict_ensemble(ensemble, image_N3HW, lambda x: x.float() / 255, views, half)
    for path, prediction in zip(member_dirs, together, strict=True):
        net = member_files.read_member(path).classifier
        alone = predict(net, image_N3HW, lambda x: x.float() / 255, views, half)
        np.testing.assert_allclose(prediction.logit["identity"], alone.logit["identity"], rtol=1e-4, atol=1e-4)
        with torch.inference_mode():
            exact_N = member_files.read_head(path)(torch.from_numpy(prediction.embedding_ND)).squeeze(1).numpy()
        np.testing.assert_allclose(prediction.logit["identity"], exact_N, rtol=1e-4, atol=1e-4)
    assert len({round(float(prediction.logit["identity"][0]), 4) for prediction in together}) == 5
    first = member_files.read_member(member_dirs[0]).classifier
    full = predict(first, image_N3HW, lambda x: x.float() / 255, views)
    assert not np.allclose(full.embedding_ND, together[0].embedding_ND, rtol=1e-4, atol=1e-4)  # it was half precision


def test_fully_trained_members_share_nothing(tmp_path: Path) -> None:
    for seed in range(2):
        net = build(Architecture("vit-mini8", 64, "mean"), seed=seed)
        member_files.write_member(tmp_path / str(seed), str(seed), "crop(64)", net)
    assert len(shared_base.read_ensembles([tmp_path / "0", tmp_path / "1"])) == 2
