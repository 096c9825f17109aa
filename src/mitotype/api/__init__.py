"""The public functions: what the commands call and a notebook imports. Each is loaded on first use.

Data are given as by the commands (a folder, a csv, or NAME=PATH) or as data frames; results are frozen, and those with
numbers have `to_frame`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mitotype.core import extras

if TYPE_CHECKING:
    from mitotype.api.ablation import ablate
    from mitotype.api.adaptation import Adaptation, adapt
    from mitotype.api.benchmarking import BenchmarkOptions, benchmark
    from mitotype.api.bundles import bundle, export, push
    from mitotype.api.challenges import ChallengeCheck, challenge, check_challenge
    from mitotype.api.components import list_components, load_plugin
    from mitotype.api.data import Audit, audit, fetch, read_cohort, synthetic_cohort
    from mitotype.api.deployment import Predictor, classify, open_bundle
    from mitotype.api.ensemble_training import EnsembleRecipe, load_ensemble_recipe, train_ensemble
    from mitotype.api.ensembles import Ensemble, ensemble
    from mitotype.api.evaluations import Comparison, Evaluation
    from mitotype.api.examples import example_images
    from mitotype.api.machine_checks import doctor
    from mitotype.api.models import FetchedWeights, embed, fetch_weights
    from mitotype.api.predictions import Prediction, Predictions
    from mitotype.api.runs import Run
    from mitotype.api.score_folder import ScoreFolder
    from mitotype.api.scoring import compare, evaluate, score
    from mitotype.api.training import Recipe, load_recipe, resume, train

__all__ = [
    "Adaptation", "Audit", "BenchmarkOptions", "ChallengeCheck", "Comparison", "Ensemble", "EnsembleRecipe",
    "Evaluation", "FetchedWeights", "Prediction", "Predictions", "Predictor", "Recipe", "Run", "ScoreFolder",
    "ablate", "adapt", "audit", "benchmark", "bundle", "challenge", "check_challenge", "classify", "compare",
    "doctor", "embed", "ensemble", "evaluate", "example_images", "export", "fetch", "fetch_weights",
    "list_components", "load_ensemble_recipe", "load_plugin", "load_recipe", "open_bundle", "push", "read_cohort", "resume",
    "score", "synthetic_cohort", "train", "train_ensemble",
]  # fmt: skip
_NAMES = {
    "ablation": ("ablate",),
    "adaptation": ("Adaptation", "adapt"),
    "benchmarking": ("BenchmarkOptions", "benchmark"),
    "bundles": ("bundle", "export", "push"),
    "challenges": ("ChallengeCheck", "challenge", "check_challenge"),
    "components": ("list_components", "load_plugin"),
    "data": ("Audit", "audit", "fetch", "read_cohort", "synthetic_cohort"),
    "deployment": ("Predictor", "classify", "open_bundle"),
    "ensemble_training": ("EnsembleRecipe", "load_ensemble_recipe", "train_ensemble"),
    "ensembles": ("Ensemble", "ensemble"),
    "examples": ("example_images",),
    "evaluations": ("Comparison", "Evaluation"),
    "machine_checks": ("doctor",),
    "models": ("FetchedWeights", "embed", "fetch_weights"),
    "predictions": ("Prediction", "Predictions"),
    "runs": ("Run",),
    "score_folder": ("ScoreFolder",),
    "scoring": ("compare", "evaluate", "score"),
    "training": ("Recipe", "load_recipe", "resume", "train"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with extras.translated():
        module = import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
