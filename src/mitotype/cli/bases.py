"""What the verbs on weights do: fetch and check them, embed with them, publish what was trained on them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mitotype.cli import show
from mitotype.core import files
from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.words import join


@dataclass(frozen=True)
class Asked:
    """What `embed` is asked for."""

    name: str
    data: Sequence[str]
    out: Path
    init_from: str
    frame: str
    pooling: str
    mpp: float | None
    device: str


def weights(names: Sequence[str], source: Path | None, as_json: bool) -> None:
    """Fetch or take in the weights of every named backbone, check that each fits its net, and say where it lies."""
    import torch

    from mitotype.backbones import backbones
    from mitotype.backbones import weights as bases
    from mitotype.backbones.classifier import checked

    show.notice()
    if source is not None and len(names) > 1:
        raise Mistake(f"One file is not the weights of {len(names)} backbones.", fix="take them in one by one")
    trouble, found = Collector(), []
    for name in names:
        with trouble.note():
            facts = backbones.get(name).facts
            base = bases.bring(name, str(source)) if source else bases.find(name, bases.PUBLISHED)
            with torch.device("meta"):
                trunk = backbones.get(name).build(facts, facts.size_px, {})
            checked(trunk, bases.state(base), name)
            found.append({"backbone": name, "digest": base.digest, "source": base.source, "licence": facts.licence})
            print(f"{name}: {base.source}, sha-256 {base.digest}, {facts.licence}", file=sys.stderr)
    if as_json:
        show.as_json(found)
    trouble.settle()


def embed(asked: Asked) -> None:
    """Write one row per patch: patch_id, and the numbers of its embedding."""
    import pandas as pd

    from mitotype import datasets
    from mitotype.backbones import backbones
    from mitotype.backbones import weights as bases
    from mitotype.core import pictures
    from mitotype.features import features
    from mitotype.fit import embed as embedding

    show.notice()
    cohort = join([c for where in asked.data for c in datasets.read(where, part="all", mpp_um=asked.mpp)])
    is_feature = asked.name in features
    facts = None if is_feature else backbones.get(asked.name).facts
    if facts and asked.pooling and asked.pooling not in facts.pooling:
        raise Mistake(f"{asked.name} has no pooling '{asked.pooling}'.", allowed=", ".join(sorted(facts.pooling)))
    if asked.out.suffix not in files.TABLES:
        raise Mistake(f"'{asked.out}' is no table.", allowed=", ".join(files.TABLES))
    device = show.device(asked.device)
    ask = embedding.Ask(
        name=asked.name,
        base=None if is_feature else bases.find(asked.name, asked.init_from),
        size_px=facts.size_px if facts else 0,
        frame=asked.frame,
        precision=facts.precision if facts and device.startswith("cuda") else "fp32",
        device=device,
    )
    pack = pictures.pack(cohort)
    with show.progress(f"embed {cohort.name}", len(cohort)) as step:
        value_ND = embedding.embeddings(ask, pack.image_N3HW, step)
    if facts:
        value_ND = embedding.pooled(value_ND, asked.name, asked.pooling or facts.default_pooling)
    names = list(features.get(asked.name).names) if is_feature else [f"e{n}" for n in range(value_ND.shape[1])]
    rows = pd.concat([cohort.rows[["patch_id"]].reset_index(drop=True), pd.DataFrame(value_ND, columns=names)], axis=1)
    files.write_table(asked.out, rows)
    print(f"{len(rows)} embeddings of {value_ND.shape[1]} numbers in {asked.out}", file=sys.stderr)


def push(name: str, repository: str, private: bool, adapters_of_no_derivatives: bool) -> None:
    from mitotype.deploy import bundle, hub

    show.notice()
    folder = bundle.find(name)
    address = hub.push(folder, repository, private=private, adapters_of_no_derivatives=adapters_of_no_derivatives)
    print(address)
