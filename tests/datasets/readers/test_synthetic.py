"""The synthetic cohort: complete or absent, reproducible, and difficult in the same way as real figures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mitotype.core.errors import UserError
from mitotype.core.folder_lock import LOCK
from mitotype.core.packing import pack_images
from mitotype.core.schema import COHORT_COLUMNS, Cohort
from mitotype.datasets import datasets, read
from mitotype.datasets.readers import folder
from mitotype.datasets.readers.synthetic import CSV, MARKER
from mitotype.datasets.synthesis import figures
from mitotype.datasets.synthesis.cohort import generate
from mitotype.datasets.synthesis.fields import noise
from mitotype.datasets.synthesis.patch import render_patch
from mitotype.datasets.synthesis.scanner import sample_scanner
from mitotype.datasets.synthesis.tissue import sample_style


def digests(directory: Path) -> dict[str, str]:
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(directory.rglob("*"))
        if file.is_file() and file.name != LOCK
    }


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Return a cohort that is large enough for statistics; tests do not write into it."""
    return generate(tmp_path_factory.mktemp("synthetic") / "large", patches=420, cases=60, seed=3)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        generate(tmp_path / name, patches=6, cases=4, seed=seed, domains=2)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert not set(digests(tmp_path / "a").values()) & set(digests(tmp_path / "c").values())


def test_a_complete_cohort(large: Cohort) -> None:
    rows = large.rows
    assert len(large) == 420 and large.name == "synthetic" and not large.notes
    assert set(COHORT_COLUMNS) | {"dataset", "part", "expert_votes"} <= set(rows.columns)
    assert rows["domain"].nunique() == 10 and rows["case_id"].nunique() == 60
    assert (rows.groupby("case_id")["domain"].nunique() == 1).all()
    assert set(rows.loc[rows["part"] == "test", "domain"]) == {"synthetic domain 09", "synthetic domain 10"}
    assert (rows["votes"] == 3).all() and ((rows["votes_for"] >= 2) == (rows["label"] == 1)).all()
    assert (rows["expert_votes"].str.count("A") == rows["votes_for"]).all()
    assert 0.12 < rows["label"].mean() < 0.4
    packed = pack_images(large)
    assert packed.image_N3HW.shape == (420, 3, 128, 128) and len(set(packed.digests)) == 420


def test_domains_differ_in_color_and_experts_in_threshold(large: Cohort) -> None:
    color = pack_images(large).image_N3HW.mean((2, 3))
    domain = large.rows["domain"].to_numpy()
    means = np.stack([color[domain == name].mean(0) for name in np.unique(domain)])
    assert means.std(0).max() > 8
    vote = np.array([[vote == "A" for vote in votes] for votes in large.rows["expert_votes"]])
    rate = vote.mean(0)
    assert rate[0] < rate[1] < rate[2]
    agreed = (vote[:, 0] == vote[:, 1]).mean()
    chance = rate[0] * rate[1] + (1 - rate[0]) * (1 - rate[1])
    assert 0.35 < (agreed - chance) / (1 - chance) < 0.8


