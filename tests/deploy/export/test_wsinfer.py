"""The WSInfer folder: its validator accepts it, and QuPath's steps on it give the class of `classify`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from wsinfer_zoo.cli import cli as wsinfer_zoo

from mitotype import api
from mitotype.core.errors import UserError
from mitotype.core.run_layout import CombinerRecord
from mitotype.deploy import bundle
from mitotype.deploy.export import export_folder
from mitotype.deploy.export.export_folder import CLASS_TITLES
from tests.deploy.export.qupath import WSInferExtension
from tests.deploy.export.test_onnx import MEMBERS, changed

TITLES = {"normal": CLASS_TITLES[0], "atypical": CLASS_TITLES[1]}
ROUNDED = 2e-6  # mitotype.json has six decimals


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.export("default", to="wsinfer", out=tmp_path_factory.mktemp("models") / "mitotype-default")


@pytest.fixture(scope="module")
def extension(folder: Path) -> WSInferExtension:
    return WSInferExtension(folder, torch.jit.load(folder / "torchscript_model.pt"))


def test_wsinfers_validator_accepts_the_folder(folder: Path) -> None:
    result = CliRunner().invoke(wsinfer_zoo, ["validate-config", str(folder / "config.json")])
    assert result.exit_code == 0 and "VALID" in result.output, result.output
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "card.md", "config.json", "mitotype.json", "test_image.png", "torchscript_model.pt",
    }  # fmt: skip
    assert "For Research Use Only" in (folder / "README.md").read_text()


def test_the_test_image_has_its_number(folder: Path, extension: WSInferExtension) -> None:
    expected = json.loads((folder / "mitotype.json").read_text())
    [name], measurement_12 = extension.classify(np.asarray(Image.open(folder / expected["test_image"]))[None])
    assert name == expected["test_class"]
    assert measurement_12[0, 1] == pytest.approx(expected["atypical"], abs=ROUNDED)
    [prediction] = api.classify([folder / expected["test_image"]])
    assert prediction.probability == pytest.approx(expected["probability"], abs=ROUNDED)
    assert TITLES[prediction.label_name] == name


@pytest.mark.parametrize(("side_px", "n_patches"), [(64, 1), (70, 5)])
def test_any_batch_and_larger_patches_run(extension: WSInferExtension, side_px: int, n_patches: int) -> None:
    image_N3SS = torch.rand(n_patches, 3, side_px, side_px)
    inside_N3SS = image_N3SS[..., (side_px - 64) // 2 :, (side_px - 64) // 2 :][..., :64, :64]
    torch.testing.assert_close(extension.net(image_N3SS), extension.net(inside_N3SS))


@pytest.mark.real
@pytest.mark.parametrize(("mpp_um", "least"), [(0.25, 0.995), (0.23, 0.97)])
def test_qupaths_class_is_that_of_classify(
    extension: WSInferExtension, shared_data: Path, mpp_um: float, least: float
) -> None:
    paths = sorted((shared_data / "AMi-Br_Benchmark" / "AtNorM-Br").rglob("*.png"))
    slides = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    patches = [
        extension.read(slide_HW3, mpp_um, *(side / 2 for side in slide_HW3.shape[1::-1])) for slide_HW3 in slides
    ]
    ours, _ = extension.classify(np.stack(patches))
    theirs = [TITLES[prediction.label_name] for prediction in api.classify(paths, mpp_um=mpp_um)]
    share = np.mean([a == b for a, b in zip(ours, theirs, strict=True)])
    print(f"{mpp_um} µm/px: the class of {share:.4%} of {len(paths)} figures")
    assert len(paths) == 746 and share >= least


@pytest.mark.long
def test_views_and_a_weighted_combiner_are_in_the_net(tmp_path: Path) -> None:
    combiner = CombinerRecord("weighted", views=("identity", "turn45"), weights={MEMBERS[0]: 0.7, MEMBERS[1]: 0.4})
    source = changed(tmp_path / "bundle", tta="around", combiner=combiner)
    api.export(source, to="wsinfer", out=tmp_path / "out")  # which compares the net with the bundle


def test_an_earlier_export_is_replaced(folder: Path, tmp_path: Path) -> None:
    out = shutil.copytree(folder, tmp_path / "out")
    api.export(changed(tmp_path / "bundle", members=MEMBERS[:1]), to="wsinfer", out=out)
    assert (out / "mitotype.json").read_text() != (folder / "mitotype.json").read_text()


def test_an_export_over_another_that_is_stopped_has_no_record(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(folder, tmp_path / "out")
    monkeypatch.setattr(export_folder, "write_shared", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        api.export("default", to="wsinfer", out=out)
    assert not (out / "mitotype.json").exists()
    monkeypatch.undo()
    api.export("default", to="wsinfer", out=out)
    assert (out / "mitotype.json").read_bytes() == (folder / "mitotype.json").read_bytes()


def test_a_folder_with_other_files_is_refused(folder: Path, tmp_path: Path) -> None:
    """Those of another format beside these would be of another bundle."""
    out = shutil.copytree(folder, tmp_path / "out")
    (out / "two_class.onnx").write_bytes(b"")
    before = sorted(out.iterdir())
    with pytest.raises(UserError, match=r"contains 'two_class\.onnx'"):
        api.export("default", to="wsinfer", out=out)
    assert (out / "mitotype.json").exists() and set(before) <= set(out.iterdir())


def test_other_folders_and_other_bundles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no nets"):
        api.export("morphology", to="wsinfer", out=tmp_path / "out")
    with pytest.raises(UserError, match="--out FOLDER"):
        api.export("default", to="wsinfer")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="would be replaced"):
        api.export("default", to="wsinfer", out=tmp_path / "mine")
    with pytest.raises(UserError, match="is an input"):
        api.export("default", to="wsinfer", out=bundle.shipped()["default"])


RUN = """
import json, pathlib, sys, numpy, torch
from PIL import Image
folder = pathlib.Path(sys.argv[1])
image_HW3 = numpy.asarray(Image.open(folder / "test_image.png"))
net = torch.jit.load(folder / "torchscript_model.pt")
logit_12 = net(torch.from_numpy(image_HW3.copy()).permute(2, 0, 1)[None].float() / 255)
print(json.dumps([torch.__version__, float(torch.softmax(logit_12, 1)[0, 1])]))
"""


@pytest.mark.long
@pytest.mark.parametrize("python", os.environ.get("MITOTYPE_OTHER_TORCH", "").split())
def test_other_versions_of_torch_load_it(folder: Path, python: str) -> None:
    """MITOTYPE_OTHER_TORCH="…/venv25/bin/python …/venv27/bin/python": environments with torch, numpy and Pillow."""
    run = subprocess.run([python, "-c", RUN, str(folder)], capture_output=True, text=True, check=True)
    version, atypical = json.loads(run.stdout)
    print(f"torch {version}: {atypical:.6f}")
    assert atypical == pytest.approx(json.loads((folder / "mitotype.json").read_text())["atypical"], abs=1e-5)
