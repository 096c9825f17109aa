"""Shelves: names, near misses, two of one name; seeds and mistakes beside them."""

from __future__ import annotations

import pytest
import torch

from mitotype.core import seeds
from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.shelf import Shelf


def test_a_near_miss_is_named() -> None:
    shelf: Shelf[int] = Shelf("backbone", "backbones", "mitotype.core")
    shelf.add("uni2-h")(1)
    with pytest.raises(Mistake) as told:
        shelf.get("uni-2h")
    assert str(told.value) == "No backbone is called 'uni-2h'. Nearest: uni2-h.\n  see them all: mitotype backbones"


def test_two_of_one_name_are_an_error() -> None:
    shelf: Shelf[int] = Shelf("loss", "losses", "mitotype.core")
    shelf.add("a")(1)
    with pytest.raises(ValueError, match="two losses"):
        shelf.add("a")(2)


def test_mistakes_are_told_together() -> None:
    trouble = Collector(show=2)
    for number in range(3):
        with trouble.note():
            raise Mistake(f"mistake {number}.")
    with pytest.raises(Mistake, match=r"3 things need mending:\n- mistake 0\.\n- mistake 1\.\n- and 1 more"):
        trouble.settle()


def test_seeds_differ_by_purpose_and_repeat() -> None:
    drawn = {seeds.derive(0, "augment", epoch, step) for epoch in range(20) for step in range(20)}
    assert len(drawn) == 400
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