def test_shape_predicts_the_class_and_color_does_not(large: Cohort) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from mitotype.features.logistic import fit_head
    from mitotype.features.morphology import morphology

    image = np.asarray(pack_images(large).image_N3HW)
    label = large.rows["label"].to_numpy(int)
    histogram = np.stack(
        [[np.histogram(plane, 16, (0, 256))[0] for plane in patch] for patch in image[:, :, 32:96, 32:96]]
    )
    histogram = histogram.reshape(len(image), -1) / 64**2
    shape = morphology(image)

    def by_color(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))
        return model.fit(histogram[train], label[train]).decision_function(histogram[test])

    def by_shape(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        return fit_head(shape.names, shape.value_BD[train], label[train]).logit(shape.value_BD[test])

    def auroc(score: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
        logit = np.zeros(len(label))
        for train, test in GroupKFold(5).split(image, label, large.rows["case_id"]):
            logit[test] = score(train, test)
        return float(roc_auc_score(label, logit))

    assert auroc(by_color) < 0.65
    assert 0.7 < auroc(by_shape) < 0.95


def test_severity_correlates_with_the_votes_without_determining_them(large: Cohort) -> None:
    table = pd.read_csv(Path(large.rows["path"][0]).parent.parent / CSV)
    mean = table.groupby("votes_for")["severity"].mean()
    assert mean.is_monotonic_increasing
    normal, atypical = table[table["label"] == "normal"]["severity"], table[table["label"] == "atypical"]["severity"]
    assert normal.max() > atypical.min()  # AUROC 1 cannot be reached
    assert set(table["form"]) == set(figures.FORMS)


def test_the_cohort_is_read_by_name_and_detected(tmp_path: Path) -> None:
    directory = tmp_path / "own"
    cohort = generate(directory, patches=12, cases=6, seed=0, domains=3)
    by_name, detected = read(f"synthetic={directory}", part="train")[0], read(str(directory), part="all")[0]
    assert detected.rows.equals(cohort.rows)
    assert 0 < len(by_name) < 12 and set(by_name.rows["part"]) == {"train"}
    assert len(read(str(directory), part="test")[0]) == 12 - len(by_name)
    own = folder.read(directory, "all", None)
    assert own.rows["label"].tolist() == cohort.rows["label"].tolist() and not own.notes
    assert datasets.get("synthetic").detect(directory) and not datasets.get("synthetic").detect(tmp_path)


def test_generating_again_writes_nothing(tmp_path: Path) -> None:
    steps: list[int] = []
    first = generate(tmp_path, patches=4, cases=2, seed=0, domains=1, on_progress=steps.append)
    again = generate(tmp_path, patches=4, cases=2, seed=0, domains=1, on_progress=steps.append)
    assert steps == [1, 1, 1, 1] and again.rows.equals(first.rows)
    assert set(first.rows["part"]) == {"train"}  # one domain: nothing to hold out


def test_an_incomplete_cohort_is_written_again(tmp_path: Path) -> None:
    generate(tmp_path / "complete", patches=5, cases=2, seed=0, domains=1)
    directory = tmp_path / "killed"
    generate(directory, patches=5, cases=2, seed=0, domains=1)
    (directory / MARKER).unlink()
    (directory / CSV).write_text("path\n")
    (directory / "patches" / "seed0_00002.png").write_bytes(b"half")
    (directory / "patches" / "seed0_00077.png").write_bytes(b"of a larger one")
    assert not datasets.get("synthetic").detect(directory)
    generate(directory, patches=5, cases=2, seed=0, domains=1)
    assert digests(directory) == digests(tmp_path / "complete")


def test_another_cohort_is_not_overwritten(tmp_path: Path) -> None:
    generate(tmp_path, patches=3, cases=2, seed=0, domains=1)
    before = digests(tmp_path)
    with pytest.raises(UserError, match="holds a synthetic cohort"):
        generate(tmp_path, patches=3, cases=2, seed=1, domains=1)
    assert digests(tmp_path) == before


def test_a_changed_list_is_an_error(tmp_path: Path) -> None:
    generate(tmp_path, patches=3, cases=2, seed=0, domains=1)
    csv = tmp_path / CSV
    text = csv.read_text()
    csv.write_text(text.replace("normal", "atypical", 1) if "normal" in text else text.replace("atypical", "normal", 1))
    with pytest.raises(UserError, match="not the list"):
        read(str(tmp_path), part="all")
    (tmp_path / MARKER).write_text("[]")
    with pytest.raises(UserError, match=r"marker of a synthetic cohort .* is not valid"):
        read(str(tmp_path), part="all")


@pytest.mark.parametrize(("patches", "cases", "domains"), [(0, 0, 0), (5, 6, 1), (5, 2, 3), (100_000, 2, 1)])
def test_impossible_numbers_are_errors(tmp_path: Path, patches: int, cases: int, domains: int) -> None:
    with pytest.raises(UserError, match="not possible"):
        generate(tmp_path, patches=patches, cases=cases, seed=0, domains=domains)
    assert not list(tmp_path.iterdir())


def chromatin(form: str, severity: float) -> np.ndarray:
    """Return masks of the chromatin of 24 figures, without tissue or scanner."""
    geometry = {"turn": 0.3, "scale": 1.0, "centre": (32.0, 32.0), "side": 64, "fine_px": 1.4}
    samples = [figures.FORMS[form](np.random.default_rng(seed), severity) for seed in range(24)]
    return np.stack([figures.density(figure, **geometry) for figure in samples]) > 0.5


@pytest.mark.parametrize("form", ["asymmetric", "lagging", "scattered", "tripolar"])
def test_forms_lose_their_symmetry_as_they_grow_severe(form: str) -> None:
    from mitotype.features.points import Points
    from mitotype.features.symmetry import point_symmetry

    normal, severe = (
        float(point_symmetry(mask, Points.of_mask(mask)).mean())
        for mask in (chromatin(form, 0.0), chromatin(form, 1.0))
    )
    assert severe < normal - 0.05


def test_a_bridge_joins_the_plates() -> None:
    from scipy.ndimage import label

    def joined(severity: float) -> float:
        return float(np.mean([label(mask, np.ones((3, 3)))[1] == 1 for mask in chromatin("bridge", severity)]))

    assert joined(1.0) > joined(0.0) + 0.4


def test_the_figure_is_dark_and_central() -> None:
    rng = np.random.default_rng(0)
    scanner, style = sample_scanner(rng), sample_style(rng)
    image = np.stack([render_patch(rng, "lagging", 0.0, style, scanner) for _ in range(8)]).astype(float)
    red = image[..., 0].mean(0)
    assert red[56:72, 56:72].mean() < red.mean() - 20


def test_noise_has_the_stated_moments() -> None:
    rng = np.random.default_rng(0)
    field = np.stack([noise(rng, 12) for _ in range(200)])
    assert abs(field.mean()) < 0.05 and field.std() == pytest.approx(1, abs=0.05)
    assert np.abs(np.diff(field, axis=1)).mean() < 0.2  # smooth
