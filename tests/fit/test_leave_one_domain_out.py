"""Leave one domain out: the domain that is left out reaches neither weights nor sampler nor its own decision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mitotype.api import scoring, training
from mitotype.core import files
from mitotype.core.errors import UserError
from mitotype.core.run_layout import names, read_patches
from mitotype.core.schema import OUT_OF_FOLD, Cohort
from mitotype.datasets.readers import midog25
from mitotype.evaluation import evaluator
from mitotype.evaluation.report.text import evaluation_text
from mitotype.fit import run
from mitotype.fit.recipe import Recipe, with_settings
from mitotype.fit.validate import validate_recipe
from mitotype.recipes import recipes
from mitotype.scores import decision as decisions
from mitotype.scores import ensemble
from tests.synthetic_cohort import synthetic_image

SETTINGS = [
    "backbone=d4resnet-tiny",
    "init_from=",
    "adaptation=full",
    "folds=domain",
    "batch=8",
    "ood_flag=0",
    "ema_decay=0.9",
]
POISONED = "domain0"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """Return the domain-aware recipe on a small net, with hard negatives from the first epoch on."""
    changed = with_settings(recipes.get("giedziun2025")(), [*SETTINGS, "epochs=2"])
    return replace(changed, sampler="0.7 * domain_balanced(0.5) + 0.3 * hard_negatives(0.2, 0.5, 1)")


@pytest.fixture(scope="module")
def cohort(toy_cohort: Cohort) -> Cohort:
    """Return the toy cohort in three domains of four cases."""
    number = toy_cohort.rows["case_id"].str.removeprefix("case").astype(int) % 3
    return Cohort(toy_cohort.name, toy_cohort.rows.assign(domain="domain" + number.astype(str)), toy_cohort.notes)


def decided(folder: Path) -> pd.DataFrame:
    scores, decision = scoring.read_scores(folder)
    return evaluator.decide_rows(scores, decision).set_index("patch_id")


def poisoned(cohort: Cohort) -> Cohort:
    """Return the cohort with every label and vote of one domain turned into the other."""
    rows = cohort.rows.copy()
    mask = rows["domain"] == POISONED
    rows.loc[mask, "label"] = 1 - rows.loc[mask, "label"]
    rows.loc[mask, "votes_for"] = rows.loc[mask, "votes"] - rows.loc[mask, "votes_for"]
    rows.loc[mask, "expert_votes"] = rows.loc[mask, "expert_votes"].str.translate(str.maketrans("AN", "NA"))
    return Cohort(cohort.name, rows, cohort.notes)


@pytest.mark.usefixtures("one_thread")
def test_labels_of_a_domain_change_nothing_about_its_own_numbers(
    recipe: Recipe, cohort: Cohort, tmp_path: Path
) -> None:
    clean = run.start(recipe, cohort, tmp_path / "clean")
    other = run.start(recipe, poisoned(cohort), tmp_path / "other")
    patches = read_patches(clean)
    [fold] = set(patches.loc[patches["domain"] == POISONED, "fold"])
    for file in (names.WEIGHTS, names.DIFFICULTY):
        same = [
            files.sha256(clean / names.MEMBERS / f"fold{number}-seed0" / file)
            == files.sha256(other / names.MEMBERS / f"fold{number}-seed0" / file)
            for number in (1, 2, 3)
        ]
        assert same == [number == fold for number in (1, 2, 3)], file  # the other member was trained on the domain
    ours, theirs = decided(clean), decided(other)
    mask = (ours["domain"] == POISONED).to_numpy()
    columns = ["logit", "probability", "class", "decision"]
    pd.testing.assert_frame_equal(ours.loc[mask, columns], theirs.loc[mask, columns], check_exact=True)
    assert not ours.loc[~mask, "logit"].equals(theirs.loc[~mask, "logit"])


def test_the_decision_of_a_domain_is_fitted_on_the_others(recipe: Recipe, cohort: Cohort, tmp_path: Path) -> None:
    folder = run.start(recipe, cohort, tmp_path / "run")
    scores, decision = scoring.read_scores(folder)
    assert decision.fitted_on.unit == "domain"
    rows = scores.joined(ensemble.mean_logit(scores))
    mask = (rows["domain"] == POISONED).to_numpy()
    calibration, threshold, abstention = decision.rules
    by_hand = decisions.fit(rows[~mask], calibration=calibration, threshold=threshold, abstention=abstention).apply(
        rows[mask]
    )
    probability = decided(folder).loc[rows.loc[mask, "patch_id"], "probability"]
    np.testing.assert_array_equal(probability, by_hand["probability"])


@pytest.mark.parametrize("setting", ["patience=3", "schedule=plateau(0.5, 3)"])
def test_early_stopping_on_the_domain_left_out_is_refused(recipe: Recipe, setting: str) -> None:
    with pytest.raises(UserError, match="which is the domain to be reported"):
        validate_recipe(with_settings(recipe, [setting]))
    validate_recipe(with_settings(recipe, [setting, "folds=study"]))


@pytest.mark.real
@pytest.mark.usefixtures("one_thread")
def test_the_command_for_midog_2025_leaves_ten_domains_out(shared_data: Path, recipe: Recipe, tmp_path: Path) -> None:
    """Real lines of the published csv, eight of every domain, with drawn images."""
    published = pd.read_csv(shared_data / "MIDOG25" / midog25.CSV_NAME, dtype=str, keep_default_na=False)
    rows, _ = midog25.read_rows(shared_data / "MIDOG25" / midog25.CSV_NAME)
    per_class = rows.groupby(["domain", "label"]).head(4)
    number = [patch_id.removeprefix("midog25/") + ".png" for patch_id in per_class.index]
    rng = np.random.default_rng(0)
    for name, label in zip(number, per_class["label"], strict=True):
        Image.fromarray(synthetic_image(int(label), rng)).save(tmp_path / name)
    published[published["image_id"].isin(number)].to_csv(tmp_path / midog25.CSV_NAME, index=False)
    cohort = training.read_training_cohort(str(tmp_path))
    folder = run.start(with_settings(recipe, ["epochs=1", "batch=16"]), cohort, tmp_path / "run")
    patches = read_patches(folder)
    assert patches.groupby("fold")["domain"].unique().map(len).tolist() == [1] * 10
    evaluation = scoring.evaluate(folder, part=OUT_OF_FOLD, n_boot=50)
    assert len(evaluation.entries[0].domains) == 10
    assert "mean ± SD over 10 domains: " in evaluation_text(evaluation)
