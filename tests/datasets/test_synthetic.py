"""The synthetic cohort: whole or absent, the same from the same seed, and hard in the right way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mitotype.core import pictures
from mitotype.core.mistakes import Mistake
from mitotype.core.words import COHORT_COLUMNS, Cohort
from mitotype.datasets import datasets, folder, read
from mitotype.datasets.synthesis import figures, scanner, tissue
from mitotype.datasets.synthesis.fields import noise
from mitotype.datasets.synthesis.patch import patch
from mitotype.datasets.synthetic import CSV, MARKER, generate


def digests(where: Path) -> dict[str, str]:
    return {
        str(file.relative_to(where)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(where.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Enough patches to measure on; nothing writes into it."""
    return generate(tmp_path_factory.mktemp("synthetic") / "large", patches=420, cases=60, seed=3)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        generate(tmp_path / name, patches=6, cases=4, seed=seed, domains=2)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert not set(digests(tmp_path / "a").values()) & set(digests(tmp_path / "c").values())


def test_a_whole_cohort(large: Cohort) -> None:
    rows = large.rows
    assert len(large) == 420 and large.name == "synthetic" and not large.notes
    assert set(COHORT_COLUMNS) | {"dataset", "part", "expert_votes"} <= set(rows.columns)
    assert rows["domain"].nunique() == 10 and rows["case_id"].nunique() == 60
    assert (rows.groupby("case_id")["domain"].nunique() == 1).all()
    assert set(rows.loc[rows["part"] == "test", "domain"]) == {"synthetic domain 09", "synthetic domain 10"}
    assert (rows["votes"] == 3).all() and ((rows["votes_for"] >= 2) == (rows["label"] == 1)).all()
    assert (rows["expert_votes"].str.count("A") == rows["votes_for"]).all()
    assert 0.12 < rows["label"].mean() < 0.4
    packed = pictures.pack(large)
    assert packed.image_N3HW.shape == (420, 3, 128, 128) and len(set(packed.digests)) == 420


def test_domains_differ_in_colour_and_experts_in_mind(large: Cohort) -> None:
    colour = pictures.pack(large).image_N3HW.mean((2, 3))
    domain = large.rows["domain"].to_numpy()
    means = np.stack([colour[domain == name].mean(0) for name in np.unique(domain)])
    assert means.std(0).max() > 8
    vote = np.array([[sign == "A" for sign in signs] for signs in large.rows["expert_votes"]])
    rate = vote.mean(0)
    assert rate[0] < rate[1] < rate[2]
    agreed = (vote[:, 0] == vote[:, 1]).mean()
    chance = rate[0] * rate[1] + (1 - rate[0]) * (1 - rate[1])
    assert 0.35 < (agreed - chance) / (1 - chance) < 0.8


