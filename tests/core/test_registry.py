"""Registries: names, near misses, aliases, a name twice; collected errors; seeds."""

from __future__ import annotations

import pytest
import torch

from mitotype.core import seeds
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.registry import Registry


def test_a_near_miss_is_named() -> None:
    registry: Registry[int] = Registry("backbone", "backbones", "mitotype.core")
    registry.add("uni2-h")(1)
    with pytest.raises(UserError) as error:
        registry.get("uni-2h")
    assert str(error.value) == "No backbone is called 'uni-2h'. Nearest: uni2-h.\n  see them all: mitotype backbones"


def test_two_of_one_name_are_an_error() -> None:
    registry: Registry[int] = Registry("loss", "losses", "mitotype.core")
    registry.add("a")(1)
    with pytest.raises(UserError, match="Two losses are called 'a'"):
        registry.add("a")(2)


def test_an_alias_warns_and_is_not_listed() -> None:
    registry: Registry[int] = Registry("transform", "transforms", "mitotype.core")
    registry.add("color", aliases=("colour",))(1)
    with pytest.warns(FutureWarning, match="'colour' is called 'color' now"):
        assert registry.get("colour") == 1
    assert registry.names() == ["color"]
    assert "colour" in registry
    assert registry.canonical("colour") == "color"


def test_errors_are_raised_together() -> None:
    errors = ErrorCollector(max_shown=2)
    for number in range(3):
        with errors.capture():
            raise UserError(f"error {number}.")
    with pytest.raises(UserError, match=r"3 errors:\n- error 0\.\n- error 1\.\n- and 1 more"):
        errors.raise_if_any()


def test_seeds_differ_by_purpose_and_repeat() -> None:
    derived = {seeds.derive(0, "augment", epoch, step) for epoch in range(20) for step in range(20)}
    assert len(derived) == 400
    assert seeds.derive(0, "1", 2) != seeds.derive(0, 1, 2)


def test_forked_torch_leaves_the_outside_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with seeds.forked_torch(5, "initialisation"):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeds.forked_torch(5, "initialisation"):
        assert torch.equal(torch.rand(3), inside)
