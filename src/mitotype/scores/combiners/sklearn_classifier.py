"""Any classifier of scikit-learn, on the logits of the sources."""

import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Self

import numpy as np

from mitotype.core.errors import UserError, unknown_name
from mitotype.core.seeds import derive
from mitotype.core.spec import Step, Value
from mitotype.scores.calibrate import logit_of
from mitotype.scores.combiners.rule import CombinerRule, combiners
from mitotype.scores.scale import CLIP
from mitotype.scores.sources import SourceRows

MODULES = (
    "calibration", "discriminant_analysis", "dummy", "ensemble", "gaussian_process", "linear_model", "naive_bayes", "neighbors",
    "neural_network", "semi_supervised", "svm", "tree",
)  # fmt: skip
FORM = "sklearn(RandomForestClassifier, n_estimators=200): a classifier, and its parameters by name"


@combiners.add("sklearn")
@dataclass(frozen=True)
class SklearnClassifier(CombinerRule):
    """A classifier of scikit-learn on the sources' logits: sklearn(RandomForestClassifier, n_estimators=200).

    Allowed are scikit-learn's own classifiers that predict probabilities and need no other estimator; parameters are numbers
    and names. Where the classifier has a random_state it follows from the seed. A fitted classifier could only be stored as a
    pickle, which can contain code. So it is fitted again, from the same rows, where it is applied, and a bundle, which
    contains no rows, cannot have it.
    """

    classifier: str = ""
    parameters: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def from_step(cls, step: Step) -> Self:
        if len(step.args) != 1 or not isinstance(step.args[0], str):
            raise UserError(f"'{step}' names no classifier.", allowed=FORM)
        rule = cls(step.args[0], step.options)
        rule.estimator(0)
        return rule

    def estimator(self, seed: int) -> Any:
        """Return the classifier, not fitted. Raises a UserError for an unknown name or parameter."""
        known = classifiers()
        if self.classifier not in known:
            raise unknown_name("classifier of scikit-learn", self.classifier, known, "scikit-learn's documentation")
        estimator = known[self.classifier]()
        names = estimator.get_params()
        for name, _ in self.parameters:
            if name not in names:
                raise unknown_name(f"parameter of {self.classifier}", name, names, "scikit-learn's documentation")
        seeded = {"random_state": derive(seed, "sklearn") % 2**31} if "random_state" in names else {}
        estimator.set_params(**{**seeded, **dict(self.parameters)})
        return estimator

    def fit(self, rows: SourceRows, seed: int) -> "FittedClassifier":
        estimator = self.estimator(seed)
        try:
            estimator.fit(rows.logit_NS, (rows.label_N >= 0.5).astype(int))
            fitted = FittedClassifier(estimator)
            fitted.combine(rows.logit_NS[:1])
        except (ValueError, TypeError, AttributeError) as error:  # what scikit-learn raises for wrong parameters
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{self.classifier} cannot be fitted: {reason}", allowed=FORM) from error
        return fitted


@dataclass(frozen=True)
class FittedClassifier:
    """A fitted classifier of scikit-learn."""

    estimator: Any

    def combine(self, logit_NS: np.ndarray) -> np.ndarray:
        """Return the logit of P(atypical), which is clipped to 1e-7 … 1 - 1e-7: a forest returns 0 and 1."""
        return logit_of(np.clip(self.estimator.predict_proba(logit_NS)[:, 1], CLIP, 1 - CLIP))


@cache
def classifiers() -> dict[str, Any]:
    """Return scikit-learn's classifiers that predict probabilities and are made without another estimator, by name."""
    from sklearn.base import ClassifierMixin  # not at the top: the other combiners need no scikit-learn

    known = {}
    for module in (import_module(f"sklearn.{name}") for name in MODULES):
        for name, component in vars(module).items():
            is_class = isinstance(component, type) and issubclass(component, ClassifierMixin)
            if name.startswith("_") or not is_class or not hasattr(component, "predict_proba"):
                continue
            with suppress(TypeError), warnings.catch_warnings():  # it needs another estimator
                warnings.simplefilter("ignore", FutureWarning)  # of deprecated ones
                component()
                known[name] = component
    return known
