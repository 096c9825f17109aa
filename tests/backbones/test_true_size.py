"""Every backbone at its true size on this machine: built, run on one picture, its widths as stated. Long: gigabytes and minutes."""

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
def test_it_builds_and_speaks_at_its_true_size(name: str) -> None:
    facts = backbones.get(name).facts
    free = psutil.virtual_memory().available
    if facts.params_m * 1e6 * BYTES * 1.5 > free:
        pytest.skip(f"{name} needs {facts.params_m * BYTES / 1e3:.1f} GB; the meta device has it in test_families")
    architecture = Architecture(name, facts.size_px, facts.default_pooling, adaptation="probe")
    classifier = Classifier(architecture).eval()
    with torch.inference_mode():
        outputs = classifier(torch.rand(1, 3, 64, 64))
    assert outputs.embedding_BD.shape == (1, facts.pooling[facts.default_pooling])
    assert outputs.embedding_BD.isfinite().all()
    assert sum(p.numel() for p in classifier.trunk.parameters()) / 1e6 == pytest.approx(facts.params_m, rel=2e-2)
    del classifier
    gc.collect()
