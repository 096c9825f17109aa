"""Where weights come from: a file, a folder, a run, the hub's cache; and what is said where they cannot be had."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mitotype.backbones import backbones, weights
from mitotype.backbones.classifier import Architecture, build
from mitotype.core.mistakes import Mistake
from tests.backbones.siblings import shelved


def trunk_state(name: str = "vit-mini8") -> dict[str, torch.Tensor]:
    facts = backbones.get(name).facts
    net = build(Architecture(name, facts.grid_px, facts.default_pooling), seed=1)
    prefix = "net." if facts.keys == "timm" else ""
    return {k.removeprefix(prefix): v.contiguous() for k, v in net.trunk.state_dict().items()}


@pytest.mark.parametrize("spelling", ["file", "folder", "bin", "wrapped"])
def test_one_mechanism_for_every_spelling(spelling: str, tmp_path: Path) -> None:
    with shelved("gigapath") as [name]:
        state = trunk_state(name)
        place = tmp_path / "pytorch_model.bin"
        if spelling in ("file", "folder"):
            place = tmp_path / "model.safetensors"
            save_file(state, place)
        else:
            torch.save({"state_dict": state} if spelling == "wrapped" else state, place)
        base = weights.find(name, str(tmp_path if spelling == "folder" else place))
        found = weights.state(weights.known(name, base.digest))
        assert all(torch.equal(found["net." + key], value) for key, value in state.items())


def test_a_changed_file_is_another_base_and_the_old_one_is_no_longer_known(tmp_path: Path) -> None:
    state = trunk_state()
    save_file(state, tmp_path / "a.safetensors")
    first = weights.find("vit-mini8", str(tmp_path / "a.safetensors"))
    save_file({k: v + 1 for k, v in state.items()}, tmp_path / "a.safetensors")
    second = weights.find("vit-mini8", str(tmp_path / "a.safetensors"))
    assert first.digest != second.digest
    assert weights.known("vit-mini8", second.digest) == second
    with pytest.raises(Mistake, match="not known on this machine"):
        weights.known("vit-mini8", first.digest)


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_nothing_in_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": Harm()}, tmp_path / "a.bin")
    (tmp_path / "b.bin").write_bytes(pickle.dumps(Harm()))
    for name in ("a.bin", "b.bin"):
        with pytest.raises(Mistake, match=r"more than tensors|cannot be read"):
            weights.read(tmp_path / name)
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent", "no weights of"),
        ("a.txt", "no weights file"),
        ("empty", "no weights of"),
        ("broken.safetensors", "cannot be read"),
    ],
)
def test_what_is_no_weights(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "broken.safetensors").write_bytes(b"not whole")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Mistake, match=said):
        weights.state(weights.find("vit-mini8", str(tmp_path / name)))


def test_other_nets_weights_are_told_apart(tmp_path: Path) -> None:
    state = trunk_state()
    state.pop("net.norm.bias")
    state["net.extra"] = torch.zeros(1)
    state["net.pos_embed"] = torch.zeros(1, 65, 32)
    save_file(state, tmp_path / "a.safetensors")
    base = weights.find("vit-mini8", str(tmp_path / "a.safetensors"))
    with pytest.raises(Mistake, match=r"1 missing .*1 unknown .*1 of another shape"):
        build(Architecture("vit-mini8", 64, "mean", adaptation="probe"), seed=0, base_state=weights.state(base))


def test_a_position_embedding_comes_to_the_trunks_grid(tmp_path: Path) -> None:
    save_file(trunk_state(), tmp_path / "a.safetensors")
    base = weights.find("vit-mini8", str(tmp_path / "a.safetensors"))
    net = build(Architecture("vit-mini8", 96, "mean", adaptation="probe"), seed=0, base_state=weights.state(base))
    assert net.trunk.net.pos_embed.shape == (1, 1 + 144, 192)
    assert net(torch.rand(1, 3, 96, 96)).logit_B.isfinite().all()


def test_without_a_network_both_ways_on_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        Mistake,
        match=r"(?s)not in the hub's cache.*with a network: mitotype weights uni .*huggingface.co/MahmoodLab/UNI.*--from FILE",
    ):
        weights.find("uni", "published")
    with pytest.raises(Mistake, match="No weights are published for vit-mini8"):
        weights.find("vit-mini8", "published")


def test_a_gated_model_names_the_page_where_access_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import GatedRepoError

    def refuse(repository: str, file: str) -> str:
        raise GatedRepoError.__new__(GatedRepoError)  # its own constructor asks for an answer of the hub

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(
        Mistake, match=r"(?s)are gated.*https://huggingface.co/MahmoodLab/UNI2-h.*hf auth login.*--from FILE"
    ):
        weights.find("uni2-h", "published")


def test_what_the_hub_gives_is_named_with_its_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with shelved("uni") as [name]:
        blob = tmp_path / "blobs" / "abc"  # the hub's cache keeps the file without a suffix, and a link with its name
        place = tmp_path / "snapshots" / "0123456789abcdef" / "model.safetensors"
        for folder in (blob.parent, place.parent):
            folder.mkdir(parents=True)
        save_file(trunk_state(name), blob)
        place.symlink_to(blob)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repository, file: str(place))
        base = weights.find(name, "published")
        assert base.source == "mitotype-tests/tiny-uni@0123456789ab"
        assert len(weights.state(base)) == len(trunk_state(name))


def test_a_file_that_was_brought_is_what_is_published_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with shelved("uni") as [name]:
        save_file(trunk_state(name), tmp_path / "mine.safetensors")
        brought = weights.bring(name, str(tmp_path / "mine.safetensors"))
        assert weights.find(name, "published").digest == brought.digest
        assert weights.at_hand(name) == (tmp_path / "mine.safetensors", "mine.safetensors")


def test_a_base_beside_a_bundle_is_the_one_it_is_called_by(tmp_path: Path) -> None:
    save_file(trunk_state(), tmp_path / f"{'0' * 64}.safetensors")
    with pytest.raises(Mistake, match="not those of their name"):
        weights.known("vit-mini8", "0" * 64, tmp_path)


def test_an_old_checkpoint_is_read(tmp_path: Path) -> None:
    torch.save(trunk_state(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert weights.read(tmp_path / "old.pth").keys() == trunk_state().keys()
