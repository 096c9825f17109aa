"""Screening designs, ingredients of a recipe, effects by brute force, and an ablation that is stopped and continued."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mitotype.core.errors import UserError
from mitotype.core.run_layout.evaluation import Interval
from mitotype.core.schema import Cohort
from mitotype.evaluation.metrics import compute
from mitotype.experiments.ablation import report
from mitotype.experiments.ablation import run as ablation
from mitotype.experiments.ablation.design import main_effects, plackett_burman
from mitotype.experiments.ablation.effects import (
    METRICS,
    Effect,
    noise_of_difference,
    noise_of_seeds,
    pooled,
    screening_effects,
)
from mitotype.experiments.ablation.subject import Subject
from mitotype.experiments.ablation.untrained import untrained_members
from mitotype.fit.ensemble_recipe import EnsembleRecipe
from mitotype.fit.recipe import Recipe, with_settings
from mitotype.recipes import recipes
from mitotype.scores.table import Scores


@pytest.mark.parametrize("n_runs", [8, 12, 20, 24])
def test_designs_are_orthogonal(n_runs: int) -> None:
    sign_RK = 2 * plackett_burman(n_runs - 1, n_runs).astype(int) - 1
    assert np.array_equal(sign_RK.T @ sign_RK, n_runs * np.eye(n_runs - 1))
    assert (sign_RK.sum(0) == 0).all()


def test_main_effects_of_an_additive_model_are_exact() -> None:
    is_on_RK = plackett_burman(5)
    effect_K = np.array([0.3, 0, -0.2, 0.1, 0])
    np.testing.assert_allclose(main_effects(is_on_RK, 0.5 + is_on_RK @ effect_K), effect_K, atol=1e-12)


def test_ingredients_are_what_a_recipe_has() -> None:
    giedziun = Subject(recipes.get("giedziun2025")())
    names = {part.name for part in giedziun.ingredients()}
    assert {"MixUp", "soft labels", "adaptive focal loss", "supervised contrastive loss", "domain adversary"} <= names
    assert {"hard-negative mining", "sampling by domain"} <= names and "fisheye" not in names
    bare = giedziun.without(giedziun.ingredients())
    [recipe] = bare.recipes
    assert recipe.objective == "soft_bce" and recipe.sampler == "class_balanced" and not recipe.mixup
    bare.validate()
    assert [part.name for part in bare.ingredients()] in ([], ["stain augmentation"])


def test_ingredients_do_not_depend_on_how_a_spec_is_written() -> None:
    recipe = with_settings(
        recipes.get("giedziun2025")(),
        ["objective=soft_bce+0.1*supcon", "augment=d4|crop(64)", "sampler=hard_negatives", "mixup=0", "cutmix=1"],
    )
    subject = Subject(recipe)
    names = {part.name for part in subject.ingredients()}
    assert names == {
        "CutMix", "soft labels", "supervised contrastive loss", "hard-negative mining", "averaged weights (EMA)",
    }  # fmt: skip
    [bare] = subject.without(subject.ingredients()).recipes
    assert (bare.sampler, bare.cutmix) == ("class_balanced", 0)


def test_the_targets_of_fourier_are_left_out_with_it(tmp_path: Path) -> None:
    subject = Subject(with_settings(recipes.get("giedziun2025")(), [
        "augment=d4 | fourier(0.05) | crop(64)", f"fourier_targets={tmp_path}",
    ]))  # fmt: skip
    [part] = [part for part in subject.ingredients() if part.name == "Fourier domain adaptation"]
    assert subject.without([part]).recipes[0].fourier_targets == ""


def test_noise_is_scaled_to_the_fits_of_a_difference() -> None:
    rng = np.random.default_rng(0)
    is_on_RK = plackett_burman(11)
    per_fit = rng.normal(size=(20_000, 12, 2)).mean(2)  # 12 runs of two folds
    contrast = main_effects(is_on_RK, per_fit.T)[0].std()
    difference = (
        rng.normal(size=(20_000, 10)).mean(1) - rng.normal(size=(20_000, 10)).mean(1)
    ).std()  # 5 folds, 2 seeds
    scaled = noise_of_difference({"auroc": contrast}, n_runs=12, folds=2, all_folds=5, seeds=2)
    assert scaled["auroc"] == pytest.approx(difference, rel=0.03)


def test_noise_of_seeds_is_that_of_the_difference_of_two_recipes() -> None:
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2

    def decided() -> pd.DataFrame:
        logit = label + rng.normal(size=40)
        classes = np.where(logit > 0, "atypical", "normal")
        probability = 1 / (1 + np.exp(-logit))
        return pd.DataFrame({"label": label, "calibrated_logit": logit, "probability": probability, "class": classes})

    tables_AS = [[decided(), decided()] for _ in range(400)]
    auroc_AS = np.array([[roc_auc_score(label, t["calibrated_logit"]) for t in tables] for tables in tables_AS])
    difference = np.diff(auroc_AS.mean(1).reshape(200, 2)).std()
    assert noise_of_seeds(tables_AS)["auroc"] == pytest.approx(difference, rel=0.12)
    assert all(np.isnan(noise) for noise in noise_of_seeds([[decided()]]).values())


def test_estimates_of_the_noise_are_pooled_by_their_degrees_of_freedom() -> None:
    of_columns, of_seeds = (dict.fromkeys(METRICS, noise) for noise in (0.003, 0.006))
    assert pooled([(of_columns, 2), (of_seeds, 4)])["auroc"] == pytest.approx(np.sqrt((2 * 9 + 4 * 36) / 6) * 1e-3)
    unknown = dict.fromkeys(METRICS, np.nan)
    assert pooled([(unknown, 0), (of_seeds, 4)]) == of_seeds
    assert all(np.isnan(noise) for noise in pooled([(unknown, 0), (unknown, 0)]).values())


def test_an_effect_is_the_difference_of_means() -> None:
    rng = np.random.default_rng(0)
    is_on_RK = plackett_burman(11)
    label = (rng.random(300) < 0.4).astype(float)
    base = pd.DataFrame({
        "patch_id": [str(i) for i in range(300)], "part": "out-of-fold", "dataset": "d", "domain": "m",
        "case_id": [str(i // 6) for i in range(300)], "label": label, "digest": [str(i) for i in range(300)],
    })  # fmt: skip
    tables = []
    for is_on_K in is_on_RK:
        logit = (1.0 + 1.0 * is_on_K[0]) * (label - 0.5) + rng.normal(size=300)
        probability = 1 / (1 + np.exp(-logit))
        decided = np.where(probability > 0.5, "atypical", "normal")
        tables.append(
            base.assign(calibrated_logit=logit, probability=probability, case=base["case_id"], **{"class": decided})
        )
    effects = screening_effects(is_on_RK, tables, ["first", "second"], n_boot=200)
    value_R = np.array(
        [
            compute("auroc", label, label, t["probability"].to_numpy(), t["calibrated_logit"].to_numpy()).value
            for t in tables
        ]
    )
    expected = value_R[is_on_RK[:, 0]].mean() - value_R[~is_on_RK[:, 0]].mean()
    assert effects[0].difference["auroc"].value == pytest.approx(expected)
    assert effects[0].is_told_apart() and effects[0].improves() and not effects[1].is_told_apart()


@pytest.mark.parametrize(("auroc", "expected"), [(-4e-5, "cannot be told apart"), (-6e-3, "harms")])
def test_an_effect_that_is_shown_as_nothing_is_read_by_balanced_accuracy(auroc: float, expected: str) -> None:
    near = {m: Interval(0.001, -0.002, 0.004) for m in METRICS} | {"auroc": Interval(auroc, 1.5 * auroc, 0.5 * auroc)}
    assert report.reading(Effect("mean of probabilities", near, {})) == expected


def test_fits_that_learned_nothing_are_on_the_page() -> None:
    label_N = np.arange(200) % 2
    logit = {"fold1-seed0": label_N + np.linspace(0, 1.5, 200), "fold2-seed0": np.full(200, 0.3)}
    text = dict.fromkeys(("dataset", "case_id", "domain", "digest"), "a")
    ids = [str(i) for i in range(200)]
    patches = pd.DataFrame({"patch_id": ids, "label": label_N, "votes_for": 0, "votes": 1} | text)
    rows = [
        pd.DataFrame(
            {"patch_id": ids, "part": "out-of-fold", "fold": 1, "member": member, "view": view, "logit": logit_N}
        )
        for member, logit_N in logit.items()
        for view in ("identity", "hflip")
    ]
    assert untrained_members(Scores(patches, pd.concat(rows))) == ["fold2-seed0"]
    record = ablation.AblationRecord(
        name="r", recipes=[dataclasses.asdict(recipes.get("giedziun2025")())], ingredients=[], is_on=[[True]], folds=[1], strongest=1,
        seeds=1, digest="0" * 64, sources=[], started="now",
    )  # fmt: skip
    result = ablation.AblationResult(record, "a machine", [], n_fits=24, untrained=["05/fold2-seed0"])
    assert "**1 of 24 fits learned nothing**" in report.markdown(result, "plot.svg")
    assert "learned nothing" not in report.markdown(dataclasses.replace(result, untrained=()), "plot.svg")


@pytest.mark.usefixtures("one_thread")
def test_an_ablation_is_continued_where_it_stopped(
    tiny: Recipe, toy_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(tiny, objective="adaptive_focal + 0.1 * supcon", epochs=1, folds="2")
    config = ablation.AblationConfig(
        out=tmp_path / "a",
        recipe=recipe,
        cohort=toy_cohort,
        folds=(1,),
        strongest=1,
        n_runs=8,
        seeds=2,
        device="cpu",
        n_boot=100,
    )
    fit = ablation.fit_member
    calls: list[str] = []

    def counted(run_dir: Path, *args: object) -> None:
        calls.append(run_dir.name)
        if len(calls) == 5:
            raise KeyboardInterrupt
        fit(run_dir, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(ablation, "fit_member", counted)
    with pytest.raises(KeyboardInterrupt):
        ablation.ablate(config)
    result = ablation.ablate(config)
    screened = [name for name in calls if name.isdigit()]
    assert len(screened) == 9 and len(set(screened)) == 8
    assert len(calls) - len(screened) == 2 * 2 * 2  # two recipes, two folds, two seeds
    assert {effect.name for effect in result.screened} >= {"MixUp", "soft labels", "supervised contrastive loss"}
    assert result.confirmed[0].noise.keys() == result.screened[0].noise.keys()
    assert len(result.confirmed) == 1 and {effect.name for effect in result.combined} >= {"2 seeds"}
    page = (tmp_path / "a" / "ablation.md").read_text()
    assert result.n_fits == 8 + 2 * 2 * 2
    assert [level.name for level in result.levels] == ["all members, mean of logits"]
    assert (
        "| supervised contrastive loss |" in page
        and "## The complete recipe" in page
        and "<svg" in (tmp_path / "a" / "ablation.svg").read_text()
    )
    with pytest.raises(UserError, match="another ablation"):
        ablation.ablate(dataclasses.replace(config, strongest=2))


@pytest.mark.usefixtures("one_thread")
def test_an_ablation_of_an_ensemble_compares_its_runs(tiny: Recipe, toy_cohort: Cohort, tmp_path: Path) -> None:
    members = tuple(dataclasses.replace(tiny, name=name, epochs=1, folds="2", seed=i) for i, name in enumerate("ab"))
    recipe = EnsembleRecipe(name="two", members=members, combiner="stack")
    config = ablation.AblationConfig(
        out=tmp_path / "out",
        recipe=recipe,
        cohort=toy_cohort,
        folds=(1,),
        strongest=1,
        n_runs=8,
        seeds=1,
        device="cpu",
        n_boot=100,
    )
    result = ablation.ablate(config)
    assert [path.name for path in sorted((tmp_path / "out" / "screen" / "01").iterdir()) if path.is_dir()] == ["a", "b"]
    assert {effect.name for effect in result.combined} >= {"a", "b", "logistic stack, not the mean"}
    assert [level.name for level in result.levels[2:]] == ["a alone", "b alone"]
    without_a = {effect.name: effect for effect in result.combined}["a"].difference["auroc"].value
    both, *_, b = (level.value["auroc"].value for level in result.levels)
    assert without_a == pytest.approx(both - b)  # type: ignore[operator]
    scores = Subject(recipe).read_scores(tmp_path / "out" / "confirm" / "complete")
    assert set(scores.scores["member"]) == {f"{name}/fold{fold}-seed0" for name in "ab" for fold in (1, 2)}
    assert ablation.ablate(config).record == result.record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": (7,)}, "The folds 7 are not those of the data"),
        ({"folds": ()}, "are not those of the data"),
        ({"seeds": 0}, "seeds is 0"),
        ({"recipe": "morphology"}, "are not trained by steps"),
        ({"recipe": "pretrain"}, "folds is 'none'"),
        ({"n_runs": 16}, "ingredients|No design"),
    ],
)
def test_what_could_not_be_completed_is_refused_at_once(
    changes: dict[str, object], message: str, tiny: Recipe, toy_cohort: Cohort, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(tiny, objective="adaptive_focal + 0.1 * supcon", epochs=1, folds="2")
    name = changes.pop("recipe", None)
    config = ablation.AblationConfig(
        out=tmp_path / "a",
        recipe=recipes.get(str(name))() if name else recipe,
        cohort=toy_cohort,
        folds=(1,),
        device="cpu",
    )
    with pytest.raises(UserError, match=message):
        ablation.ablate(dataclasses.replace(config, **changes))  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()
