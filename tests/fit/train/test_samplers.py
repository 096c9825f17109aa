"""Samplers of domains and of difficult patches: their shares, what they need, and a run that is resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mitotype.core.errors import UserError
from mitotype.core.run_layout import names
from mitotype.core.schema import Cohort
from mitotype.fit import run
from mitotype.fit.recipe import Recipe, with_settings
from mitotype.fit.train import trainer
from mitotype.fit.train.samplers import Patches, build_sampler


def patches(difficulty_N: np.ndarray | None = None) -> Patches:
    """Return 1000 patches: 800, 150 and 50 of three domains, a tenth atypical; the last domain is normal."""
    domain_N = np.repeat([0, 1, 2], [800, 150, 50])
    label_N = (np.arange(1000) % 10 == 0) & (domain_N < 2)
    return Patches(label_N.astype(int), domain_N, difficulty_N)


def test_domain_balanced_gives_every_domain_and_class_its_share() -> None:
    data = patches()
    order_N = np.concatenate([build_sampler("domain_balanced(0.4)")(0, epoch, data) for epoch in range(40)])
    share_M = np.bincount(data.domain_N[order_N]) / len(order_N)
    np.testing.assert_allclose(share_M, [1 / 2.6, 1 / 2.6, 0.6 / 2.6], atol=0.01)  # the last has no atypical patch
    for domain in (0, 1):
        assert data.label_N[order_N][data.domain_N[order_N] == domain].mean() == pytest.approx(0.4, abs=0.02)
    natural = build_sampler("domain_balanced(0.4, 0)")(0, 0, data)
    assert (data.domain_N[natural] == 0).mean() == pytest.approx(0.8, abs=0.05)


def test_difficult_patches_are_drawn_in_proportion() -> None:
    difficulty_N = np.linspace(0, 1, 1000)
    data = patches(difficulty_N)
    sampler = build_sampler("difficult(3)")
    order_N = np.concatenate([sampler(0, epoch, data) for epoch in range(2, 60)])
    normal_N = order_N[data.label_N[order_N] == 0]
    count_N = np.bincount(normal_N, minlength=1000)
    upper, lower = count_N[950:].sum(), count_N[:50][data.label_N[:50] == 0].sum() * 50 / 45
    expected = (1 + 3 * difficulty_N[950:]).sum() / (1 + 3 * difficulty_N[:50]).sum()
    assert upper / lower == pytest.approx(expected, rel=0.1)
    assert (data.label_N[order_N] == 1).mean() == pytest.approx(0.5, abs=0.02)
    early = sampler(0, 1, data)
    assert difficulty_N[early[data.label_N[early] == 0]].mean() == pytest.approx(0.5, abs=0.06)


def test_hard_negatives_are_the_hardest_normal_patches() -> None:
    difficulty_N = np.random.default_rng(0).random(1000)
    data = patches(difficulty_N)
    sampler = build_sampler("hard_negatives(0.1)")
    order_N = sampler(0, 5, data)
    normal_N = order_N[data.label_N[order_N] == 0]
    limit = np.sort(difficulty_N[data.label_N == 0])[-round(0.1 * (data.label_N == 0).sum())]
    assert difficulty_N[normal_N].min() >= limit - 1e-9
    assert set(order_N[data.label_N[order_N] == 1]) > set(np.flatnonzero(data.label_N)[:10])
    for earlier in (sampler(0, 1, data), sampler(0, 5, patches())):
        assert difficulty_N[earlier[data.label_N[earlier] == 0]].min() < 0.1


def test_a_mixture_draws_from_each_by_its_weight() -> None:
    data = patches(np.linspace(0, 1, 1000))
    mixture = build_sampler("3 * uniform + 1 * hard_negatives(0.05)")
    assert mixture.needs_difficulty and mixture.from_epoch == 2
    order_N = np.concatenate([mixture(0, epoch, data) for epoch in range(2, 22)])
    hardest = data.difficulty_N is not None and (data.difficulty_N[order_N] > 0.95) & (data.label_N[order_N] == 0)
    assert np.mean(hardest) == pytest.approx(0.75 * 0.05 + 0.25 * 0.5, abs=0.02)
    assert np.array_equal(mixture(1, 2, data), mixture(1, 2, data))
    for text in ("uniform + nothing", "uniform | uniform", "2 * hard_negatives(2) + uniform"):
        with pytest.raises(UserError):
            build_sampler(text)


@pytest.mark.usefixtures("one_thread", "quick_checkpoints")
def test_difficulty_is_stored_and_a_resumed_run_is_the_same(
    tiny: Recipe, toy_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ["sampler=0.5 * domain_balanced + 0.5 * hard_negatives(0.5, from_epoch=1)", "epochs=4", "folds=2"]
    objective = (
        "objective=adaptive_focal + 0.1 * supcon + 0.1 * domain_adversary(8) + 0.1 * domain_heads + 0.01 * coral"
    )
    recipe = with_settings(tiny, [*settings, objective])
    complete = run.start(recipe, toy_cohort, tmp_path / "complete", device="cpu")
    difficulty = np.load(names.member_dir(complete, "fold1-seed0") / names.DIFFICULTY)
    assert difficulty.shape == (4, 24) and 0 <= difficulty.min() < difficulty.max() <= 1

    steps = 0
    step = trainer._train_step

    def killed(*args: object) -> object:
        nonlocal steps
        steps += 1
        if steps == 8:
            raise KeyboardInterrupt
        return step(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "_train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run.start(recipe, toy_cohort, tmp_path / "stopped", device="cpu")
    run.resume(tmp_path / "stopped")
    for member in ("fold1-seed0", "fold2-seed0"):
        for file in (names.WEIGHTS, names.DIFFICULTY):
            a, b = (names.member_dir(folder, member) / file for folder in (complete, tmp_path / "stopped"))
            assert a.read_bytes() == b.read_bytes()
