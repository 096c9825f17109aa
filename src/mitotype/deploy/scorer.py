"""Scorer: the members of a bundle or run, opened once, and what they say of pictures.

Shapes: N patches, H side of a picture in px.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.backbones import team as teams_on_disk
from mitotype.backbones.predict import Way, precision, predict_team
from mitotype.backbones.team import Team
from mitotype.core import files, pictures
from mitotype.core.mistakes import Mistake
from mitotype.core.words import TEST, Cohort
from mitotype.deploy import bundle, unlike
from mitotype.features import features
from mitotype.features import members as feature_members
from mitotype.features.explain import explain
from mitotype.features.members import FeatureMember
from mitotype.scores import table
from mitotype.scores.decision import Decision, short
from mitotype.scores.ensemble import Combine
from mitotype.views import Frame, views_at_test

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Done = Callable[[int], None]


@dataclass(frozen=True)
class Scorer:
    """An opened classifier: teams of nets on one base each, and features. Its decision knows the pictures it was fitted on."""

    where: Path
    teams: tuple[Team, ...]
    described: tuple[FeatureMember, ...]
    views: str
    combine: Combine
    decision: Decision
    unlike: unlike.Unlike | None
    device: str
    precision: str = "auto"  # as the recipe says

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all members."""
        return (*(name for team in self.teams for name in team.names), *(member.name for member in self.described))

    @property
    def needs_px(self) -> int:
        nets = [Frame(team.frame).needs_px for team in self.teams]
        return max(nets + [features.get(member.feature).needs_px for member in self.described])

    def rows(
        self, patch_ids: Sequence[str], image_N3HW: np.ndarray, done: Done = lambda n: None
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Raw logits as test rows, and per patch how unlike the training figures it is (above 0: flagged; nan: not told).

        `done` is told how many patches are finished, a patch being finished when every member has scored it.
        """
        import numpy as np
        import pandas as pd

        found, strange = [], []
        for number, team in enumerate(self.teams, 1):
            last = number == len(self.teams) and not self.described
            way = Way(
                device=self.device, dtype=precision(self.device, self.precision), done=done if last else lambda n: None
            )
            said = predict_team(team, image_N3HW, Frame(team.frame), views_at_test(self.views), way)
            for name, prediction in zip(team.names, said, strict=True):
                found.append(table.rows(patch_ids, prediction.logit, part=TEST, fold=0, member=name))
                if self.unlike is not None:
                    strange.append(self.unlike.score(name, prediction.embedding_ND))
        for feature, several in groupby(self.described, key=lambda member: member.feature):
            value_ND = features.get(feature).describe(image_N3HW).value_BD
            for member in several:
                logit_N = member.head.logit(value_ND)
                found.append(table.rows(patch_ids, {"identity": logit_N}, part=TEST, fold=0, member=member.name))
        if self.described:
            done(len(patch_ids))
        unlike_N = np.mean(strange, axis=0) if strange else np.full(len(patch_ids), np.nan)
        return pd.concat(found, ignore_index=True), unlike_N

    def words(self, image_3HW: np.ndarray) -> tuple[str, ...]:
        """What the first feature among the members says of one picture, in sentences; none where no feature is a member."""
        if not self.described:
            return ()
        member = self.described[0]
        feature = features.get(member.feature)
        value_D = feature.describe(image_3HW[None]).value_BD[0]
        return tuple(said.sentence for said in explain(member.head, feature.descriptors, value_D))


def open_scorer(where: str, *, device: str = "cpu") -> Scorer:
    """Open a bundle (by name or folder) or a finished run."""
    folder = bundle.find(where)
    if (folder / bundle.TOLD).is_file():
        told = bundle.read(folder)
        names, views, combine = told["members"], told["views"], told["combine"]
        decide, strange = told["decide"], told["unlike"]
        run = told["told"].get("run") or {}
    else:
        run = finished(folder)
        names, views, combine = deployed(folder, run), run["recipe"]["views"], Combine().to_dict()
        if not (folder / "decision.json").is_file():
            raise Mistake(
                f"'{folder}' has no folds, so nothing says how it decides.", fix="use it as init_from of another run"
            )
        decide, strange = files.read_json(folder / "decision.json"), unlike.read(folder)
    places = [folder / "members" / name for name in names]
    nets = [place for place in places if "feature" not in files.read_json(place / "member.json", what="member")]
    teams = tuple(teams_on_disk.read(nets, device=device))
    described = tuple(feature_members.read(place) for place in places if place not in nets)
    line = unlike.Unlike.read(strange) if strange else None
    wanted = str(run.get("recipe", {}).get("precision", "auto"))
    judge = Combine.from_dict(combine), Decision.from_dict(decide)
    return Scorer(folder, teams, described, views, *judge, line, device, wanted)


def finished(run: Path) -> dict[str, Any]:
    """run.json of a run that is DONE."""
    if not (run / "DONE").is_file():
        raise Mistake(f"The run '{run}' is not finished.", fix=f"mitotype resume {run}")
    told: dict[str, Any] = files.read_json(run / "run.json", what="run")
    return told


def deployed(run: Path, told: dict[str, Any]) -> list[str]:
    """The members that are deployed: those trained on every patch, or the fold members where there are none."""
    names = sorted(path.parent.name for path in (run / "members").glob("*/member.json"))
    return [name for name in names if name.startswith("all-") == bool(told["recipe"]["refit"])]


def score(scorer: Scorer, cohort: Cohort, *, done: Done = lambda n: None) -> table.Scores:
    """The raw logits of a test cohort. A picture that the scorer was trained on is a Mistake (M004)."""
    pack = pictures.pack(cohort, min_px=scorer.needs_px)
    known = frozenset(scorer.decision.digests)
    named = zip(cohort.rows["patch_id"], pack.digests, strict=True)
    seen = [patch_id for patch_id, digest in named if short(digest) in known]
    if seen:
        what = f"'{scorer.where}' was trained on {len(seen)} of the {len(cohort)} pictures of '{cohort.name}', '{seen[0]}' for one."
        raise Mistake(what, fix="score a test set, or train with --hold-out", code="M004")
    rows, _ = scorer.rows(list(cohort.rows["patch_id"]), pack.image_N3HW, done)
    patches = cohort.rows.assign(digest=list(pack.digests), fold=0)
    return table.Scores(patches if "dataset" in patches else patches.assign(dataset=cohort.name), rows)
