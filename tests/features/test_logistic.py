"""The logistic head: fit, storage, errors and explanations."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import HeadRecord
from mitotype.features import Descriptor, features
from mitotype.features.explain import explain
from mitotype.features.logistic import QUANTILES, LogisticHead, fit_head

NAMES = ("red_size", "haem_size", "red_form")
DESCRIPTORS = (
    Descriptor("red_size", "µm²", "area", "is larger", "is smaller"),
    Descriptor("haem_size", "µm²", "area", "is larger", "is smaller"),
    Descriptor("red_form", "1", "form", "is odder", "is plainer"),
)


def sample(count: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two descriptors that depend on the class, one that does not; one in four is atypical."""
    rng = np.random.default_rng(seed)
    label = (rng.random(count) < 0.25).astype(float)
    size = rng.normal(size=count) + 1.5 * label
    return np.stack([np.exp(size), size + 0.3 * rng.normal(size=count), rng.normal(size=count)], axis=1), label


def separation(logit: np.ndarray, label: np.ndarray) -> float:
    return float((logit[label == 1][:, None] > logit[label == 0]).mean())


def test_a_head_separates_the_classes_and_is_balanced() -> None:
    value, label = sample()
    head = fit_head(NAMES, value, label)
    other, truth = sample(seed=1)
    logit = head.logit(other)
    assert separation(logit, truth) > 0.82
    assert abs((logit[truth == 1] > 0).mean() - (logit[truth == 0] <= 0).mean()) < 0.12


def test_a_bend_separates_where_a_line_cannot() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(size=(1500, 1))
    label = (np.abs(value[:, 0]) + 0.3 * rng.normal(size=1500) > 1).astype(float)
    assert separation(fit_head(("red_size",), value, label, C=1.0).logit(value), label) > 0.9


def test_contributions_add_up_to_the_logit_and_have_mean_0() -> None:
    value, label = sample()
    head = fit_head(NAMES, value, label)
    contributions = head.contributions(value)
    assert contributions.sum(1) + head.bias == pytest.approx(head.logit(value))
    assert contributions.mean(0) == pytest.approx(0, abs=1e-9)


def test_undefined_values_become_the_training_median() -> None:
    value, label = sample()
    value[:50, 2] = np.nan
    head = fit_head(NAMES, value, label)
    row = value[100:101].copy()
    row[0, 2] = np.nan
    filled = row.copy()
    filled[0, 2] = np.nanmedian(value[:, 2])
    assert head.logit(row) == pytest.approx(head.logit(filled))


def test_a_descriptor_that_is_never_defined_has_no_weight() -> None:
    value, label = sample()
    value[:, 2] = np.nan
    head = fit_head(NAMES, value, label)
    assert head.contributions(np.array([[1.0, 1.0, 5.0]]))[0, 2] == 0


def test_votes_are_soft_targets() -> None:
    value, label = sample()
    assert fit_head(NAMES, value, label).logit(value) == pytest.approx(
        fit_head(NAMES, value, label.astype(int)).logit(value)
    )
    soft = fit_head(NAMES, value, 0.5 + 0.2 * (label - 0.5))
    hard = fit_head(NAMES, value, label)
    assert np.abs(soft.logit(value)).mean() < np.abs(hard.logit(value)).mean()
    assert separation(soft.logit(value), label) > 0.8


def test_the_same_rows_give_the_same_head() -> None:
    value, label = sample()
    assert fit_head(NAMES, value, label).to_record() == fit_head(NAMES, value, label).to_record()


def test_a_head_is_restored_from_json() -> None:
    value, label = sample()
    head = fit_head(NAMES, value, label)
    again = LogisticHead.from_record(records.decode(records.encode(head.to_record()), HeadRecord, "head"))
    assert again.names == head.names
    assert again.logit(value) == pytest.approx(head.logit(value), abs=1e-6)


@pytest.mark.parametrize("field", ["mean_D", "knot_DK", "normal_DQ"])
def test_a_head_of_another_shape_is_an_error(field: str) -> None:
    record = fit_head(NAMES, *sample()).to_record()
    for value in (getattr(record, field)[:-1], [[0.0]] * len(NAMES) if field != "mean_D" else []):
        with pytest.raises(UserError, match="logistic head"):
            LogisticHead.from_record(msgspec.structs.replace(record, **{field: value}))


@pytest.mark.parametrize(
    "target", [np.zeros(600), np.ones(600), np.full(600, np.nan), np.full(600, 1.5)], ids=["0", "1", "nan", "1.5"]
)
def test_invalid_targets(target: np.ndarray) -> None:
    with pytest.raises(UserError):
        fit_head(NAMES, sample()[0], target)


def test_wrong_number_of_columns() -> None:
    value, label = sample()
    head = fit_head(NAMES, value, label)
    with pytest.raises(ValueError, match="600, 3"):
        fit_head(NAMES, value[:, :2], label)
    with pytest.raises(ValueError, match=r"\(B, 3\)"):
        head.logit(value[:, :2])


def test_rank_among_normal_figures() -> None:
    value, label = sample()
    head = fit_head(NAMES, value, label)
    normal = value[label == 0]
    for row in value[:20]:
        rank = (normal < row).mean(0)
        assert head.rank_among_normal(row) == pytest.approx(rank, abs=0.05 + 1 / len(normal))
    assert np.isnan(head.rank_among_normal(np.array([np.nan, 0, 0]))).tolist() == [True, False, False]


def test_ties_rank_by_half() -> None:
    value, label = sample()
    value[:, 2] = (np.arange(600) % 4 == 0).astype(float)
    head = fit_head(NAMES, value, label)
    none, some = (head.rank_among_normal(np.array([0, 0, count]))[2] for count in (0.0, 1.0))
    assert none == pytest.approx(0.375, abs=0.05) and some == pytest.approx(0.875, abs=0.05)
    assert len(QUANTILES) == head.normal_DQ.shape[1]


def test_explanations() -> None:
    value, label = sample()
    head = fit_head(NAMES, value, label)
    explanations = explain(head, DESCRIPTORS, np.array([100.0, 4.0, 0.0]))
    assert explanations[0].trait == "size" and explanations[0].contribution > 0
    assert explanations[0].text == "the chromatin is larger than in 99 % of normal figures"
    small = explain(head, DESCRIPTORS, np.array([0.1, -2.5, 0.0]), most=1)
    assert len(small) == 1 and "is smaller than in 9" in small[0].text and small[0].contribution < 0
    assert explain(head, DESCRIPTORS, np.full(3, np.nan)) == ()


@pytest.mark.real
def test_shape_alone_separates_the_classes(shared_data: Path) -> None:
    """Every ninth training patch, even slides against odd ones: far from chance, and explained."""
    import pandas as pd

    from mitotype.core.images import read

    root = shared_data / "AMi-Br_Benchmark"
    split = pd.read_csv(root / "amibr_train_split.csv").iloc[::9].reset_index(drop=True)
    image = np.stack(
        [read(root / "AMi-Br" / row.final_label / row.dataset_uid).transpose(2, 0, 1) for row in split.itertuples()]
    )
    feature = features.get("morphology")
    described = feature.compute(image)
    label = (split["final_label"] == "Atypical").to_numpy(float)
    train = (pd.factorize(split["slide"])[0] % 2).astype(bool)
    head = fit_head(described.names, described.value_BD[train], label[train])
    assert separation(head.logit(described.value_BD[~train]), label[~train]) > 0.75
    worst = int(np.argmax(head.logit(described.value_BD)))
    assert all(
        "of normal figures" in explanation.text
        for explanation in explain(head, feature.descriptors, described.value_BD[worst])
    )
