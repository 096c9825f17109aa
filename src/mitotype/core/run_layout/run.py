"""run.json: every resolved field of a run, its machine, and the digests of what it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.records import Count, Digest, Format2, Name, Record, Scalar, Text
from mitotype.core.run_layout import names
from mitotype.core.run_layout.member import WeightsSource

RecipeFields = dict[Name, Scalar | dict[Name, Scalar | list[Scalar]]]
# The fields of a recipe in format 1 and their names since.
RECIPE_FIELDS_1 = {
    "draws": "n_views", "refit": "n_final_models", "flag": "ood_flag", "recompute": "grad_checkpointing",
    "accumulate": "grad_accum_steps", "clip": "grad_clip", "options": "model_kwargs", "colours": "normalization",
    "votes_prior": "vote_smoothing", "optimiser": "optimizer", "views": "tta",
}  # fmt: skip


class DataRecord(Record, frozen=True, kw_only=True):
    """The training data: where it was read from, which test sets were held out, and its digest."""

    sources: list[Text] = []
    hold_out: list[Name] = []
    patches: Count
    atypical: Count
    cases: Count
    digest: Digest


class SplitRecord(Record, frozen=True):
    folds: Name
    digest: Digest


class PluginRecord(Record, frozen=True):
    """A plugin that was loaded when the run was created: the name of its file and the sha-256 of its content."""

    name: Name
    digest: Digest


class TargetsRecord(Record, frozen=True):
    """The target images of the augmentation: their folder ("" for photographs of scikit-image) and the digest of each."""

    folder: Text
    digests: list[Digest]


class Machine(Record, frozen=True, kw_only=True):
    processor: Text = ""
    cores: Count | None = None
    gpu: Text | None = None
    system: Text = ""
    python: Name = "?"


class RunRecord(Format2, frozen=True, kw_only=True):
    """run.json. `recipe` holds every field of the recipe, `overrides` those that differ from its defaults.

    `bases` and `teachers` are the digests, by member, of the weights that it starts from and of the members that it learns
    from; `fourier_targets` is None where the augmentation needs no target images. `workers` members are trained at once, each with
    `threads` threads.
    """

    recipe: RecipeFields
    overrides: RecipeFields = {}
    data: DataRecord
    split: SplitRecord
    base: WeightsSource | None = None
    bases: dict[Name, Digest | None] | None = None
    teachers: dict[Name, dict[Name, Digest]] | None = None
    reads_labels: bool | None = None
    plugins: list[PluginRecord] = []
    fourier_targets: TargetsRecord | None = None
    notes: list[Text] = []
    device: Name
    precision: Name
    workers: Annotated[int, Meta(ge=1, le=4096)]
    threads: Annotated[int, Meta(ge=1, le=4096)]
    machine: Machine
    versions: dict[Name, Name]
    started: Name
    finished: Name | None = None

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        value = records.renamed(value, {"chosen": "overrides"})
        for key in ("recipe", "overrides"):
            value[key] = records.renamed(value.get(key, {}), RECIPE_FIELDS_1)
        value["data"] = records.renamed(value["data"], {"where": "sources"})
        return value

    def recipe_text(self, field: str, default: str = "") -> str:
        """Return a field of the recipe that is text."""
        return str(self.recipe.get(field, default))


def read_run(run_dir: Path) -> RunRecord:
    return records.read(run_dir / names.RUN, RunRecord, what="run")


def read_finished_run(run_dir: Path) -> RunRecord:
    """Return the record of a run that is complete. Raises a UserError for one that is not."""
    if not names.is_finished(run_dir):
        raise UserError(f"The run '{run_dir}' is not finished.", fix=f"mitotype resume {run_dir}")
    return read_run(run_dir)


def deployed_members(run_dir: Path, run: RunRecord) -> list[str]:
    """Return the members that a finished run deploys: those trained on every patch, without any those of the folds.

    Raises a UserError for a run without a decision or without members.
    """
    if not (run_dir / names.DECISION).is_file():
        what = f"The run '{run_dir}' has no out-of-fold scores, so no decision was fitted."
        raise UserError(what, fix="use it as init_from of another run")
    has_final_models = bool(run.recipe["n_final_models"])
    members = [path.name for path in names.member_dirs(run_dir) if path.name.startswith("all-") == has_final_models]
    if not members:
        fix = "restore it from a copy, or train again"
        raise UserError(f"The run '{run_dir}' has no members that could be deployed.", fix=fix)
    return members
