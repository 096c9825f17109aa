"""Everything that these tests take from the package, in one place: a change of names in the package is a change of this file.

`RENAMED` maps a part of a stored path to its present name, as in {"old/key": "new_key"}; values never change.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from mitotype.backbones import backbones
from mitotype.backbones.classifier import Architecture, build, parameters_m
from mitotype.backbones.model_spec import Backbone
from mitotype.core import files, images, records, seeds
from mitotype.core.case_folds import case_folds
from mitotype.core.run_layout import DecisionRecord
from mitotype.core.run_layout.evaluation import EvaluationRecord
from mitotype.core.schema import OUT_OF_FOLD, TEST, Cohort
from mitotype.datasets import splits
from mitotype.datasets.synthesis import cohort as synthetic
from mitotype.deploy import classify, from_run, predictor
from mitotype.evaluation import evaluator
from mitotype.evaluation.compare import compare
from mitotype.evaluation.evaluator import decide_rows
from mitotype.fit import recipe as recipes
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from mitotype.fit.validate import validate_recipe
from mitotype.scores import decision as decisions
from mitotype.scores import stack, table
from mitotype.scores.decision import Decision
from mitotype.scores.ensemble import Combiner
from mitotype.scores.table import Scores
from tests.backbones.siblings import registered_siblings

RENAMED = {
    "made/decision/digests": "settings/decision_digests",
    "kept_balanced_accuracy": "certain_balanced_accuracy",
    "abstained/kept": "abstained/certain",
    "made": "settings",
    "draws": "n_boot",
    "left_out": "n_undefined",
    "sd": "member_sd",
    "people": "human",
    "combine": "combiner",
    "spread": "member_sd",
}
SHIPPED = ("default", "morphology")
NEW_VARIANTS = {"mean_probability"}  # of an evaluation, which 0.1.0 had not
CODES = {"normal": 0, "atypical": 1, "uncertain": 2}  # of decisions, as they are stored

__all__ = [
    "CODES", "OUT_OF_FOLD", "RENAMED", "SHIPPED", "TEST", "Architecture", "Backbone", "Cohort", "Combiner", "Decision",
    "DecisionRecord", "Recipe", "Scores", "backbones", "build", "case_folds", "classify", "compare", "decide_rows", "decisions",
    "evaluate", "files", "from_run", "images", "parameters_m", "predictor", "recipes", "records", "registered_siblings", "run",
    "seeds", "splits", "stack", "synthetic", "table", "validate_recipe",
]  # fmt: skip


def evaluate(*args: Any, **settings: Any) -> EvaluationRecord:
    """The record of an evaluation, without the variants that 0.1.0 had not."""
    record = evaluator.evaluate(*args, **settings).to_record()
    entries = [replace(e, variants=[v for v in e.variants if v.key not in NEW_VARIANTS]) for e in record.entries]
    return replace(record, entries=entries)
