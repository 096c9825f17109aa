"""Everything that these tests take from the package, in one place: a change of names in the package is a change of this file.

`RENAMED` maps a part of a stored path to what the package calls it now, as in {"old_key": "new_key"}; values never change.
"""

from __future__ import annotations

from mitotype.backbones import backbones
from mitotype.backbones.classifier import Architecture, build, parameters_m
from mitotype.backbones.facts import Backbone
from mitotype.cli import work
from mitotype.core import files, pictures, seeds
from mitotype.core.words import OUT_OF_FOLD, TEST, Cohort
from mitotype.datasets import splits, synthetic
from mitotype.deploy import classify, make, scorer
from mitotype.evaluation.compare import compare
from mitotype.evaluation.judging import evaluate, judged
from mitotype.fit import recipe as recipes
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from mitotype.scores import decision as decisions
from mitotype.scores import stack, table
from mitotype.scores.decision import Decision
from mitotype.scores.ensemble import Combine
from mitotype.scores.folds import case_folds
from mitotype.scores.table import Scores
from tests.backbones.siblings import shelved

RENAMED: dict[str, str] = {}
SHIPPED = ("default", "morphology")
CODES = {"normal": 0, "atypical": 1, "uncertain": 2}  # of decisions, as they are stored

__all__ = [
    "CODES", "OUT_OF_FOLD", "RENAMED", "SHIPPED", "TEST", "Architecture", "Backbone", "Cohort", "Combine", "Decision", "Recipe", "Scores",
    "backbones", "build", "case_folds", "classify", "compare", "decisions", "evaluate", "files", "judged", "make", "parameters_m",
    "pictures", "recipes", "run", "scorer", "seeds", "shelved", "splits", "stack", "synthetic", "table", "work",
]  # fmt: skip
