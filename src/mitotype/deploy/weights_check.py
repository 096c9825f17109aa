"""Checks of one backbone: memory, access to its weights, and, given a file, that they load and reproduce the reference embedding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from mitotype.backbones import weights
from mitotype.backbones.classifier import Architecture, Classifier, build
from mitotype.backbones.model_spec import ModelSpec, backbones
from mitotype.backbones.state_dicts import read_tensor
from mitotype.core import images
from mitotype.core.errors import UserError
from mitotype.deploy.doctor import Check, run_check

MIN_COSINE = 0.999  # of our embedding and the publisher's, which was computed in half precision
EXAMPLE = "publisher's example"


def check_backbone(name: str, source: str | None = None) -> list[Check]:
    """Return every check of a backbone; with `source` (a file, a folder or "published") its weights are loaded and run."""
    spec = backbones.get(name).spec
    checks = [_check_memory(spec), *_check_access(name, spec)]
    return [*checks, *_check_weights(name, spec, source)] if source else checks


def _check_memory(spec: ModelSpec) -> Check:
    need_gb = spec.params_m * 4e6 / 2**30
    free_gb = psutil.virtual_memory().available / 2**30
    gpu = (
        f"; GPU {torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GB" if torch.cuda.is_available() else ""
    )
    result = f"{spec.params_m:.0f} M parameters need {need_gb:.1f} GB in float32; {free_gb:.1f} GB are free{gpu}"
    return Check("memory", free_gb > 1.5 * need_gb, result, "use a machine with more memory, or a smaller backbone")


def _check_access(name: str, spec: ModelSpec) -> Iterator[Check]:
    """Yield whether the weights are on this machine, and if not whether the hub would send them."""
    if spec.repository is None:
        result = "none are published; training starts at random, or from a file or run of yours"
        yield Check("weights", True, result)
        return
    register = f"mitotype weights {name} --from FILE"
    try:
        local = weights.find_local(name)
    except UserError as error:
        yield Check("weights", False, error.what, register)
        return
    if local:
        path, source = local

        def fits() -> str:
            weights.check_fits(name, path)
            return f"{path.name} is on this machine, from {source}, and fits the net"

        yield run_check("weights", fits, register)
        return
    from huggingface_hub import auth_check, get_token

    fix = f"mitotype weights {name}, or with --from FILE"
    yield Check("weights", False, f"not in the hub's cache ({spec.license})", fix)
    token = get_token()
    yield Check("hub login", token is not None, "there is a token" if token else "there is no token", "hf auth login")

    def access() -> str:
        auth_check(str(spec.repository))
        return f"{spec.repository} is accessible"

    yield run_check("hub access", access, f"request access at {spec.access_url}", required=False)


def _check_weights(name: str, spec: ModelSpec, source: str) -> Iterator[Check]:
    """Yield strict loading, a forward pass, and the publisher's example if it lies beside the file."""
    base = weights.find(name, source)
    yield Check("file", True, f"{Path(base.path).name}, sha-256 {base.digest}")
    loaded: list[Classifier] = []

    def load() -> str:
        architecture = Architecture(name, spec.size_px, spec.default_pooling, adaptation="probe", base=base.digest)
        loaded.append(build(architecture, seed=0, base_state=weights.read_state_dict(base)).eval())
        return f"every tensor matches, {spec.params_m:.1f} M parameters"

    yield run_check("strict loading", load, "check that the file belongs to this backbone; update timm")
    if loaded:
        fix = "the weights contain numbers that are not finite"
        yield run_check("grey image", lambda: _run_grey_image(loaded[0], spec), fix)
        yield _check_example(loaded[0], spec, Path(base.path).parent)


def _run_grey_image(classifier: Classifier, spec: ModelSpec) -> str:
    with torch.inference_mode():
        embedding_D = classifier(torch.full((1, 3, spec.size_px, spec.size_px), 0.5)).embedding_BD[0]
    if not bool(embedding_D.isfinite().all()):
        raise UserError("the embedding is not finite")
    first = ", ".join(f"{value:.4f}" for value in embedding_D[:4])
    return f"embedding of {len(embedding_D)} numbers, {first} …, norm {embedding_D.norm():.3f}"


def _check_example(classifier: Classifier, spec: ModelSpec, folder: Path) -> Check:
    """Return whether the publisher's image gives the publisher's embedding."""
    if spec.example is None:
        return Check(EXAMPLE, True, "none is published")
    image, embedding = (folder / file for file in spec.example)
    if not image.is_file() or not embedding.is_file():
        fix = f"put {' and '.join(spec.example)} of the repository beside the weights"
        return Check(EXAMPLE, False, "not beside the weights", fix)

    def compare() -> str:
        reference_D = read_tensor(embedding).flatten().float()
        image_HW3 = torch.from_numpy(images.read(image).copy())
        with torch.inference_mode():
            embedding_D = classifier(image_HW3.permute(2, 0, 1)[None] / 255).embedding_BD[0]
        cosine = float(torch.nn.functional.cosine_similarity(embedding_D, reference_D, dim=0))
        if cosine < MIN_COSINE:
            raise UserError(f"cosine {cosine:.5f} to the published embedding")
        return f"cosine {cosine:.5f} to the published embedding: parity"

    return run_check(EXAMPLE, compare, "print the versions with mitotype doctor, and compare")
