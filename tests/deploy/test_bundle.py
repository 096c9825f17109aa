"""A bundle predicts what its run predicts, is refused when a byte changed, and answers pictures of every kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.deploy import bundle, classify, make
from mitotype.deploy.scorer import Scorer, open_scorer, score
from tests import drawn


@pytest.fixture(scope="module")
def made(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.bundle(whole, tmp_path_factory.mktemp("bundles") / "made", name="made", notes="Chosen by hand.")


@pytest.fixture(scope="module")
def scorer(made: Path) -> Scorer:
    return open_scorer(str(made))


@pytest.fixture
def fresh(tmp_path: Path) -> Cohort:
    """Pictures that the run has not seen."""
    rng = np.random.default_rng(7)
    for number in range(6):
        Image.fromarray(drawn.drawn(number % 2, rng)).save(tmp_path / f"{number}.png")
    rows = pd.DataFrame(
        {"path": [str(tmp_path / f"{n}.png") for n in range(6)], "patch_id": [f"fresh/{n}" for n in range(6)]}
    )
    columns = {"label": [0.0, 1.0] * 3, "votes_for": np.nan, "votes": np.nan, "mpp_um": 0.25, "dataset": "fresh"}
    text = dict.fromkeys(("case_id", "domain", "scanner", "tumour", "species"), "")
    return Cohort("fresh", rows.assign(**columns, **text))


def test_a_bundle_scores_as_its_run(scorer: Scorer, whole: Path, fresh: Cohort) -> None:
    ours, theirs = score(scorer, fresh), score(open_scorer(str(whole)), fresh)
    pd.testing.assert_frame_equal(ours.scores, theirs.scores, check_exact=False, atol=1e-5, rtol=0)
    assert set(ours.scores["member"]) == {"all-seed0"}


def test_a_bundle_is_json_and_safetensors_alone(made: Path) -> None:
    kinds = {path.suffix for path in made.rglob("*") if path.is_file()}
    assert kinds == {".json", ".safetensors", ".md"}
    card = (made / "card.md").read_text()
    for word in ("Research Use Only", "Chosen by hand.", "12 cases", "out-of-fold rows", "Limits"):
        assert word in card


@pytest.mark.parametrize(
    "file", ["bundle.json", "card.md", "members/all-seed0/member.json", "members/all-seed0/model.safetensors"]
)
def test_a_changed_byte_is_refused(made: Path, tmp_path: Path, file: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    raw = bytearray((copy / file).read_bytes())
    place = raw.index(b"0." if file == "bundle.json" else b"a")
    raw[place] = raw[place] ^ 1
    (copy / file).write_bytes(bytes(raw))
    with pytest.raises(Mistake, match=r"not as it was written|not valid JSON"):
        open_scorer(str(copy))


def test_a_missing_file_and_a_path_outside_are_refused(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    (copy / "card.md").unlink()
    with pytest.raises(Mistake, match=r"'card\.md' is missing"):
        open_scorer(str(copy))
    told = files.read_json(made / "bundle.json")
    told["files"]["../../etc/passwd"] = "0"
    del told["digest"]
    files.write_json(copy / "bundle.json", told | {"digest": bundle.own_digest(told)})
    with pytest.raises(Mistake, match="is missing"):
        open_scorer(str(copy))


@pytest.mark.parametrize(("field", "value"), [("views", "d4 | " * 3000), ("views", "__import__('os')"), ("format", 99)])
def test_a_bundle_that_says_strange_things_is_refused(
    made: Path, tmp_path: Path, fresh: Cohort, field: str, value: object
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    told = files.read_json(copy / "bundle.json") | {field: value}
    del told["digest"]
    files.write_json(copy / "bundle.json", told | {"digest": bundle.own_digest(told)})
    with pytest.raises(Mistake):
        score(open_scorer(str(copy)), fresh)


def test_training_pictures_are_refused_as_a_test(scorer: Scorer, drawn_cohort: Cohort) -> None:
    with pytest.raises(Mistake, match="M004"):
        score(scorer, drawn_cohort)


def test_answers_are_whole_and_in_order(scorer: Scorer, fresh: Cohort) -> None:
    asked = [(Path(path), 0.25) for path in fresh.rows["path"]]
    answers = classify.classify(scorer, asked)
    assert [answer.path for answer in answers] == list(fresh.rows["path"])
    plain = answers[0].plain()
    assert list(plain) == ["path", "page", "probability", "decision", "class", "spread", "flags"]
    assert plain["class"] in ("atypical", "normal")
    assert plain["decision"] in ("atypical", "normal", "uncertain")
    rows = score(scorer, fresh)
    expected = scorer.decision.apply(scorer.combine.apply(rows), guard=False)
    np.testing.assert_allclose([a.probability for a in answers], expected["probability"], atol=1e-6)
    assert all(("uncertain" in a.flags) == (a.decision == "uncertain") for a in answers)
    again = classify.classify(scorer, [*asked, asked[0]])
    assert again[-1].probability == pytest.approx(answers[0].probability, abs=1e-6)


def test_stacks_scales_and_lists(scorer: Scorer, fresh: Cohort, tmp_path: Path) -> None:
    images = [Image.open(path) for path in fresh.rows["path"]]
    images[0].save(tmp_path / "stack.tif", save_all=True, append_images=images[1:])
    large = images[1].resize((256, 256), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.png")
    (tmp_path / "list.csv").write_text("path,mpp_um\nstack.tif,\nlarge.png,0.125\n")
    asked = classify.gather([str(tmp_path / "list.csv")])
    assert [scale for _, scale in asked] == [0.25, 0.125]
    answers = classify.classify(scorer, asked)
    assert [(Path(a.path).name, a.page) for a in answers] == [("stack.tif", n) for n in range(6)] + [("large.png", 0)]
    single = classify.classify(scorer, [(Path(path), 0.25) for path in fresh.rows["path"]])
    np.testing.assert_allclose([a.probability for a in answers[:6]], [a.probability for a in single], atol=1e-6)
    assert answers[6].probability == pytest.approx(single[1].probability, abs=0.1)


def test_folders_leave_hidden_files_out(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "deep" / "a.PNG")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "._a.png").write_bytes(b"x")
    assert [path.name for path, _ in classify.gather([str(tmp_path)])] == ["a.PNG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(Mistake, match="no pictures"):
        classify.gather([str(tmp_path / "empty")])


def test_bad_pictures_are_all_named(scorer: Scorer, fresh: Cohort, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"x")
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(Mistake, match="2 things") as told:
        classify.classify(
            scorer,
            [(Path(fresh.rows["path"][0]), 0.25), (tmp_path / "broken.png", 0.25), (tmp_path / "small.png", 0.25)],
        )
    assert "broken.png" in str(told.value)
    assert "small.png" in str(told.value)


def test_many_pictures_do_not_grow_memory(scorer: Scorer, fresh: Cohort) -> None:
    process = psutil.Process()
    asked = [(Path(fresh.rows["path"][0]), 0.25)]
    classify.classify(scorer, asked * classify.CHUNK)
    before = process.memory_info().rss
    held: list[int] = []
    answers = classify.classify(
        scorer, asked * (5 * classify.CHUNK), done=lambda n: held.append(process.memory_info().rss)
    )
    assert len(answers) == 5 * classify.CHUNK and len(held) == 5
    assert max(held) - before < 64 * 2**20


def test_every_shipped_bundle_is_whole_and_small() -> None:
    for folder in bundle.shipped().values():
        told = bundle.read(folder)
        assert told["members"] and told["name"] == folder.name
        assert sum(path.stat().st_size for path in folder.rglob("*.safetensors")) <= 12 * 2**20
        assert json.dumps(told, allow_nan=False)  # a page or another language can read it
