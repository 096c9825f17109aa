"""The entry point gives for a stack what `classify` gives for its pages, in a form that the organizers' checks accept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mitotype
from mitotype.core.errors import UserError
from mitotype.deploy.bundle import shipped
from mitotype.deploy.challenge import entry, interface
from tests.deploy.challenge import organizers
from tests.imports.test_imports import HEAVY

DEFAULT = shipped()["default"]


def write_stack(input_dir: Path, image_list_HW3: Sequence[np.ndarray], mpp_um: float | None) -> Path:
    """Write an input folder; without `mpp_um` the stack states no spacing."""
    interface.write_input(input_dir, image_list_HW3)
    pages = [Image.fromarray(image) for image in image_list_HW3]
    resolution: dict[str, Any] = {} if mpp_um is None else {"dpi": (25_400 / mpp_um, 25_400 / mpp_um)}
    stack = input_dir / interface.STACKS / "stack.tiff"
    pages[0].save(stack, save_all=True, append_images=pages[1:], compression="tiff_adobe_deflate", **resolution)
    return stack


def run_entry(input_dir: Path, output_dir: Path, model_dir: Path = DEFAULT) -> list[tuple[str, float]]:
    output_dir.mkdir(exist_ok=True)
    entry.main(model_dir, ["--input", str(input_dir), "--output", str(output_dir)])
    items = json.loads((output_dir / interface.OUTPUT).read_bytes())
    organizers.accept((output_dir / interface.OUTPUT).read_bytes(), len(items))
    return [(item["class"], item["confidence"]) for item in items]


def classified(images: object, mpp_um: float | None = None, bundle: str = "default") -> list[tuple[str, float]]:
    return [(p.label_name, p.probability) for p in mitotype.classify(images, bundle, mpp_um=mpp_um)]


@pytest.mark.real
@pytest.mark.parametrize("bundle", ["default", "morphology"])
def test_stacks_of_1_to_16_real_pages_are_classified_as_by_classify(
    bundle: str, shared_data: Path, tmp_path: Path
) -> None:
    root = shared_data / "AMi-Br_Benchmark" / "AtNorM-Br"
    paths = [path for folder in ("Atypical", "Normal") for path in sorted((root / folder).glob("*.png"))[:8]]
    paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]
    image_list_HW3 = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    expected = classified(paths, bundle=bundle)
    assert {label for label, _ in expected} == {"atypical", "normal"}
    for n_pages in range(1, 17):
        write_stack(tmp_path / "input", image_list_HW3[:n_pages], 0.25)
        result = run_entry(tmp_path / "input", tmp_path / "output", shipped()[bundle])
        assert [label for label, _ in result] == [label for label, _ in expected[:n_pages]]
        assert [p for _, p in result] == pytest.approx([p for _, p in expected[:n_pages]], abs=1e-6)


@pytest.mark.real
@pytest.mark.parametrize("mpp_um", [0.23, 0.5])
def test_the_spacing_of_the_stack_is_used(mpp_um: float, shared_data: Path, tmp_path: Path) -> None:
    paths = sorted((shared_data / "AMi-Br_Benchmark" / "AtNorM-Br" / "Normal").glob("*.png"))[:5]
    write_stack(tmp_path / "input", [np.asarray(Image.open(path).convert("RGB")) for path in paths], mpp_um)
    expected = classified(paths, mpp_um)
    assert expected != classified(paths)
    result = run_entry(tmp_path / "input", tmp_path / "output")
    assert [p for _, p in result] == pytest.approx([p for _, p in expected], abs=1e-6)


@pytest.mark.real
def test_the_organizers_own_sample(shared_data: Path, tmp_path: Path) -> None:
    sample = shared_data / "formats" / "challenge" / "t2_reference" / "test" / "input"
    if not sample.is_dir():
        pytest.skip("the sample is not beside this checkout")
    expected = classified(sample / interface.STACKS / "stack_5.tiff")
    assert len(expected) == 16
    assert run_entry(sample, tmp_path / "output") == expected
    placeholder = sample / "interf0"  # a 1 × 1 .mha and no stack
    with pytest.raises(SystemExit, match="has 0 TIFF files"):
        run_entry(placeholder, tmp_path / "output")
    shutil.copytree(sample, tmp_path / "input")
    shutil.copy(next(placeholder.rglob("*.mha")), tmp_path / "input" / interface.STACKS)
    assert run_entry(tmp_path / "input", tmp_path / "output") == expected


@pytest.mark.real
def test_the_checks_of_the_tests_are_the_organizers(shared_data: Path) -> None:
    """Numbers that were computed by hand on the organizers' own sample of an evaluation."""
    folder = shared_data / "formats" / "challenge" / "t2_evaluation"
    if not folder.is_dir():
        pytest.skip("the sample is not beside this checkout")
    numbers = organizers.evaluate(folder / "test" / "input", folder / "ground_truth" / "ground_truth.json")
    assert [numbers[key] for key in ("tp", "fn", "tn", "fp")] == [5, 1, 17, 10]
    assert numbers["balanced_accuracy"] == pytest.approx(0.731481, abs=1e-6)
    assert numbers["roc_auc"] == pytest.approx(0.660494, abs=1e-6)


