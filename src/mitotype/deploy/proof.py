"""Proof: what one backbone needs, whether its weights can be had, and, given a file, that they load and speak as published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.backbones.facts import Facts, backbones
from mitotype.core.mistakes import Mistake
from mitotype.deploy.doctor import Check, tried

if TYPE_CHECKING:
    import torch

    from mitotype.backbones.classifier import Classifier

CLOSE = 0.999  # cosine of ours to the publisher's embedding, which was made in half precision


def examine(name: str, where: str | None) -> list[Check]:
    """Every check of backbone `name`; with `where` (a file, a folder or "published") the weights are loaded and run."""
    facts = backbones.get(name).facts
    found = [_memory(facts), *_access(name, facts)]
    return [*found, *_loaded(name, facts, where)] if where else found


def _memory(facts: Facts) -> Check:
    import psutil
    import torch

    need_gb = facts.params_m * 4e6 / 2**30
    have_gb = psutil.virtual_memory().available / 2**30
    card = (
        f"; GPU {torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GB" if torch.cuda.is_available() else ""
    )
    says = f"{facts.params_m:.0f} M parameters need {need_gb:.1f} GB in float32; {have_gb:.1f} GB are free{card}"
    return Check("memory", have_gb > 1.5 * need_gb, says, "use a machine with more memory, or a smaller backbone")


def _access(name: str, facts: Facts) -> Iterator[Check]:
    """Whether the weights are here, and if not whether the hub would give them."""
    if facts.repository is None:
        yield Check(
            "weights", True, "none are published; training starts from random ones, or from a file or run of yours"
        )
        return
    from huggingface_hub import auth_check, get_token

    from mitotype.backbones.weights import at_hand

    here = at_hand(name)
    if here:
        yield Check("weights", True, f"{here[0].name} is here, from {here[1]}")
        return
    yield Check(
        "weights", False, f"not in the hub's cache ({facts.licence})", f"mitotype weights {name}, or with --from FILE"
    )
    yield Check(
        "hub login", get_token() is not None, "a token is there" if get_token() else "no token", "hf auth login"
    )
    repository = facts.repository

    def probe() -> str:
        auth_check(repository)
        return f"{repository} is open to you"

    yield tried("hub access", probe, f"ask for access at {facts.access_url}", must=False)


def _loaded(name: str, facts: Facts, where: str) -> Iterator[Check]:
    """Strict loading, a run on a grey picture, and the publisher's own example where the file's folder holds it."""
    from mitotype.backbones import weights
    from mitotype.backbones.classifier import Architecture, build

    base = weights.find(name, where)
    yield Check("file", True, f"{Path(base.path).name}, sha-256 {base.digest}")
    made: list[Classifier] = []

    def load() -> str:
        told = Architecture(name, facts.size_px, facts.default_pooling, adaptation="probe", base=base.digest)
        made.append(build(told, seed=0, base_state=weights.state(base)).eval())
        return f"every tensor in its place, {facts.params_m:.1f} M parameters"

    yield tried("strict loading", load, "check that the file belongs to this backbone; update timm", must=True)
    if made:
        yield tried(
            "a grey picture", lambda: _spoken(made[0], facts), "the weights hold numbers that are not finite", must=True
        )
        yield _example(made[0], facts, Path(base.path).parent)


def _spoken(classifier: Classifier, facts: Facts) -> str:
    import torch

    with torch.inference_mode():
        embedding_D = classifier(torch.full((1, 3, facts.size_px, facts.size_px), 0.5)).embedding_BD[0]
    if not bool(embedding_D.isfinite().all()):
        raise Mistake("its embedding is not finite")
    shown = ", ".join(f"{value:.4f}" for value in embedding_D[:4])
    return f"embedding of {len(embedding_D)} numbers: {shown} …, length {embedding_D.norm():.3f}"


def _example(classifier: Classifier, facts: Facts, folder: Path) -> Check:
    """The publisher's picture through our road against the publisher's embedding."""
    import torch

    from mitotype.backbones.weights import read_tensor
    from mitotype.core import pictures

    if facts.example is None:
        return Check("publisher's example", True, "none is published")
    picture, embedding = (folder / file for file in facts.example)
    if not picture.is_file() or not embedding.is_file():
        fix = f"put {' and '.join(facts.example)} of the repository beside the weights"
        return Check("publisher's example", False, "not beside the weights", fix)

    def agrees() -> str:
        theirs_D = read_tensor(embedding).flatten().float()
        image_HW3 = torch.from_numpy(pictures.read(picture).copy())
        return _agrees(classifier, image_HW3.permute(2, 0, 1)[None] / 255, theirs_D)

    return tried("publisher's example", agrees, "print the versions with mitotype doctor, and compare", must=True)


def _agrees(classifier: Classifier, image_13HW: torch.Tensor, theirs_D: torch.Tensor) -> str:
    import torch

    with torch.inference_mode():
        ours_D = classifier(image_13HW).embedding_BD[0]
    cosine = float(torch.nn.functional.cosine_similarity(ours_D, theirs_D, dim=0))
    if cosine < CLOSE:
        raise Mistake(f"cosine {cosine:.5f} to the published embedding")
    return f"cosine {cosine:.5f} to the published embedding: parity"
