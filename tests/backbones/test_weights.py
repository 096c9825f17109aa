"""Pretrained weights from a file, a folder, a run and the hub's cache, and the errors where there are none."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mitotype.backbones import backbones, state_dicts, weights
from mitotype.backbones.classifier import Architecture, build
from mitotype.backbones.weights_cache import WeightsCache
from mitotype.core.cache import cache_dir
from mitotype.core.errors import UserError
from tests.backbones.siblings import registered_siblings


def trunk_state(name: str = "vit-mini8") -> dict[str, torch.Tensor]:
    spec = backbones.get(name).spec
    net = build(Architecture(name, spec.pretrained_size_px, spec.default_pooling), seed=1)
    prefix = "net." if spec.state_dict_format == "timm" else ""
    return {k.removeprefix(prefix): v.contiguous() for k, v in net.trunk.state_dict().items()}


@pytest.mark.parametrize("kind", ["file", "folder", "bin", "wrapped"])
def test_weights_are_found_by_file_and_folder(kind: str, tmp_path: Path) -> None:
    with registered_siblings("gigapath") as [name]:
        state = trunk_state(name)
        path = tmp_path / "pytorch_model.bin"
        if kind in ("file", "folder"):
            path = tmp_path / "model.safetensors"
            save_file(state, path)
        else:
            torch.save({"state_dict": state} if kind == "wrapped" else state, path)
        base = weights.find(name, str(tmp_path if kind == "folder" else path))
        loaded = weights.read_state_dict(weights.find_by_digest(name, base.digest))
        assert all(torch.equal(loaded["net." + key], value) for key, value in state.items())


def test_a_changed_file_has_another_digest_and_the_old_one_is_gone(tmp_path: Path) -> None:
    state = trunk_state()
    save_file(state, tmp_path / "a.safetensors")
    first = weights.find("vit-mini8", str(tmp_path / "a.safetensors"))
    save_file({k: v + 1 for k, v in state.items()}, tmp_path / "a.safetensors")
    second = weights.find("vit-mini8", str(tmp_path / "a.safetensors"))
    assert first.digest != second.digest
    assert weights.find_by_digest("vit-mini8", second.digest) == second
    with pytest.raises(UserError, match="not on this machine"):
        weights.find_by_digest("vit-mini8", first.digest)


def test_damaged_records_of_the_cache_are_made_again(tmp_path: Path) -> None:
    save_file(trunk_state(), tmp_path / "a.safetensors")
    base = weights.register_local("vit-mini8", str(tmp_path / "a.safetensors"))
    cached = sorted((cache_dir() / "weights").rglob("*.json"))
    assert len(cached) == 3
    for text in (b"", b"[]", b'{"size": "1"}'):
        for path in cached:
            path.write_bytes(text)
        assert WeightsCache().registered("vit-mini8") is None
        with pytest.raises(UserError, match="not on this machine"):
            weights.find_by_digest("vit-mini8", base.digest)
        assert weights.register_local("vit-mini8", str(tmp_path / "a.safetensors")) == base
        assert weights.find_by_digest("vit-mini8", base.digest) == base
        assert WeightsCache().registered("vit-mini8") == (tmp_path / "a.safetensors", "a.safetensors")


class RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_no_code_in_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": RunsCode()}, tmp_path / "a.bin")
    (tmp_path / "b.bin").write_bytes(pickle.dumps(RunsCode()))
    for name in ("a.bin", "b.bin"):
        with pytest.raises(UserError, match=r"more than tensors|cannot be read"):
            state_dicts.read_state_dict(tmp_path / name)
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "no weights of"),
        ("a.txt", "not a weights file"),
        ("empty", "no weights of"),
        ("broken.safetensors", "cannot be read"),
    ],
)
def test_errors_for_files_without_weights(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "broken.safetensors").write_bytes(b"not whole")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        weights.read_state_dict(weights.find("vit-mini8", str(tmp_path / name)))


def test_mismatches_with_another_net_are_listed(tmp_path: Path) -> None:
    state = trunk_state()
    state.pop("net.norm.bias")
    state["net.extra"] = torch.zeros(1)
    state["net.pos_embed"] = torch.zeros(1, 65, 32)
    save_file(state, tmp_path / "a.safetensors")
    base = weights.find("vit-mini8", str(tmp_path / "a.safetensors"))
    base_state = weights.read_state_dict(base)
    with pytest.raises(UserError, match=r"1 missing .*1 unknown .*1 of another shape"):
        build(Architecture("vit-mini8", 64, "mean", adaptation="probe"), seed=0, base_state=base_state)


def test_a_position_embedding_is_resampled_to_the_trunks_grid(tmp_path: Path) -> None:
    save_file(trunk_state(), tmp_path / "a.safetensors")
    base = weights.find("vit-mini8", str(tmp_path / "a.safetensors"))
    base_state = weights.read_state_dict(base)
    net = build(Architecture("vit-mini8", 96, "mean", adaptation="probe"), seed=0, base_state=base_state)
    assert net.trunk.net.pos_embed.shape == (1, 1 + 144, 192)
    assert net(torch.rand(1, 3, 96, 96)).logit_B.isfinite().all()


def test_without_a_network_the_error_names_both_fixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        UserError,
        match=r"(?s)not in the hub's cache.*with a network: mitotype weights uni .*huggingface.co/MahmoodLab/UNI.*--from FILE",
    ):
        weights.find("uni", "published")
    with pytest.raises(UserError, match="No weights are published for vit-mini8"):
        weights.find("vit-mini8", "published")


def test_the_error_for_gated_weights_names_the_page_for_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import GatedRepoError

    def refuse(repository: str, file: str) -> str:
        raise GatedRepoError.__new__(GatedRepoError)  # its constructor needs a response of the hub

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(
        UserError, match=r"(?s)are gated.*https://huggingface.co/MahmoodLab/UNI2-h.*hf auth login.*--from FILE"
    ):
        weights.find("uni2-h", "published")


def test_the_source_of_downloaded_weights_has_their_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with registered_siblings("uni") as [name]:
        blob = tmp_path / "blobs" / "abc"  # the hub's cache stores the file without a suffix, and a link with its name
        path = tmp_path / "snapshots" / "0123456789abcdef" / "model.safetensors"
        for folder in (blob.parent, path.parent):
            folder.mkdir(parents=True)
        save_file(trunk_state(name), blob)
        path.symlink_to(blob)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repository, file: str(path))
        base = weights.find(name, "published")
        assert base.source == "mitotype-tests/tiny-uni@0123456789ab"
        assert len(weights.read_state_dict(base)) == len(trunk_state(name))


def test_a_registered_file_stands_for_the_published_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with registered_siblings("uni") as [name]:
        save_file(trunk_state(name), tmp_path / "mine.safetensors")
        local = weights.register_local(name, str(tmp_path / "mine.safetensors"))
        assert weights.find(name, "published").digest == local.digest
        assert weights.find_local(name) == (tmp_path / "mine.safetensors", "mine.safetensors")


def test_a_base_in_a_bundle_must_match_its_digest(tmp_path: Path) -> None:
    save_file(trunk_state(), tmp_path / f"{'0' * 64}.safetensors")
    with pytest.raises(UserError, match="do not match their digest"):
        weights.find_by_digest("vit-mini8", "0" * 64, tmp_path)


def test_an_old_checkpoint_is_read(tmp_path: Path) -> None:
    torch.save(trunk_state(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert state_dicts.read_state_dict(tmp_path / "old.pth").keys() == trunk_state().keys()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
NO_WEIGHTS = {
    "pointer.safetensors": (POINTER, "a pointer of git-lfs"),
    "pointer.bin": (POINTER, "a pointer of git-lfs"),
    "page.pth": (b"<!DOCTYPE html><html>log in</html>", "a web page"),
    "empty.safetensors": (b"", "cannot be read"),
    "header.safetensors": (b"\xff" * 8 + b"{}", "cannot be read"),
    "deep.safetensors": ((10**5).to_bytes(8, "little") + b"[" * 10**5, "cannot be read"),
    "text.bin": (b"garbage", "cannot be read"),
    "stop.bin": (b"\x80\x02.", "cannot be read"),
}


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_what_is_no_weights_file_is_named(name: str, tmp_path: Path) -> None:
    raw, message = NO_WEIGHTS[name]
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match=message):
        state_dicts.read_state_dict(tmp_path / name)
    with pytest.raises(UserError, match=message):
        state_dicts.read_tensor(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        {1: torch.zeros(3)},
        {None: torch.zeros(3)},
        {("a", 2): torch.zeros(3)},
        {"state_dict": {b"a": torch.zeros(3)}},
        {"a": torch.zeros(3).to_sparse()},
        {"a": torch.zeros(3, device="meta")},
        {"a": 1},
        [torch.zeros(3)],
    ],
)
def test_a_state_dict_has_names_and_plain_tensors(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(UserError, match="not a state dict"):
        state_dicts.read_state_dict(tmp_path / "a.pt")


def test_weights_that_are_refused_do_not_take_the_place_of_good_ones(tmp_path: Path) -> None:
    with registered_siblings("uni") as [name]:
        save_file(trunk_state(name), tmp_path / "good.safetensors")
        good = weights.register_local(name, str(tmp_path / "good.safetensors"))
        (tmp_path / "pointer.safetensors").write_bytes(POINTER)
        save_file({"net.x": torch.zeros(1)}, tmp_path / "other.safetensors")
        for refused in ("pointer.safetensors", "other.safetensors"):
            with pytest.raises(UserError):
                weights.register_local(name, str(tmp_path / refused))
            assert weights.find(name, "published") == good


def test_a_registered_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    with registered_siblings("uni") as [name]:
        path, state = tmp_path / "mine.safetensors", trunk_state(name)
        save_file(state, path)
        before = path.stat()
        weights.register_local(name, str(path))
        save_file({key: value + 1 for key, value in state.items()}, path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as unzip, tar and rsync set it
        with pytest.raises(UserError, match="changed since they were registered"):
            weights.find(name, "published")
        weights.register_local(name, str(path))
        assert weights.find(name, "published").path == str(path)


def test_changed_weights_of_a_member_are_no_initial_weights(finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    assert weights.find("d4resnet-tiny", str(folder)).digest
    path = folder / "members" / "all-seed0" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\1\1\1\1")
    for source in (folder, path.parent, path):
        with pytest.raises(UserError, match="their digest differs"):
            weights.find("d4resnet-tiny", str(source))
