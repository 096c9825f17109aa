"""decision.json: calibration, threshold and abstention, and the digests of the images they were fitted on."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from msgspec import Meta

from mitotype.core import records
from mitotype.core.records import Count, Digest, Format2, Name, Record, Share, Text

Rate = Share | None  # None where it is undefined
SLOPE_RANGE = (0.01, 100.0)
CalibrationKind = Literal["identity", "temperature", "platt"]
CrossFitUnit = Literal["case", "domain"]  # whose rows share a fold where a rule is fitted on the others
CombinerKind = Literal["mean_logit", "mean_probability", "weighted", "sklearn"]


class Calibration(Record, frozen=True):
    """P(atypical) = σ(slope · logit + intercept). The identity is slope 1, intercept 0; `note` gives the reason for it."""

    kind: CalibrationKind = "identity"
    slope: Annotated[float, Meta(ge=SLOPE_RANGE[0], le=SLOPE_RANGE[1])] = 1.0
    intercept: Annotated[float, Meta(ge=-1e6, le=1e6)] = 0.0
    note: Text = ""


class Threshold(Record, frozen=True):
    """A figure is atypical where P(atypical) ≥ value. The three rates are cross-fitted."""

    value: Share = 0.5
    rule: Text = "half"
    sensitivity: Rate = None
    specificity: Rate = None
    balanced_accuracy: Rate = None
    note: Text = ""


class Abstention(Record, frozen=True):
    """Uncertain where low < P(atypical) < high. `share` and `certain_balanced_accuracy` are those of the rows of the fit."""

    low: Share = 0.5
    high: Share = 0.5
    rule: Text = "none"
    share: Share = 0.0
    certain_balanced_accuracy: Rate = None

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"the band {self.low} to {self.high} is empty: low is above high")


class FittedOn(Record, frozen=True):
    """Rows, the median number of members behind a row, the column of targets, and what is left out whole in cross-fitting."""

    rows: Count = 0
    members: Count = 0
    target: Name = "label"
    unit: CrossFitUnit = "case"


class DecisionRecord(Format2, frozen=True, kw_only=True):
    """decision.json. `rules` are the specs of calibration, threshold and abstention; `digests` are sorted."""

    calibration: Calibration = Calibration()
    threshold: Threshold = Threshold()
    abstention: Abstention = Abstention()
    fitted_on: FittedOn = FittedOn()
    rules: tuple[Text, Text, Text] = ("identity", "half", "none")
    digests: tuple[Digest, ...] = ()

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        value = records.renamed(value, {"asked": "rules"})
        old = {"kept_balanced_accuracy": "certain_balanced_accuracy"}
        value["abstention"] = records.renamed(value["abstention"], old)
        return value


class CombinerRecord(Record, frozen=True):
    """How one logit per patch comes from many, see `scores.ensemble`."""

    kind: CombinerKind = "mean_logit"
    views: tuple[Name, ...] = ()
    members: tuple[Name, ...] = ()
    weights: dict[Name, float] = {}
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if (self.kind == "weighted") != bool(self.weights):
            raise ValueError(f"an ensemble of kind '{self.kind}' has {len(self.weights)} weights")
        if not all(map(math.isfinite, (*self.weights.values(), self.intercept))):
            raise ValueError("the weights of an ensemble are not finite")
