"""Member: one of a run's members, trained by gradients or solved as a probe, written, and scored on the fold it left out."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files
from mitotype.core.words import OUT_OF_FOLD, Cohort
from mitotype.fit import embed
from mitotype.fit.recipe import Recipe, from_plain
from mitotype.fit.run import Job, Told, opened

if TYPE_CHECKING:
    import numpy as np

    from mitotype.backbones.weights import Base
    from mitotype.fit.loop import Patches


@dataclass(frozen=True)
class Work:
    """Everything that one member is made of."""

    folder: Path
    run: Mapping[str, Any]
    recipe: Recipe
    job: Job
    cohort: Cohort
    image_N3HW: np.ndarray
    told: Told

    @property
    def mine(self) -> Path:
        return self.folder / "members" / self.job.name

    @property
    def inside_N(self) -> np.ndarray:
        """True for the patches that the member is trained on."""
        return (self.cohort.rows["fold"] != self.job.fold).to_numpy()

    @property
    def more(self) -> dict[str, Any]:
        """What member.json tells of how it was made."""
        return {"fold": self.job.fold, "seed": self.job.seed, "epochs": self.recipe.epochs}


def one(folder: Path, job: Job, place: dict[str, Any], told: Told = lambda line: None) -> None:
    """Train one member unless it is whole, and write its out-of-fold rows unless they are there."""
    from mitotype.backbones import adapters
    from mitotype.features import features
    from mitotype.fit import machine, prior, ranks
    from mitotype.scores import table

    run = files.read_json(folder / "run.json", what="run")
    run |= {"device": ranks.device(run["device"])}
    recipe = from_plain(run["recipe"])
    rows, image_N3HW = opened(folder, run, recipe)
    cohort = Cohort(str(rows["dataset"].iloc[0]), rows)
    work = Work(folder, run, recipe, job, cohort, image_N3HW, functools.partial(_log, folder, told, place))
    if recipe.backbone in features:
        make, say = _describe, _say_described
    elif adapters.is_probe(recipe.adaptation):
        make, say = _probe, _say_probed
    else:
        make, say = _descend, _say
    makes = not (work.mine / "member.json").is_file() and (make is _descend or ranks.writes())
    says = bool(job.fold) and ranks.writes() and not table.has(folder, member=job.name)
    if makes or (says and make is _probe):
        prior.check_same(run, recipe, job, cohort)
    if makes or says:
        machine.choose(run["device"])
    with machine.memory(recipe, run["device"]):
        if makes:
            make(work)
        if says:
            left = rows[~work.inside_N].reset_index(drop=True)
            found = table.rows(list(left["patch_id"]), say(work), part=OUT_OF_FOLD, fold=job.fold, member=job.name)
            table.append(folder, table.Scores(left, found))


def patches(work: Work) -> Patches:
    """What a member is trained on: the patches outside its fold, with their targets."""
    from mitotype.fit import loop, prior, targets
    from mitotype.losses import Objective

    inside_N, recipe = work.inside_N, work.recipe
    known = work.cohort.take(work.cohort.rows["fold"] != work.job.fold)
    heads = Objective(recipe.objective).heads()
    all_of_them = targets.further(work.cohort, work.image_N3HW, heads, work.folder)
    further = {name: target_NK[inside_N] for name, target_NK in all_of_them.items()}
    if "descriptor" in further:
        further["descriptor"] = targets.standardised(further["descriptor"])
    further |= prior.teacher(recipe, work.job, known)
    label_N, domain_N = known.rows["label"].to_numpy(dtype="int64"), known.rows["domain"].to_numpy()
    left = None
    if work.job.fold:
        left = work.image_N3HW[~inside_N], work.cohort.rows["label"].to_numpy()[~inside_N]
    soft_N = targets.soft(known, recipe.votes_prior)
    return loop.Patches(work.image_N3HW[inside_N], label_N, soft_N, further, domain_N, left)


def _descend(work: Work) -> None:
    """By gradients."""
    from mitotype.backbones import members
    from mitotype.fit import checkpoint, loop, machine, prior, ranks

    base = prior.base(work.recipe, work.job, work.cohort)
    where = loop.Place(
        work.mine, work.run["device"], machine.dtype(work.run), work.told, base, int(work.run["workers"])
    )
    classifier = loop.train(work.recipe, work.job.name, patches(work), where)
    if ranks.writes():
        more = work.more | _origin(work, base)
        members.write(work.mine, work.job.name, work.recipe.frame, classifier, more=more)
        (work.mine / checkpoint.NAME).unlink(missing_ok=True)
    ranks.wait()


def _origin(work: Work, base: Base | None) -> dict[str, Any]:
    """What member.json tells of the weights that a member stands on, and of those that taught it."""
    from mitotype.fit import prior

    return {"base": prior.told(base), "taught_by": prior.taught_by(work.recipe, work.job, work.cohort, base)}


def _probe(work: Work) -> None:
    """By solving a head on cached embeddings."""
    from mitotype.backbones import adapters, heads, members
    from mitotype.fit import loop, prior, probe, targets
    from mitotype.losses import Objective

    recipe = work.recipe
    base = prior.base(recipe, work.job, work.cohort)
    assert base is not None  # a probe of random weights is refused by Recipe.check
    embedding_ND = _embedded(work, base, "identity")
    known = work.cohort.take(work.cohort.rows["fold"] != work.job.fold)
    asked = probe.known(
        embedding_ND[work.inside_N],
        targets.soft(known, recipe.votes_prior),
        known,
        balanced=recipe.sampler != "uniform",
        seed=recipe.seed,
    )
    told = loop.architecture(recipe, Objective(recipe.objective), base)
    adaptation = adapters.read(recipe.adaptation)
    kind, numbers = adaptation.head
    head = heads.build(kind, embedding_ND.shape[1], **numbers)
    solved = probe.solve(adaptation, head, asked)
    state = {f"head.{name}": value for name, value in head.state_dict().items()}
    more = work.more | _origin(work, base) | solved
    members.write_state(work.mine, work.job.name, recipe.frame, told, state, more=more)
    work.told({"member": work.job.name, "epoch": 1, "epochs": 1, "loss": float("nan"), **solved})


def _embedded(work: Work, base: Base | None, view: str) -> np.ndarray:
    """Embeddings of every patch of the run, from the cache where it holds them."""
    recipe = work.recipe
    precision = "fp32" if work.run["device"] == "cpu" else work.run["precision"]
    ask = embed.Ask(
        name=recipe.backbone, base=base, size_px=recipe.size_px, frame=recipe.frame, view=view, precision=precision,
        options=recipe.options, colours=recipe.colours, device=work.run["device"],
    )  # fmt: skip
    embedding_ND = embed.embeddings(ask, work.image_N3HW)
    return embedding_ND if base is None else embed.pooled(embedding_ND, recipe.backbone, pooling(recipe))


def pooling(recipe: Recipe) -> str:
    from mitotype.backbones import backbones

    return recipe.pooling or backbones.get(recipe.backbone).facts.default_pooling


def _describe(work: Work) -> None:
    """By solving the logistic head of a feature."""
    from mitotype.features import features, logistic, members
    from mitotype.fit import targets

    value_ND = _embedded(work, None, "identity")[work.inside_N]
    known = work.cohort.take(work.cohort.rows["fold"] != work.job.fold)
    head = logistic.fit(
        features.get(work.recipe.backbone).names, value_ND, targets.soft(known, work.recipe.votes_prior)
    )
    members.write(work.mine, members.FeatureMember(work.job.name, work.recipe.backbone, head), more=work.more)
    work.told({"member": work.job.name, "epoch": 1, "epochs": 1, "loss": float("nan")})


def _say(work: Work) -> dict[str, np.ndarray]:
    """Logits of the fold left out, by view, through the whole net."""
    from mitotype.backbones import members
    from mitotype.backbones.predict import Way, precision, predict
    from mitotype.views import Frame, views_at_test

    device = work.run["device"]
    member = members.read(work.mine, device=device)
    frame, views = Frame(work.recipe.frame), views_at_test(work.recipe.views)
    left_N3HW = work.image_N3HW[~work.inside_N]
    way = Way(device=device, dtype=precision(device, work.recipe.precision))
    return predict(member.classifier, left_N3HW, frame, views, way).logit


def _say_probed(work: Work) -> dict[str, np.ndarray]:
    """Logits of the fold left out, by view, from cached embeddings."""
    import torch

    from mitotype.backbones import members
    from mitotype.fit import prior
    from mitotype.views import views_at_test

    base = prior.base(work.recipe, work.job, work.cohort)
    head = members.head(work.mine)
    found = {}
    with torch.inference_mode():
        for view, _ in views_at_test(work.recipe.views):
            embedding_ND = _embedded(work, base, view)[~work.inside_N]
            found[view] = head(torch.from_numpy(embedding_ND)).squeeze(1).numpy()
    return found


def _say_described(work: Work) -> dict[str, np.ndarray]:
    from mitotype.features import members

    value_ND = _embedded(work, None, "identity")[~work.inside_N]
    return {"identity": members.read(work.mine).head.logit(value_ND)}


def _log(folder: Path, told: Told, place: dict[str, Any], line: dict[str, Any]) -> None:
    line = place | line
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(files.plain(line)) + "\n")
    told(line)
