"""What the fitters read: an opened run folder, and the part of it that belongs to one member."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mitotype.core import plugins, run_layout
from mitotype.core.errors import UserError
from mitotype.core.packing import pack_images
from mitotype.core.run_layout import LogLine, OnLog, RunRecord, names
from mitotype.core.schema import Cohort
from mitotype.fit.members import MemberPlan
from mitotype.fit.recipe import Recipe
from mitotype.transforms import Augment, Frame


@dataclass(frozen=True)
class RunContext:
    """An opened run folder: its record, the recipe, the training patches (with `fold`) and their images."""

    dir: Path
    record: RunRecord
    recipe: Recipe
    cohort: Cohort
    image_N3HW: np.ndarray


@dataclass(frozen=True)
class MemberContext:
    """One member of a run: which it is, the device that it is fitted on, and the receiver of its log lines."""

    run: RunContext
    plan: MemberPlan
    device: str
    on_log: OnLog

    @property
    def recipe(self) -> Recipe:
        return self.run.recipe

    @property
    def dir(self) -> Path:
        return names.member_dir(self.run.dir, self.plan.name)

    @property
    def is_train_N(self) -> np.ndarray:
        """True for the patches that the member is trained on."""
        return (self.run.cohort.rows["fold"] != self.plan.fold).to_numpy()

    @property
    def train_cohort(self) -> Cohort:
        return self.run.cohort.take(self.run.cohort.rows["fold"] != self.plan.fold)

    @property
    def member_fields(self) -> dict[str, Any]:
        """The fields of the member's record that every fitter writes."""
        return {"fold": self.plan.fold, "seed": self.plan.seed, "epochs": self.recipe.epochs}

    def log_solved(self, **values: Any) -> None:
        """Log a member that is solved in one step, without epochs."""
        self.on_log(LogLine(member=self.plan.name, epoch=1, epochs=1, loss=math.nan, **values))


def load_run(run_dir: Path) -> RunContext:
    """Open a run folder and set its number of threads. Raises a UserError where its images have changed."""
    record = run_layout.read_run(run_dir)
    plugins.check_loaded((plugin.name, plugin.digest) for plugin in record.plugins)
    torch.set_num_threads(record.threads)  # the order of sums depends on it
    recipe = Recipe.from_dict(record.recipe)
    rows = run_layout.read_patches(run_dir)
    cohort = Cohort(str(rows["dataset"].iloc[0]), rows)
    pack = pack_images(cohort, min_px=required_px(recipe))
    if list(pack.digests) != list(rows["digest"]):
        raise UserError(
            f"The images of '{run_dir}' have changed since it was started.", fix="restore them, or train anew"
        )
    return RunContext(run_dir, record, recipe, cohort, pack.image_N3HW)


def required_px(recipe: Recipe) -> int:
    """Return the smallest side of an image that the recipe can be trained on."""
    return max(Frame(recipe.frame).needs_px, Augment(recipe.augment).needs_px)
