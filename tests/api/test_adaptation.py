"""Adapted bundles: the same members, another decision with its origin, and no evaluation on the labels."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from msgspec import UNSET
from PIL import Image

from mitotype.api import adaptation, scoring
from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import bundle_digest, names, read_bundle
from mitotype.deploy import predictor
from mitotype.deploy.from_run import bundle_from_run
from mitotype.deploy.onnx_runtime import OnnxRuntime
from mitotype.deploy.operating import at_operating_point
from tests.synthetic_cohort import synthetic_image


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a csv of 60 labelled figures of twelve cases."""
    folder = tmp_path_factory.mktemp("lab")
    rng = np.random.default_rng(7)
    rows = []
    for number in range(60):
        label = int(number % 3 == 0)
        Image.fromarray(synthetic_image(label, rng)).save(folder / f"{number}.png")
        rows.append({"path": f"{number}.png", "label": label, "case_id": f"case{number // 5}"})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder / "labels.csv"


@pytest.fixture
def bundle(finished_run: Path, tmp_path: Path) -> Path:
    run_dir = shutil.copytree(finished_run, tmp_path / "run")
    return bundle_from_run(run_dir, tmp_path / "bundle", notes="Chosen by a rule.")


def test_the_bundle_has_the_same_members_and_the_origin_of_its_decision(
    bundle: Path, labels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "adapted"
    adapted = adaptation.adapt(bundle, [str(labels)], out, n_boot=200)
    local = adapted.labels
    before, after = read_bundle(bundle), read_bundle(out)
    assert {f: d for f, d in before.files.items() if f != names.CARD} == {
        f: d for f, d in after.files.items() if f != names.CARD
    }
    assert (after.members, after.combiner, after.run) == (before.members, before.combiner, before.run)
    assert after.decision != before.decision and after.local_labels == local
    assert (local.patches, local.atypical, local.cases, local.bundle) == (60, 20, 12, before.digest)
    assert local.before.value is not None and local.after.value is not None
    assert local.difference.value == pytest.approx(local.after.value - local.before.value)
    assert after.operating is UNSET  # its thresholds are of the calibration before
    card = (out / names.CARD).read_text()
    assert "60 figures (20 atypical) of 12 cases" in card and "labels.csv" in card and "Chosen by a rule." in card
    assert str(tmp_path) not in card + (out / names.BUNDLE).read_text()
    again = adaptation.adapt(bundle, [str(labels)], tmp_path / "again", n_boot=200).labels
    assert (again.before, again.after, again.weight) == (local.before, local.after, local.weight)


def test_an_adapted_bundle_is_opened_with_its_graph(labels: Path, tmp_path: Path) -> None:
    twice, shipped_one = tmp_path / "twice", predictor.open_predictor("default")
    adaptation.adapt("default", [str(labels)], tmp_path / "once", n_boot=100)
    others = pd.read_csv(labels).assign(path=lambda rows: str(labels.parent) + "/" + rows["path"])
    for path in others["path"]:
        Image.fromarray(255 - np.asarray(Image.open(path))).save(Path(path).with_suffix(".other.png"))
    others["path"] = others["path"].str.replace(".png", ".other.png")
    others.to_csv(tmp_path / "others.csv", index=False)
    adaptation.adapt(tmp_path / "once", [str(tmp_path / "others.csv")], twice, n_boot=100)
    image_N3HW = np.random.default_rng(0).integers(0, 256, (2, 3, 128, 128), np.uint8)
    for folder in (tmp_path / "once", twice):
        opened = predictor.open_predictor(str(folder))
        assert isinstance(opened.nets, OnnxRuntime) and opened.decision != shipped_one.decision
        for own, before in zip(
            *(one.runtimes[0].run(image_N3HW, precision="fp32", on_progress=print) for one in (opened, shipped_one)),
            strict=True,
        ):
            assert own.logit.keys() == before.logit.keys()
            assert all(np.array_equal(own.logit[view], before.logit[view]) for view in own.logit)
    record = read_bundle(twice)
    changed = msgspec.structs.replace(record, graph_digest="0" * 64)
    records.write(twice / names.BUNDLE, msgspec.structs.replace(changed, digest=bundle_digest(changed)))
    with pytest.raises(UserError, match="is not that of its bundle"):
        predictor.open_predictor(str(twice))


def test_evaluation_on_the_labels_and_the_old_operating_points_are_refused(
    bundle: Path, labels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "adapted"
    adaptation.adapt(bundle, [str(labels)], out, n_boot=100)
    with pytest.raises(UserError, match="those of the bundle that was adapted are of its old decision"):
        at_operating_point(predictor.open_predictor(str(out)), sensitivity=0.9)
    with pytest.raises(UserError, match="M004"):
        scoring.score(out, [str(labels)], out=tmp_path / "scores")
    with pytest.raises(UserError, match="M004"):
        adaptation.adapt(out, [str(labels)], tmp_path / "twice", n_boot=100)


def test_few_labels_and_wrong_folders_write_nothing(bundle: Path, labels: Path, tmp_path: Path) -> None:
    few = labels.with_name("few.csv")
    pd.read_csv(labels).iloc[:40].to_csv(few, index=False)
    with pytest.raises(UserError, match="too few to adapt to: 40 labelled figures"):
        adaptation.adapt(bundle, [str(few)], tmp_path / "out")
    with pytest.raises(UserError, match="is a run"):
        adaptation.adapt(tmp_path / "run", [str(labels)], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for folder in (bundle, tmp_path / "run"):
        with pytest.raises(UserError, match=r"is an input|already contains"):
            adaptation.adapt(bundle, [str(labels)], folder)
