"""Scorer: the members of a bundle or run, opened once, and what they say of pictures.

Shapes: N patches, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.backbones import members
from mitotype.backbones.predict import precision, predict
from mitotype.core import files, pictures
from mitotype.core.mistakes import Mistake
from mitotype.core.words import TEST, Cohort
from mitotype.deploy import bundle, unlike
from mitotype.scores import table
from mitotype.scores.decision import Decision
from mitotype.views import Frame, views_at_test

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Scorer:
    """An opened classifier. `trained_on` are digests of pictures it may not be tested on."""

    where: Path
    members: tuple[members.Member, ...]
    views: str
    decision: Decision
    unlike: unlike.Unlike | None
    trained_on: frozenset[str]
    device: str

    @property
    def needs_px(self) -> int:
        return max(Frame(member.frame).needs_px for member in self.members)

    def rows(
        self, patch_ids: Sequence[str], image_N3HW: np.ndarray, *, done: Callable[[int], None] = lambda n: None
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Raw logits as test rows of the score table, and per patch how unlike the training figures it is (nan: not told)."""
        import numpy as np
        import pandas as pd

        found, strange = [], []
        for member in self.members:
            said = predict(
                member.classifier, image_N3HW, Frame(member.frame), views_at_test(self.views),
                device=self.device, dtype=precision(self.device), done=done,
            )  # fmt: skip
            found.append(table.rows(patch_ids, said.logit, part=TEST, fold=0, member=member.name))
            if self.unlike is not None:
                strange.append(self.unlike.score(member.name, said.embedding_ND))
        unlike_N = np.mean(strange, axis=0) if strange else np.full(len(patch_ids), np.nan)
        return pd.concat(found, ignore_index=True), unlike_N


def open_scorer(where: str, *, device: str = "cpu") -> Scorer:
    """Open a bundle (by name or folder) or a finished run."""
    folder = bundle.find(where)
    if (folder / bundle.TOLD).is_file():
        told = bundle.read(folder)
        names, digests = told["members"], files.read_json(folder / "trained_on.json")
        views, decide, strange = told["views"], told["decide"], told["unlike"]
    else:
        run = finished(folder)
        names, views = deployed(folder, run), run["recipe"]["views"]
        decide, strange = files.read_json(folder / "decision.json"), unlike.read(folder)
        rows = files.read_table(folder / "patches.parquet")
        digests = list(rows["digest"][rows["fold"] > 0])
    return Scorer(
        folder, tuple(members.read(folder / "members" / name, device=device) for name in names), views,
        Decision.read(decide), unlike.Unlike.read(strange) if strange else None, frozenset(digests), device,
    )  # fmt: skip


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


def score(
    scorer: Scorer, cohort: Cohort, *, done: Callable[[int], None] = lambda n: None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`(patches, rows)` of a test cohort. A picture that the scorer was trained on is a Mistake (M004)."""
    pack = pictures.pack(cohort, min_px=scorer.needs_px)
    seen = [
        patch_id
        for patch_id, digest in zip(cohort.rows["patch_id"], pack.digests, strict=True)
        if digest in scorer.trained_on
    ]
    if seen:
        raise Mistake(
            f"{len(seen)} of {len(cohort)} pictures of '{cohort.name}' were trained on by '{scorer.where}', '{seen[0]}' for one.",
            fix="score a test set, or train with --hold-out", code="M004",
        )  # fmt: skip
    rows, _ = scorer.rows(list(cohort.rows["patch_id"]), pack.image_N3HW, done=done)
    patches = cohort.rows.assign(digest=list(pack.digests), fold=0)
    return (patches if "dataset" in patches else patches.assign(dataset=cohort.name)), rows
