"""Every backbone at its true size on this machine: built, run on one image, its widths as in its spec. Takes gigabytes and minutes."""

from __future__ import annotations

import gc

import psutil
import pytest
import torch

from mitotype.backbones import backbones
from mitotype.backbones.classifier import Architecture, Classifier

BYTES = 4.0  # of a weight


@pytest.mark.long
@pytest.mark.parametrize("name", backbones.names())
def test_it_builds_and_runs_at_its_true_size(name: str) -> None:
    spec = backbones.get(name).spec
    free = psutil.virtual_memory().available
    if spec.params_m * 1e6 * BYTES * 1.5 > free:
        pytest.skip(f"{name} needs {spec.params_m * BYTES / 1e3:.1f} GB; test_families builds it on the meta device")
    architecture = Architecture(name, spec.size_px, spec.default_pooling, adaptation="probe")
    classifier = Classifier(architecture).eval()
    with torch.inference_mode():
        outputs = classifier(torch.rand(1, 3, 64, 64))
    assert outputs.embedding_BD.shape == (1, spec.pooling[spec.default_pooling])
    assert outputs.embedding_BD.isfinite().all()
    assert sum(p.numel() for p in classifier.trunk.parameters()) / 1e6 == pytest.approx(spec.params_m, rel=2e-2)
    del classifier
    gc.collect()
