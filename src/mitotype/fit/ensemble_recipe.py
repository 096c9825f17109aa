"""EnsembleRecipe: the recipes of several runs, and how their scores are combined."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mitotype.core.errors import ErrorCollector, UserError, unknown_name
from mitotype.core.records import FileName
from mitotype.core.run_layout import EnsemblePlan, read_plan
from mitotype.fit.recipe import FIELDS, Recipe, with_settings
from mitotype.fit.validate import validate_recipe
from mitotype.scores.abstentions import abstentions
from mitotype.scores.combiners import combiners
from mitotype.scores.thresholds import thresholds

RULES = ("combiner", "calibration", "threshold", "abstention")  # the fields besides name and members


@dataclass(frozen=True, kw_only=True)
class EnsembleRecipe:
    """Recipes whose runs are combined: each member is a run of its own, and a combiner is fitted on their out-of-fold rows.

    The decision is fitted on the combiner's cross-fitted rows.

    Parameters
    ----------
    name : str
        Name of the recipe, and of the folder of its ensembles.
    members : tuple of Recipe
        Recipes of the runs; their names are those of the runs' folders.
    combiner : str, default "mean"
        How the logits of the runs are combined, see ``mitotype combiners``.
    calibration, threshold, abstention : str
        Rules of the ensemble's decision.

    See Also
    --------
    train_ensemble : Train an ensemble recipe.

    Examples
    --------
    >>> import mitotype
    >>> recipe = mitotype.load_ensemble_recipe("ochi2025")
    >>> [member.backbone for member in recipe.members]
    ['uni', 'virchow', 'virchow2', 'convnextv2-base']
    """

    name: str
    members: tuple[Recipe, ...]
    combiner: str = "mean"
    calibration: str = "platt"
    threshold: str = "balanced_accuracy"
    abstention: str = "share(0.15)"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields.

        Returns
        -------
        dict
            Value by name; of the members after the first only those fields that differ from it.
        """
        first, *others = (member.to_dict() for member in self.members)
        differing = [{k: v for k, v in other.items() if v != first[k]} for other in others]
        return {**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}, "members": [first, *differing]}

    def with_settings(self, settings: Iterable[str]) -> EnsembleRecipe:
        """Return the recipe with fields changed, of every member or of one.

        Parameters
        ----------
        settings : iterable of str
            ``"epochs=5"`` for every member, ``"uni.epochs=5"`` for one, ``"combiner=mean"`` for the ensemble. The rules of a
            decision apply to the members and to the ensemble.

        Returns
        -------
        EnsembleRecipe
            The changed recipe.
        """
        changed, members = dict[str, Any](), {member.name: member for member in self.members}
        errors = ErrorCollector()
        for setting in settings:
            field, equals, value = (part.strip() for part in setting.partition("="))
            member, dot, of_member = field.rpartition(".")
            with errors.capture():
                if not equals or (field == "combiner" and not value):
                    raise UserError(f"'{setting}' changes nothing.", allowed="FIELD=VALUE, as in epochs=5")
                if field in RULES and value:
                    changed[field] = value
                if dot and member not in members:
                    raise unknown_name("member", member, members, f"mitotype recipes {self.name}")
                if dot:
                    members[member] = with_settings(members[member], [f"{of_member}={value}"])
                elif field != "combiner":
                    members = {name: with_settings(recipe, [setting]) for name, recipe in members.items()}
        errors.raise_if_any()
        return dataclasses.replace(self, members=tuple(members.values()), **changed)

    def with_backbones(self, backbones: Sequence[str]) -> EnsembleRecipe:
        """Return the recipe with other backbones, each with the settings of the member in its place.

        Parameters
        ----------
        backbones : sequence of str
            One or more backbones; those after the last member have its settings.

        Returns
        -------
        EnsembleRecipe
            The changed recipe; its members are named after their backbones.

        Raises
        ------
        UserError
            For a backbone that is named twice.
        """
        repeated = next((name for i, name in enumerate(backbones) if name in backbones[:i]), None)
        if repeated:
            raise UserError(f"The backbone '{repeated}' is named twice.", fix="name each once")
        members = [self.members[min(i, len(self.members) - 1)] for i in range(len(backbones))]
        named = [
            dataclasses.replace(m, name=b.replace("/", "-"), backbone=b)
            for m, b in zip(members, backbones, strict=True)
        ]
        return dataclasses.replace(self, members=tuple(named))


def read_ensemble_recipe(folder: Path) -> EnsembleRecipe:
    """Return the recipe of an ensemble that was trained as one, see `names.PLAN`."""
    return from_plan(read_plan(folder))


def from_plan(plan: EnsemblePlan) -> EnsembleRecipe:
    members = tuple(Recipe.from_dict({**fields, "name": name}) for name, fields in plan.members.items())
    return EnsembleRecipe(name=plan.name, members=members, **{rule: getattr(plan, rule) for rule in RULES})


def validate_ensemble_recipe(recipe: EnsembleRecipe) -> None:
    """Raise a UserError for rules and names that are not valid, and for everything that `validate_recipe` reports of a member."""
    errors = ErrorCollector()
    names = [member.name for member in recipe.members]
    with errors.capture():
        combiners.read(recipe.combiner).check_sources(names)
    with errors.capture():
        FIELDS["calibration"].check(recipe.calibration)
    for build, rule in ((thresholds.build, recipe.threshold), (abstentions.build, recipe.abstention)):
        with errors.capture():
            build(rule)
    with errors.capture():
        _check_names(names)
    for member in recipe.members:
        with errors.capture():
            validate_recipe(member)
    errors.raise_if_any()


def _check_names(names: Sequence[str]) -> None:
    """Check that each name is that of one folder."""
    if not names or len(set(names)) < len(names):
        raise UserError(
            f"The members of the ensemble are called {', '.join(names) or 'nothing'}.", allowed="different names"
        )
    for name in names:
        try:
            msgspec.convert(name, FileName)
        except msgspec.ValidationError as error:
            raise UserError(
                f"The member '{name}' cannot be a folder.", allowed="letters, digits and _ . + -"
            ) from error
