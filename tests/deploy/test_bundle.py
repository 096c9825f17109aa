"""A bundle predicts like its run, is refused when a byte changed, and classifies images of every kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import BundleRecord, bundle_digest, read_bundle
from mitotype.core.schema import Cohort
from mitotype.deploy import bundle, classify, from_run
from mitotype.deploy.card import render_card
from mitotype.deploy.classify import Source
from mitotype.deploy.predictor import Predictor, open_predictor, score
from mitotype.deploy.sources import list_images
from tests import synthetic_cohort


@pytest.fixture(scope="module")
def bundle_dir(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "tiny"
    return from_run.bundle_from_run(finished_run, out, name="tiny", notes="Chosen by hand.")


@pytest.fixture(scope="module")
def predictor(bundle_dir: Path) -> Predictor:
    return open_predictor(str(bundle_dir))


@pytest.fixture
def fresh(tmp_path: Path) -> Cohort:
    """Images that are not in the run."""
    rng = np.random.default_rng(7)
    for number in range(6):
        Image.fromarray(synthetic_cohort.synthetic_image(number % 2, rng)).save(tmp_path / f"{number}.png")
    rows = pd.DataFrame(
        {"path": [str(tmp_path / f"{n}.png") for n in range(6)], "patch_id": [f"fresh/{n}" for n in range(6)]}
    )
    columns = {"label": [0.0, 1.0] * 3, "votes_for": np.nan, "votes": np.nan, "mpp_um": 0.25, "dataset": "fresh"}
    text = dict.fromkeys(("case_id", "domain", "scanner", "tumour", "species"), "")
    return Cohort("fresh", rows.assign(**columns, **text))


def test_a_bundle_scores_as_its_run(predictor: Predictor, finished_run: Path, fresh: Cohort) -> None:
    of_bundle, of_run = score(predictor, fresh), score(open_predictor(str(finished_run)), fresh)
    pd.testing.assert_frame_equal(of_bundle.scores, of_run.scores, check_exact=False, atol=1e-5, rtol=0)
    assert set(of_bundle.scores["member"]) == {"all-seed0"}


def test_a_bundle_is_json_and_safetensors_alone(bundle_dir: Path) -> None:
    kinds = {path.suffix for path in bundle_dir.rglob("*") if path.is_file()}
    assert kinds == {".json", ".safetensors", ".md"}
    card = (bundle_dir / "card.md").read_text()
    for word in ("Research Use Only", "Chosen by hand.", "12 cases", "out-of-fold rows", "Limits"):
        assert word in card


@pytest.mark.parametrize("name", ["default", "morphology"])
def test_limits_of_a_card_are_those_of_its_own_rows(name: str) -> None:
    record = read_bundle(bundle.shipped()[name])
    assert record.out_of_fold
    counts = record.out_of_fold.entries[0].confusion
    card = render_card(record)
    assert f"{counts.fn} of {counts.tp + counts.fn} atypical figures are taken for normal" in card
    without = render_card(msgspec.structs.replace(record, out_of_fold=None))
    assert "Limits" in without and "are taken for normal" not in without and "Blurred" not in card


@pytest.mark.parametrize(
    "file", ["bundle.json", "card.md", "members/all-seed0/member.json", "members/all-seed0/model.safetensors"]
)
def test_a_changed_byte_is_refused(bundle_dir: Path, tmp_path: Path, file: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle_dir, copy)
    raw = bytearray((copy / file).read_bytes())
    index = raw.index(b"0." if file == "bundle.json" else b"a")
    raw[index] ^= 1
    (copy / file).write_bytes(bytes(raw))
    with pytest.raises(UserError, match=r"not as it was written|is not valid"):
        open_predictor(str(copy))


def test_a_missing_file_and_a_path_outside_are_refused(bundle_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle_dir, copy)
    (copy / "card.md").unlink()
    with pytest.raises(UserError, match=r"'card\.md' is missing"):
        open_predictor(str(copy))


def resealed(folder: Path, **changes: object) -> None:
    """Write changed fields into bundle.json with the digest that they give."""
    document = json.loads((folder / "bundle.json").read_bytes()) | changes
    record = msgspec.json.decode(json.dumps(document | {"digest": ""}), type=BundleRecord)
    records.write(folder / "bundle.json", msgspec.structs.replace(record, digest=bundle_digest(record)))


@pytest.mark.parametrize("tta", ["d4 | " * 300, "__import__('os')"])
def test_a_bundle_with_an_invalid_spec_is_refused(bundle_dir: Path, tmp_path: Path, fresh: Cohort, tta: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle_dir, copy)
    resealed(copy, tta=tta)
    with pytest.raises(UserError):
        score(open_predictor(str(copy)), fresh)


def test_a_bundle_without_members_or_with_another_detector_is_refused(bundle_dir: Path, tmp_path: Path) -> None:
    record = read_bundle(bundle_dir)
    assert record.ood is not None
    [(name, detector)] = record.ood.detectors.items()
    short = msgspec.structs.replace(detector, mean=[0.0], std=[1.0], coef=[1.0])
    for number, detectors in enumerate(({}, {name: short}, {"other": detector})):
        folder = shutil.copytree(bundle_dir, tmp_path / str(number))
        resealed(folder, ood=records.to_builtins(msgspec.structs.replace(record.ood, detectors=detectors)))
        with pytest.raises(UserError, match=f"detector of the member '{name}'"):
            open_predictor(str(folder))
    folder = shutil.copytree(bundle_dir, tmp_path / "none")
    document = json.loads((folder / "bundle.json").read_bytes())
    records.write(folder / "bundle.json", document | {"members": []})
    with pytest.raises(UserError, match="key `members`"):
        open_predictor(str(folder))


def test_a_path_out_of_the_bundle_is_refused(bundle_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle_dir, copy)
    document = json.loads((copy / "bundle.json").read_bytes())
    for changes in (
        {"files": document["files"] | {"../../etc/passwd": "0" * 64}},
        {"members": ["../../outside"]},
        {"format": 99},
    ):
        (copy / "bundle.json").write_text(json.dumps(document | changes))
        with pytest.raises(UserError, match="is not valid"):
            open_predictor(str(copy))


def test_training_images_are_refused_as_a_test_set(predictor: Predictor, toy_cohort: Cohort) -> None:
    with pytest.raises(UserError, match="M004"):
        score(predictor, toy_cohort)


def test_predictions_are_complete_and_in_order(predictor: Predictor, fresh: Cohort) -> None:
    sources = [Source(Path(path), 0.25) for path in fresh.rows["path"]]
    predictions = classify.classify(predictor, sources)
    assert [prediction.path for prediction in predictions] == list(fresh.rows["path"])
    plain = json.loads(records.encode(predictions[0]))
    assert list(plain) == ["path", "page", "probability", "decision", "class", "spread", "flags"]
    assert plain["class"] in ("atypical", "normal")
    assert plain["decision"] in ("atypical", "normal", "uncertain")
    rows = score(predictor, fresh)
    expected = predictor.decision.apply(predictor.combiner.apply(rows), guard=False)
    np.testing.assert_allclose([p.probability for p in predictions], expected["probability"], atol=1e-6)
    assert all(("uncertain" in p.flags) == (p.decision == "uncertain") for p in predictions)
    again = classify.classify(predictor, [*sources, sources[0]])
    assert again[-1].probability == pytest.approx(predictions[0].probability, abs=1e-6)


def test_stacks_scales_and_lists(predictor: Predictor, fresh: Cohort, tmp_path: Path) -> None:
    images = [Image.open(path) for path in fresh.rows["path"]]
    images[0].save(tmp_path / "stack.tif", save_all=True, append_images=images[1:])
    large = images[1].resize((256, 256), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.png")
    (tmp_path / "list.csv").write_text("path,mpp_um\nstack.tif,\nlarge.png,0.125\n")
    sources = list_images([str(tmp_path / "list.csv")])
    assert [source.mpp_um for source in sources] == [None, 0.125]
    predictions = classify.classify(predictor, sources)
    assert [(Path(p.path).name, p.page) for p in predictions] == [("stack.tif", n) for n in range(6)] + [
        ("large.png", 0)
    ]
    single = classify.classify(predictor, [Source(Path(path), 0.25) for path in fresh.rows["path"]])
    np.testing.assert_allclose([p.probability for p in predictions[:6]], [p.probability for p in single], atol=1e-6)
    assert predictions[6].probability == pytest.approx(single[1].probability, abs=0.1)


def test_folders_leave_hidden_files_out(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "deep" / "a.PNG")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "._a.png").write_bytes(b"x")
    assert [source.path.name for source in list_images([str(tmp_path)])] == ["a.PNG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images"):
        list_images([str(tmp_path / "empty")])


def test_bad_images_are_all_named(predictor: Predictor, fresh: Cohort, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"x")
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "small.png")
    bad = [Source(tmp_path / name, 0.25) for name in ("broken.png", "small.png")]
    with pytest.raises(UserError, match="2 errors") as error:
        classify.classify(predictor, bad)
    assert "broken.png" in str(error.value)
    assert "small.png" in str(error.value)


def test_the_others_are_classified(predictor: Predictor, fresh: Cohort, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"x")
    good = [Source(Path(path), 0.25) for path in fresh.rows["path"][:2]]
    predictions = classify.classify(predictor, [good[0], Source(tmp_path / "broken.png", 0.25), good[1]])
    assert [bool(prediction.error) for prediction in predictions] == [False, True, False]
    assert "broken.png" in predictions[1].error
    alone = classify.classify(predictor, good)
    np.testing.assert_allclose([predictions[i].probability for i in (0, 2)], [p.probability for p in alone], atol=1e-6)


def test_many_images_do_not_grow_memory(predictor: Predictor, fresh: Cohort) -> None:
    process = psutil.Process()
    sources = [Source(Path(fresh.rows["path"][0]), 0.25)]
    classify.classify(predictor, sources * classify.CHUNK)
    before = process.memory_info().rss
    resident = []
    for predictions, n_files in classify.classify_chunks(predictor, sources * (5 * classify.CHUNK)):
        assert len(predictions) == n_files == classify.CHUNK
        resident.append(process.memory_info().rss)
    assert len(resident) == 5
    assert max(resident) - before < 64 * 2**20


def test_every_shipped_bundle_is_complete_and_small() -> None:
    for folder in bundle.shipped().values():
        record = read_bundle(folder)
        assert record.members and record.name == folder.name
        assert sum(path.stat().st_size for path in folder.rglob("*.safetensors")) <= 12 * 2**20
