"""What goes into a bundle: the files of its members and nothing else, undamaged, with the evaluations of its own run."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from mitotype.api import scoring
from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import BundleRecord, bundle_digest, names, read_bundle
from mitotype.deploy.from_run import bundle_from_run
from mitotype.deploy.predictor import open_predictor

LFS = b"version https://git-lfs.github.com/spec/v1\n"


@pytest.fixture
def run_dir(finished_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished_run, tmp_path / "run")


def test_damaged_weights_make_no_bundle(run_dir: Path, tmp_path: Path) -> None:
    (run_dir / names.MEMBERS / "all-seed0" / names.WEIGHTS).write_bytes(LFS)
    with pytest.raises(UserError, match=r"all-seed0/model\.safetensors' are not those that were written"):
        bundle_from_run(run_dir, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_strangers_and_leftovers_in_the_folder_are_not_listed(run_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    (out / names.MEMBERS / "all-seed0").mkdir(parents=True)
    (out / names.LOCK).touch()  # as a killed command leaves it
    for name in ("private-notes.txt", f"{names.MEMBERS}/all-seed0/.model.safetensors.abcdefgh.part"):
        (out / name).write_text("mine")
    bundle_from_run(run_dir, out)
    assert set(read_bundle(out).files) == {
        "card.md", "members/all-seed0/member.json", "members/all-seed0/model.safetensors",
    }  # fmt: skip
    assert (out / "private-notes.txt").read_text() == "mine"
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize("name", names.BUNDLE_FILES)
def test_files_of_others_are_not_replaced(run_dir: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(UserError, match=r"already"):
        bundle_from_run(run_dir, out)
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == "mine"


@pytest.mark.parametrize("name", [names.EVALUATION, names.EVALUATION_OUT_OF_FOLD])
def test_numbers_of_other_scores_or_of_another_part_are_not_put_on_the_card(
    run_dir: Path, tmp_path: Path, name: str
) -> None:
    evaluation = scoring.evaluate(run_dir, part="out-of-fold", n_boot=50).to_record()
    if name == names.EVALUATION_OUT_OF_FOLD:
        settings = msgspec.structs.replace(evaluation.settings, members=["theirs"])
        evaluation = msgspec.structs.replace(evaluation, settings=settings)
    records.write(run_dir / name, evaluation)
    with pytest.raises(UserError, match="is no evaluation of the"):
        bundle_from_run(run_dir, tmp_path / "bundle")


def test_a_member_outside_of_the_bundle_is_refused(run_dir: Path, tmp_path: Path) -> None:
    """Also where bundle.json is consistent with itself and the files are there."""
    out = bundle_from_run(run_dir, tmp_path / "bundle")
    outside = shutil.copytree(out / names.MEMBERS / "all-seed0", tmp_path.parent / f"{tmp_path.name}-outside")
    record = records.read(out / names.BUNDLE, BundleRecord)
    for members, files in (
        (["../../../" + outside.name], {}),
        (record.members, {f"members/../../../{outside.name}/member.json": "0" * 64}),
        ([str(outside)], {}),
    ):
        changed = msgspec.structs.replace(record, members=members, files=record.files | files)
        records.write(out / names.BUNDLE, msgspec.structs.replace(changed, digest=bundle_digest(changed)))
        with pytest.raises(UserError, match="is not valid"):
            open_predictor(str(out))


def test_tags_in_names_are_escaped_on_the_card(run_dir: Path, tmp_path: Path) -> None:
    out = bundle_from_run(run_dir, tmp_path / "bundle", name="<script>alert(1)</script>\x1b[31m")
    card = (out / names.CARD).read_text()
    assert "<script>" not in card and "\x1b" not in card
    assert "&lt;script>" in card
