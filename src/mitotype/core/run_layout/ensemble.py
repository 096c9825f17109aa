"""ensemble.json: the runs of an ensemble with their digests, and how their logits are combined; plan.json: how to train them."""

from __future__ import annotations

from pathlib import Path

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.records import Count, Digest, FileName, Format2, Name, Record, Text
from mitotype.core.run_layout import names
from mitotype.core.run_layout.decision import CombinerRecord, CrossFitUnit
from mitotype.core.run_layout.run import RecipeFields


class EnsembleSource(Record, frozen=True, kw_only=True):
    """A run: its `name` in the score table (SOURCE/member), and its folder, relative to that of the ensemble.

    `members` are the digests of all its members, `rows` is that of its out-of-fold rows. `datasets` are what it was trained on,
    less the test sets of `hold_out`; `notes` are its own.
    """

    name: FileName
    path: Text
    members: dict[Name, Digest]
    rows: Digest
    datasets: list[Name] = []
    hold_out: list[Name] = []
    notes: list[Text] = []


class EnsembleRecord(Format2, frozen=True, kw_only=True):
    """ensemble.json. `rule` is the spec of the combiner, `combiner` what was fitted by it on `patches` out-of-fold patches.

    `rows` is the digest of the logits, labels and cases of the fit. `folds`, `seed` and `unit` (what shares a fold) are those of
    the cross-fitted rows. A combiner of kind "sklearn" has no coefficients: it is fitted again where it is applied, and
    `predictions` is the digest of its rounded predictions for the rows of the fit.
    """

    rule: Text
    combiner: CombinerRecord
    sources: list[EnsembleSource]
    patches: Count
    atypical: Count
    cases: Count
    rows: Digest
    predictions: Digest | None = None
    folds: Count
    unit: CrossFitUnit = "case"
    seed: Count
    notes: list[Text] = []
    versions: dict[Name, Name] = {}
    created: Name

    def run_dir(self, folder: Path, source: EnsembleSource) -> Path:
        """Return the folder of a source, given that of the ensemble."""
        return (folder / source.path).resolve()


class EnsemblePlan(Format2, frozen=True, kw_only=True):
    """plan.json: an ensemble recipe and its data, for the training of every member in a folder of its name.

    `members` has every field of each recipe; `digest` is that of the patches' names and labels.
    """

    name: Name
    members: dict[FileName, RecipeFields]
    combiner: Text
    calibration: Text
    threshold: Text
    abstention: Text
    sources: list[Text]
    hold_out: list[Name]
    digest: Digest
    device: Name
    started: Name


def read_plan(folder: Path) -> EnsemblePlan:
    return records.read(folder / names.PLAN, EnsemblePlan, what="plan of an ensemble")


def read_ensemble(folder: Path) -> EnsembleRecord:
    """Return the record of an ensemble that is complete. Raises a UserError for one that is not."""
    if not names.is_finished(folder):
        what = f"The ensemble '{folder}' is not finished: making it was stopped."
        raise UserError(what, fix="repeat the command that makes it")
    return records.read(folder / names.ENSEMBLE, EnsembleRecord, what="ensemble")
