"""The public functions: what the commands call and a notebook imports. Each is loaded on first use.

>>> import mitotype
>>> run_dir = mitotype.train("demo", ["cohort"])
>>> mitotype.score(run_dir, ["cohort"])
>>> evaluation = mitotype.evaluate(run_dir)
>>> predictions = mitotype.classify(["patches/"])

Data are given as by the commands: a folder, a csv, or NAME=PATH; see `mitotype.datasets.read`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mitotype.api.adaptation import adapt
    from mitotype.api.benchmarking import BenchmarkOptions, benchmark
    from mitotype.api.data import audit, fetch, read_cohort
    from mitotype.api.deployment import bundle, classify, open_bundle, push
    from mitotype.api.ensembles import ensemble
    from mitotype.api.models import doctor, embed, fetch_weights
    from mitotype.api.scoring import compare, evaluate, score, write_report
    from mitotype.api.training import load_recipe, resume, train

__all__ = [
    "BenchmarkOptions", "adapt", "audit", "benchmark", "bundle", "classify", "compare", "doctor", "embed", "ensemble",
    "evaluate", "fetch", "fetch_weights", "load_recipe", "open_bundle", "push", "read_cohort", "resume", "score", "train",
    "write_report",
]  # fmt: skip
_NAMES = {
    "adaptation": ("adapt",),
    "benchmarking": ("BenchmarkOptions", "benchmark"),
    "data": ("audit", "fetch", "read_cohort"),
    "deployment": ("bundle", "classify", "open_bundle", "push"),
    "ensembles": ("ensemble",),
    "models": ("doctor", "embed", "fetch_weights"),
    "scoring": ("compare", "evaluate", "score", "write_report"),
    "training": ("load_recipe", "resume", "train"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
