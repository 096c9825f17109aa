"""A dataset and a metric from one file outside the package: the file is imported, and nothing else is changed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import matthews_corrcoef

import mitotype
from mitotype.core import files, records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import EvaluationRecord
from mitotype.core.schema import Cohort
from mitotype.datasets.dataset import datasets
from mitotype.datasets.overlaps import hold_out
from mitotype.evaluation.metrics import metrics
from mitotype.evaluation.report import text
from mitotype.scores import table
from mitotype.scores.table import Scores
from tests.datasets import example_folders as examples
from tests.datasets.contract import check_reader

METRIC = '''
from sklearn.metrics import matthews_corrcoef

from mitotype.evaluation.metrics import Metric, metrics


@metrics.add("mcc")
class Mcc(Metric):
    """Matthews correlation coefficient of label and predicted class."""

    title, head = "Matthews correlation", "MCC"
    reads, larger_is_better, scale = "class", True, "real"
    requires = (0, 1)

    def value(self, label, predicted, probability, score, weight):
        return matthews_corrcoef(label, predicted, sample_weight=weight)
'''
DATASET = '''
from pathlib import Path

from mitotype.core import tables
from mitotype.core.run_layout.evaluation import PublishedResult
from mitotype.datasets import fingerprints, layout
from mitotype.datasets.assemble import assemble
from mitotype.datasets.dataset import Dataset, Part, StudyResult, datasets

TABLE = Path(__file__).with_name("lakeside.csv")


def table():
    return fingerprints.read_table(TABLE)


def detect(path):
    return layout.find_file([path], "lakeside.csv") is not None


def read(path, part, mpp_um):
    rows = table()
    images = layout.images_by_stem(path, "Lakeside")
    if part != "all":
        rows = rows[rows["part"] == part]
        images = {stem: image for stem, image in images.items() if stem in rows.index}
    rows = rows[["label", "part", "case_id"]].assign(domain="Lakeside")
    return assemble("lakeside", rows, images, source=path, part=part, mpp_um=mpp_um)


BEST = PublishedResult("Lakeside test", 12, 0.75, 0.85, "ResNet", "ViT", source="Lake et al. 2026")
datasets.add("lakeside")(
    Dataset(
        title="Lakeside",
        license="CC-BY-4.0",
        counts={"train": (6, 6), "test": (6, 6), "all": (12, 12)},
        parts={
            "lakeside-train": Part(split="train"),
            "lakeside-test": Part(
                split="test", is_test_set=True, published=BEST, study={"full": {"resnet10": StudyResult(0.7, 0.01, 0.8, 0.02)}},
                study_source="Lake et al. 2026",
            ),
        },
        overlaps=("midog25",),
        fingerprints=table,
        detect=detect,
        read=read,
    )
)
'''  # fmt: skip


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Return `load(source)`: import a file outside the package; what it adds is removed after the test."""
    before = [(registry, registry.names()) for registry in (datasets, metrics)]

    def load_file(source: str) -> None:
        path = tmp_path / "plugin.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location("plugin", path)
        assert spec and spec.loader
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    yield load_file
    for registry, names in before:
        for name in set(registry.names()) - set(names):
            del registry._items[name]


def test_a_metric_is_in_every_output(load: Callable[[str], None], tmp_path: Path) -> None:
    load(METRIC)
    rng = np.random.default_rng(0)
    case, label = np.repeat(np.arange(20), 6), np.tile([0, 1, 0], 40)
    rows = pd.DataFrame({"patch_id": [f"p{i}" for i in range(120)], "label": label, "case_id": [f"c{c}" for c in case]})
    for name in ("a", "b"):
        score = np.clip(0.3 * label + rng.random(120) * 0.7, 0, 1)
        rows.assign(score=score).to_csv(tmp_path / f"{name}.csv", index=False)
    evaluation = mitotype.evaluate(tmp_path / "b.csv", n_boot=150)
    interval = evaluation.entries[0].headline.metrics["mcc"]
    assert interval.value == pytest.approx(matthews_corrcoef(label, score >= 0.5))
    assert interval.low is not None and interval.high is not None and interval.low < interval.value < interval.high
    evaluation.write_report(tmp_path / "b.report.html")
    numbers = tmp_path / "b.evaluation.json"
    stored = records.read(numbers, EvaluationRecord)
    assert stored.entries[0].variants[0].metrics["mcc"] == interval
    assert [metric.title for metric in stored.metrics_of("set")][-1] == "Matthews correlation"
    page = (tmp_path / "b.report.html").read_text()
    assert "<th>Matthews correlation</th>" in page and f"<td>{interval.value:.3f}" in page
    assert "<dd>Matthews correlation coefficient of label and predicted class.</dd>" in page
    header = text.evaluation_text(evaluation).splitlines()[4]
    assert header.split()[-1] == "MCC"
    comparison = mitotype.compare(tmp_path / "a.csv", tmp_path / "b.csv", n_boot=150)
    assert comparison.sets[0].p["mcc"] is not None and "\nMCC " in text.comparison_text(comparison)


