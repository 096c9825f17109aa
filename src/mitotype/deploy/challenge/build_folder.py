"""The build folder: Dockerfile, entry point, bundle, scripts, and a stack for the test run."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mitotype.core import extras, files, images, outputs
from mitotype.core.errors import UserError
from mitotype.core.examples import example_paths
from mitotype.core.folder_lock import remove_lock
from mitotype.core.run_layout import BundleRecord, names, read_bundle, read_member
from mitotype.deploy.bundle import find_bundle
from mitotype.deploy.challenge import interface
from mitotype.deploy.challenge.entry import needs_torch

TEMPLATES = Path(__file__).parent / "templates"
MODEL, WHEELS, TEST_INPUT, REQUIREMENTS = "model", "wheels", "test/input", "requirements.txt"
ENTRY = "inference.py"
SCRIPTS = ("do_build.sh", "do_test_run.sh", "do_save.sh")
FROM_TEMPLATES = ("Dockerfile", ".dockerignore", ENTRY, *SCRIPTS)
CONTENTS = (*FROM_TEMPLATES, REQUIREMENTS, MODEL, WHEELS, "test")
MAX_PAGES = 16  # of a stack
LOGGER = logging.getLogger("mitotype")


def write_build_folder(source: str, out: Path, wheels: Path | None = None) -> Path:
    """Write the build folder of a bundle into `out` and return it.

    The image installs from `wheels`, which must hold a wheel of this version of mitotype, or without it from pip's own index.
    Weights under adapters are included. Raises a UserError for a run, and for weights that are not on this machine.
    """
    folder = find_bundle(source)
    record = read_bundle(folder)
    is_heavy = needs_torch(folder, record)
    wheel_paths = _wheels(wheels, is_heavy=is_heavy) if wheels else []
    bases = _bases(folder, record) if is_heavy else {}
    with outputs.claimed(out, CONTENTS, inputs=[folder, *([wheels] if wheels else [])]):
        model = {file: folder / file for file in (*record.files, names.BUNDLE)} | bases
        for file, path in model.items():
            files.copy(path, out / MODEL / file)
        (out / WHEELS).mkdir(exist_ok=True)
        for path in wheel_paths:
            files.copy(path, out / WHEELS / path.name)
        requirement = f"mitotype{'[train]' if is_heavy else ''}=={version('mitotype')}"
        files.write_text(out / REQUIREMENTS, f"{requirement}\n")
        for name in FROM_TEMPLATES:  # pip adds compiled files beside them
            files.copy(TEMPLATES / name.removeprefix("."), out / name)
        for name in SCRIPTS:
            (out / name).chmod(0o755)
        interface.write_input(out / TEST_INPUT, _example_stack())
        remove_lock(out)
    if bases:
        licenses = "\n".join(f"- {line}" for line in record.licenses.lines)
        LOGGER.warning(f"the image contains published weights; hand it in where their license allows it:\n{licenses}")
    return out


def _wheels(folder: Path, *, is_heavy: bool) -> list[Path]:
    """Return the wheels of a folder. Raises a UserError if none is of this version of mitotype, or of a torch that is needed."""
    paths = sorted(folder.glob("*.whl"))
    needed = {f"mitotype-{version('mitotype')}-": f"mitotype {version('mitotype')}"} | (
        {"torch-": "torch"} if is_heavy else {}
    )
    for start, name in needed.items():
        if not any(path.name.startswith(start) for path in paths):
            source = '".[train]"' if is_heavy else "."
            fix = f"in a checkout of mitotype {version('mitotype')}: pip wheel --wheel-dir {folder} {source}"
            raise UserError(f"'{folder}' holds no wheel of {name}.", fix=fix)
    return paths


def _bases(folder: Path, record: BundleRecord) -> dict[str, Path]:
    """Return the weights under adapters that the bundle itself does not hold, by their name in it."""
    bases = {}
    for name in record.members:
        architecture = read_member(names.member_dir(folder, name)).architecture
        if architecture is None or not architecture.base:
            continue
        file = f"{names.BASES}/{architecture.base}.safetensors"
        if file not in record.files and file not in bases:
            with extras.translated():
                from mitotype.backbones import weights
            bases[file] = weights.find_safetensors(
                architecture.backbone, architecture.base, fix="convert it, and make the bundle again"
            )
    return bases


def _example_stack() -> list[np.ndarray]:
    """Return the images that ship with the package as a full stack."""
    examples = [images.read(path) for path in example_paths()]
    return [examples[page % len(examples)] for page in range(MAX_PAGES)]
