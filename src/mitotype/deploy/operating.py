"""The operating point of a predictor: the threshold of its bundle, or another one from its out-of-fold rows."""

from __future__ import annotations

import dataclasses
import logging

from msgspec.structs import replace

from mitotype.core.errors import UserError
from mitotype.core.run_layout import OperatingCurve, OperatingPoint, Threshold, names
from mitotype.core.run_layout.operating import Rate
from mitotype.deploy.predictor import Predictor
from mitotype.scores.abstain import Abstention
from mitotype.scores.decision import Decision

LOGGER = logging.getLogger("mitotype")


def own_point(decision: Decision) -> OperatingPoint:
    """Return the operating point of a decision, with its cross-fitted rates."""
    threshold, band = decision.threshold, decision.abstention
    return OperatingPoint(
        threshold=threshold.value, band=(band.low, band.high),
        sensitivity=threshold.sensitivity, specificity=threshold.specificity,
    )  # fmt: skip


def at_operating_point(
    predictor: Predictor, sensitivity: float | None = None, specificity: float | None = None
) -> tuple[Predictor, OperatingPoint]:
    """Return the predictor with the threshold and band that reach a sensitivity or a specificity, and what these are.

    Without a number the predictor is returned as it is. Raises a UserError for two numbers, for one that is beyond the
    points of the bundle, and for a bundle without them.
    """
    if sensitivity is not None and specificity is not None:
        raise UserError("A sensitivity and a specificity are given.", fix="give one: the other one follows from it")
    rate: Rate = "sensitivity" if sensitivity is not None else "specificity"
    value = sensitivity if sensitivity is not None else specificity
    if value is None:
        return predictor, own_point(predictor.decision)
    curve = _curve(predictor)
    requested = [point.requested or 0.0 for point in curve.points(rate)]
    lowest, highest = min(requested), max(requested)
    point = curve.point(rate, value) if lowest <= value <= 1 else None
    if point is None:
        raise UserError(f"A {rate} of {value:g} cannot be set.", allowed=f"{lowest:g} to {highest:g}")
    rule = f"{rate}({point.requested:g})"
    decision = replace(
        predictor.decision,
        threshold=Threshold(point.threshold, rule, point.sensitivity, point.specificity),
        abstention=Abstention(*point.band, predictor.decision.abstention.rule),
    )
    LOGGER.info(f"operating point: {point}")
    return dataclasses.replace(predictor, decision=decision), point


def _curve(predictor: Predictor) -> OperatingCurve:
    """Return the operating points of a bundle, or those of an opened run, which are fitted now."""
    stored = predictor.record.operating
    if isinstance(stored, OperatingCurve):
        return stored
    curve = _curve_of_run(predictor) if names.is_run(predictor.dir) else None
    if curve is None and predictor.record.local_labels:
        raise UserError(
            f"The bundle '{predictor.record.name}' has no operating points: those of the bundle that was adapted are of its old decision.",
            fix="use its own threshold, which is fitted on your labels, or the bundle that was adapted",
        )
    if curve is None:
        raise UserError(
            f"The bundle '{predictor.record.name}' has no operating points: it was made before bundles stored them, or of too few cases.",
            fix="use its own threshold, make it again from its run (mitotype bundle RUN), or use --bundle morphology",
        )
    return curve


def _curve_of_run(predictor: Predictor) -> OperatingCurve | None:
    from mitotype.scores import operating  # not at the top: a bundle has its points, and classify needs no tables

    return operating.curve_of_run(predictor.dir, predictor.decision)