def test_a_stack_without_a_plausible_spacing_is_at_a_quarter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = mitotype.example_images()
    image_list_HW3 = [np.asarray(Image.open(path)) for path in paths]
    for mpp_um in (None, 352.8):
        write_stack(tmp_path / "input", image_list_HW3, mpp_um)
        assert run_entry(tmp_path / "input", tmp_path / "output") == classified(paths)
        assert "states no plausible spacing; 0.25" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "message"),
    [([], "are none"), ([{"interface": {"slug": "other"}}], "are other"), ({}, "no list of socket values"), ([{}], "no list")],
)  # fmt: skip
def test_other_sockets_are_refused(value: object, message: str, tmp_path: Path) -> None:
    (tmp_path / interface.INPUTS).write_text(json.dumps(value))
    with pytest.raises(UserError, match=message):
        interface.find_stack(tmp_path)


def test_a_stack_with_a_page_that_cannot_be_classified_gives_no_output(tmp_path: Path) -> None:
    small = [np.full((20, 20, 3), 200, np.uint8)] * 2
    write_stack(tmp_path / "input", small, 0.25)
    with pytest.raises(SystemExit, match="20 × 20 px"):
        run_entry(tmp_path / "input", tmp_path / "output")
    assert not list((tmp_path / "output").iterdir())


@pytest.mark.parametrize(
    "raw",
    [
        b"[]", b"{}", b'[{"class": "normal"}]', b'[{"class": "AMF", "confidence": 0.5}]', b'["normal"]', b"[",
        b'[{"class": "normal", "confidence": 1}]', b'[{"class": "normal", "confidence": NaN}]', b"null",
    ],
)  # fmt: skip
def test_outputs_that_the_organizers_refuse_are_refused(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises((organizers.Refused, ValueError)):
        organizers.accept(raw, 1)
    (tmp_path / interface.OUTPUT).write_bytes(raw)
    with pytest.raises(UserError):
        interface.read_classifications(tmp_path, 1)


def test_probabilities_of_0_and_1_are_floats(tmp_path: Path) -> None:
    prediction = mitotype.Prediction("", 0, 0, "normal", "normal", 0.0, ())
    interface.write_classifications(tmp_path, [prediction])
    raw = (tmp_path / interface.OUTPUT).read_bytes()
    assert organizers.accept(raw, 1) == [{"class": "normal", "confidence": 0.0}]
    assert interface.read_classifications(tmp_path, 1) == [("normal", 0.0)]


def test_the_model_is_that_of_the_variable_else_the_one_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert entry.find_model(tmp_path) == tmp_path
    shutil.copytree(DEFAULT, tmp_path / "uploaded")
    monkeypatch.setattr(entry, "UPLOADED", tmp_path / "uploaded")
    assert entry.find_model(tmp_path) == tmp_path / "uploaded"
    monkeypatch.setenv("MODEL_PATH", "/elsewhere")
    assert entry.find_model(tmp_path) == Path("/elsewhere")


def test_the_entry_point_is_light(tmp_path: Path) -> None:
    image_list_HW3 = [np.asarray(Image.open(path)) for path in mitotype.example_images()]
    write_stack(tmp_path, image_list_HW3, 0.25)
    code = (
        "import sys; from pathlib import Path; from mitotype.deploy.challenge.entry import main\n"
        f"main(Path({str(DEFAULT)!r}), ['--input', {str(tmp_path)!r}, '--output', {str(tmp_path)!r}])\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not set(result.stdout.split()) & HEAVY
    assert "Research Use Only" in result.stderr
