"""The members of a run: their names, the folds they leave out, and which of them are complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mitotype.core.run_layout import names
from mitotype.fit.recipe import Recipe
from mitotype.scores import table


@dataclass(frozen=True)
class MemberPlan:
    """A member to fit: its name, the fold that it leaves out (0: none) and the number of its seed."""

    name: str
    fold: int
    seed: int


def plan_members(recipe: Recipe, folds: Sequence[int]) -> list[MemberPlan]:
    """Return the members that leave out a fold, seed by seed, then those trained on every patch."""
    seeds = range(0 if recipe.folds == "none" else recipe.seeds)
    plans = [MemberPlan(f"fold{fold}-seed{seed}", fold, seed) for seed in seeds for fold in folds]
    return plans + [MemberPlan(f"all-seed{seed}", 0, seed) for seed in range(recipe.n_final_models)]


def is_fitted(run_dir: Path, plan: MemberPlan) -> bool:
    return (names.member_dir(run_dir, plan.name) / names.MEMBER).is_file()


def is_scored(run_dir: Path, plan: MemberPlan) -> bool:
    """Return whether the out-of-fold rows of a member are stored; one trained on every patch has none."""
    return not plan.fold or table.has_rows(run_dir, member=plan.name)


def is_complete(run_dir: Path, plan: MemberPlan) -> bool:
    return is_fitted(run_dir, plan) and is_scored(run_dir, plan)