def test_shape_tells_the_class_and_colour_does_not(large: Cohort) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from mitotype.features.logistic import fit
    from mitotype.features.morphology import morphology

    image = np.asarray(pictures.pack(large).image_N3HW)
    label = large.rows["label"].to_numpy(int)
    histogram = np.stack([[np.histogram(plane, 16, (0, 256))[0] for plane in one] for one in image[:, :, 32:96, 32:96]])
    histogram = histogram.reshape(len(image), -1) / 64**2
    shape = morphology(image)

    def by_colour(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))
        return model.fit(histogram[train], label[train]).decision_function(histogram[test])

    def by_shape(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        return fit(shape.names, shape.value_BD[train], label[train]).logit(shape.value_BD[test])

    def auroc(score: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
        logit = np.zeros(len(label))
        for train, test in GroupKFold(5).split(image, label, large.rows["case_id"]):
            logit[test] = score(train, test)
        return float(roc_auc_score(label, logit))

    assert auroc(by_colour) < 0.65
    assert 0.7 < auroc(by_shape) < 0.95


def test_severity_orders_the_votes_and_does_not_settle_them(large: Cohort) -> None:
    said = pd.read_csv(Path(large.rows["path"][0]).parent.parent / CSV)
    mean = said.groupby("votes_for")["severity"].mean()
    assert mean.is_monotonic_increasing
    normal, atypical = said[said["label"] == "normal"]["severity"], said[said["label"] == "atypical"]["severity"]
    assert normal.max() > atypical.min()  # nobody can reach AUROC 1
    assert set(said["form"]) == set(figures.FORMS)


def test_it_is_found_by_name_and_by_sight(tmp_path: Path) -> None:
    where = tmp_path / "mine"
    whole = generate(where, patches=12, cases=6, seed=0, domains=3)
    by_name, by_sight = read(f"synthetic={where}", part="train")[0], read(str(where), part="all")[0]
    assert by_sight.rows.equals(whole.rows)
    assert 0 < len(by_name) < 12 and set(by_name.rows["part"]) == {"train"}
    assert len(read(str(where), part="test")[0]) == 12 - len(by_name)
    own = folder.read(where, "all", None)
    assert own.rows["label"].tolist() == whole.rows["label"].tolist() and not own.notes
    assert datasets.get("synthetic").recognises(where) and not datasets.get("synthetic").recognises(tmp_path)


def test_asking_again_writes_nothing(tmp_path: Path) -> None:
    told: list[int] = []
    first = generate(tmp_path, patches=4, cases=2, seed=0, domains=1, told=told.append)
    again = generate(tmp_path, patches=4, cases=2, seed=0, domains=1, told=told.append)
    assert told == [1, 1, 1, 1] and again.rows.equals(first.rows)
    assert set(first.rows["part"]) == {"train"}  # one domain: nothing to hold out


def test_a_broken_attempt_is_written_anew(tmp_path: Path) -> None:
    whole = digests_of(tmp_path / "whole")
    where = tmp_path / "killed"
    generate(where, patches=5, cases=2, seed=0, domains=1)
    (where / MARKER).unlink()
    (where / CSV).write_text("path\n")
    (where / "patches" / "seed0_00002.png").write_bytes(b"half")
    (where / "patches" / "seed0_00077.png").write_bytes(b"of a larger one")
    assert not datasets.get("synthetic").recognises(where)
    generate(where, patches=5, cases=2, seed=0, domains=1)
    assert digests(where) == whole


def digests_of(where: Path) -> dict[str, str]:
    generate(where, patches=5, cases=2, seed=0, domains=1)
    return digests(where)


def test_another_cohort_is_not_overwritten(tmp_path: Path) -> None:
    generate(tmp_path, patches=3, cases=2, seed=0, domains=1)
    before = digests(tmp_path)
    with pytest.raises(Mistake, match="holds a synthetic cohort"):
        generate(tmp_path, patches=3, cases=2, seed=1, domains=1)
    assert digests(tmp_path) == before


def test_a_changed_list_is_refused(tmp_path: Path) -> None:
    generate(tmp_path, patches=3, cases=2, seed=0, domains=1)
    csv = tmp_path / CSV
    text = csv.read_text()
    csv.write_text(text.replace("normal", "atypical", 1) if "normal" in text else text.replace("atypical", "normal", 1))
    with pytest.raises(Mistake, match="not the list"):
        read(str(tmp_path), part="all")
    (tmp_path / MARKER).write_text("[]")
    with pytest.raises(Mistake, match="no marker"):
        read(str(tmp_path), part="all")


@pytest.mark.parametrize(("patches", "cases", "domains"), [(0, 0, 0), (5, 6, 1), (5, 2, 3), (100_000, 2, 1)])
def test_impossible_numbers(tmp_path: Path, patches: int, cases: int, domains: int) -> None:
    with pytest.raises(Mistake, match="not possible"):
        generate(tmp_path, patches=patches, cases=cases, seed=0, domains=domains)
    assert not list(tmp_path.iterdir())


def drawn(form: str, severity: float) -> np.ndarray:
    """Solid chromatin of 24 figures, without tissue or scanner."""
    place = {"turn": 0.3, "scale": 1.0, "centre": (32.0, 32.0), "side": 64, "fine_px": 1.4}
    made = [figures.FORMS[form](np.random.default_rng(seed), severity) for seed in range(24)]
    return np.stack([figures.density(figure, **place) for figure in made]) > 0.5


@pytest.mark.parametrize("form", ["asymmetric", "lagging", "scattered", "tripolar"])
def test_forms_lose_their_symmetry_as_they_grow_severe(form: str) -> None:
    from mitotype.features.points import points
    from mitotype.features.symmetry import point_symmetry

    normal, severe = (float(point_symmetry(mask, points(mask)).mean()) for mask in (drawn(form, 0.0), drawn(form, 1.0)))
    assert severe < normal - 0.05


def test_a_bridge_joins_the_plates() -> None:
    from scipy.ndimage import label

    def joined(severity: float) -> float:
        return float(np.mean([label(mask, np.ones((3, 3)))[1] == 1 for mask in drawn("bridge", severity)]))

    assert joined(1.0) > joined(0.0) + 0.4


def test_the_figure_is_the_darkest_thing_at_the_centre() -> None:
    rng = np.random.default_rng(0)
    made, look = scanner.scanner(rng), tissue.habit(rng)
    image = np.stack([patch(rng, "lagging", 0.0, look, made) for _ in range(8)]).astype(float)
    red = image[..., 0].mean(0)
    assert red[56:72, 56:72].mean() < red.mean() - 20


def test_noise_has_the_stated_moments() -> None:
    rng = np.random.default_rng(0)
    field = np.stack([noise(rng, 12) for _ in range(200)])
    assert abs(field.mean()) < 0.05 and field.std() == pytest.approx(1, abs=0.05)
    assert np.abs(np.diff(field, axis=1)).mean() < 0.2  # smooth