def write_lakeside(folder: Path, code: Path) -> Path:
    """Write 24 images of 8 cases, half of each class and part, and the table of the dataset beside its code."""
    lines = ["file,folder,part,case_id,sha256"]
    for number in range(24):
        name, part = ("Normal", "Atypical")[number % 2], "train" if number < 12 else "test"
        image = examples.write_image(folder / name / f"{number}.png", number)
        lines.append(f"{number},{name},{part},Lakeside/{number // 3},{files.sha256(image)[:16]}")
    for path in (folder / "lakeside.csv", code / "lakeside.csv"):
        path.write_text("\n".join(lines) + "\n")
    return folder


def test_a_published_test_set_is_read_held_out_and_evaluated(load: Callable[[str], None], tmp_path: Path) -> None:
    folder = write_lakeside(tmp_path / "data", tmp_path)
    load(DATASET)
    check_reader("lakeside", folder)
    test = mitotype.read_cohort([f"lakeside-test={folder}"], part="test")
    assert (test.name, len(test), mitotype.read_cohort([str(folder)], part="train").name) == (
        "lakeside-test",
        12,
        "lakeside-train",
    )
    with pytest.raises(UserError, match="lakeside-train=… instead"):
        mitotype.read_cohort([f"lakeside-test={folder}"], part="train")

    own = mitotype.read_cohort([str(folder)], part="all")
    remaining = hold_out(Cohort("own", own.rows.assign(case_id=own.rows["patch_id"])), ["lakeside-test"])
    assert set(remaining.rows["part"]) == {"train"}

    csv = tmp_path / "theirs.csv"
    pd.DataFrame({"patch_id": test.rows["patch_id"], "score": 0.2 + 0.6 * test.rows["label"]}).to_csv(csv, index=False)
    evaluation = mitotype.evaluate(csv, [f"lakeside-test={folder}"], n_boot=120)
    assert evaluation.entries[0].published == datasets.get("lakeside").parts["lakeside-test"].published
    evaluation.write_report(tmp_path / "theirs.report.html")
    page = (tmp_path / "theirs.report.html").read_text()
    assert "Lakeside test" in page and "Published best: Lake et al. 2026." in page
    assert "published best .7500 (ResNet)" in text.evaluation_text(evaluation)


def test_a_stated_overlap_is_a_leak(load: Callable[[str], None], tmp_path: Path) -> None:
    folder = write_lakeside(tmp_path / "data", tmp_path)
    load(DATASET)
    test = mitotype.read_cohort([f"lakeside-test={folder}"], part="test").rows.assign(digest="")
    training = test.assign(patch_id=[f"midog25/{i}" for i in range(12)], dataset="midog25", case_id="another")
    patches = pd.concat([test, training], ignore_index=True)
    part = ["test"] * 12 + ["out-of-fold"] * 12
    scores = pd.DataFrame({"patch_id": patches["patch_id"], "part": part, "fold": 1, "member": "m", "view": "identity"})
    table.append(tmp_path / "scores", Scores(patches, scores.assign(logit=patches["label"] - 0.5)))
    with pytest.raises(UserError, match=r"M006.*'midog25' shares slides with 'lakeside'"):
        mitotype.evaluate(tmp_path / "scores", n_boot=120)
