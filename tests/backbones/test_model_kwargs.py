"""Keyword arguments of a net come from run.json and from bundles: none of them loads a file or is a traceback."""

from __future__ import annotations

from typing import Any

import pytest

from mitotype.backbones.classifier import Architecture, Classifier
from mitotype.core.errors import UserError


@pytest.mark.parametrize(
    "kwargs",
    [
        {"checkpoint_path": "/tmp/weights.json"},
        {"checkpoint_path": 1},
        {"pretrained": True},
        {"pretrained_cfg_overlay": 1},
        {"cache_dir": 1},
        {"features_only": True},
        {"num_classes": 2},
        {"img_size": 32},
        {"norm_layer": "layernorm"},
        {"drop_path_rate": [0.1, "x"]},
    ],
)
@pytest.mark.parametrize("backbone", ["vit-mini8", "resnet18", "d4resnet-tiny", "uni"])
def test_only_numbers_for_layers_are_taken(backbone: str, kwargs: dict[str, Any]) -> None:
    name = "timm/resnet18" if backbone == "resnet18" else backbone
    side_px = 224 if backbone in ("resnet18", "uni") else 64
    pooling = "cls" if backbone == "uni" else "mean"
    with pytest.raises(UserError, match=f"model_kwargs of {name} has {next(iter(kwargs))}="):
        Classifier(Architecture(name, side_px, pooling, model_kwargs=kwargs))


def test_an_unknown_number_names_itself() -> None:
    with pytest.raises(UserError, match="does not take model_kwargs nope"):
        Classifier(Architecture("vit-mini8", 64, "mean", model_kwargs={"nope": 1}))
    assert Classifier(Architecture("vit-mini8", 64, "mean", model_kwargs={"depth": 2})).trunk is not None
