"""Contracts over the shelf of losses: a new term is tested the moment it exists."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mitotype.core.mistakes import Mistake
from mitotype.losses import Batch, Objective, losses


def said(name: str, size: float = 1.0) -> tuple[SimpleNamespace, Batch]:
    """Outputs of scale `size` with gradients, and a batch in which every target is known."""
    term = losses.get(name)()
    torch.manual_seed(0)
    heads = {term.head: (torch.randn(6, term.outputs) * size).requires_grad_()} if term.head else {}
    outputs = SimpleNamespace(
        logit_B=(torch.randn(6) * size).requires_grad_(), embedding_BD=torch.randn(6, 4), extra=heads
    )
    known = {"sub_label": torch.softmax(torch.randn(6, 8), 1), "expert": torch.rand(6, 3), "teacher": torch.randn(6, 1)}
    known["descriptor"] = torch.randn(6, losses.get("descriptor")().outputs)
    return outputs, Batch(torch.rand(6), known, torch.tensor([0, 0, 1, 1, 2, 2]))


@pytest.mark.parametrize("name", losses.names())
def test_shape_and_finiteness(name: str) -> None:
    term = losses.get(name)()
    for size in (1.0, 40.0):
        outputs, batch = said(name, size)
        loss = term(outputs, batch)
        assert loss.shape == ((6,) if term.per_patch else ())
        assert loss.isfinite().all()
        loss.sum().backward()
        read = outputs.extra[term.head] if term.head else outputs.logit_B
        assert read.grad.isfinite().all()
        assert read.grad.abs().sum() > 0


@pytest.mark.parametrize("name", losses.names())
def test_facts_are_stated(name: str) -> None:
    term = losses.get(name)
    assert term.says
    assert term.mixup
    assert isinstance(term.per_patch, bool)


@pytest.mark.parametrize("name", ["soft_bce", "expert"])
def test_the_gradient_points_to_the_label(name: str) -> None:
    outputs, batch = said(name)
    batch = Batch(torch.ones(6), {**batch.extra, "expert": torch.ones(6, 3)})
    losses.get(name)()(outputs, batch).sum().backward()
    read = outputs.extra["expert"] if name == "expert" else outputs.logit_B
    assert (read.grad < 0).all()


@pytest.mark.parametrize("name", ["sub_label", "expert", "descriptor"])
def test_what_is_unknown_costs_nothing(name: str) -> None:
    outputs, batch = said(name)
    extra = {key: value.clone() for key, value in batch.extra.items()}
    extra[losses.get(name).head][2] = float("nan")
    loss_B = losses.get(name)()(outputs, Batch(batch.target_B, extra))
    assert loss_B[2] == 0
    loss_B.sum().backward()
    assert (outputs.extra[losses.get(name).head].grad[2] == 0).all()


def test_contrast_is_the_stated_formula() -> None:
    outputs, batch = said("contrast")
    z = torch.nn.functional.normalize(outputs.extra["contrast"], dim=1)
    near = (z @ z.T / 0.2).exp()
    pairs = [(0, 1), (1, 0), (2, 3), (3, 2), (4, 5), (5, 4)]
    expected = -torch.stack([(near[i, j] / (near[i].sum() - near[i, i])).log() for i, j in pairs]).mean()
    torch.testing.assert_close(losses.get("contrast")()(outputs, batch), expected)


def test_contrast_asks_for_two_draws() -> None:
    outputs, batch = said("contrast")
    with pytest.raises(Mistake, match="draws=2"):
        losses.get("contrast")()(outputs, Batch(batch.target_B, batch.extra, torch.arange(6)))


def test_which_terms_read_labels() -> None:
    assert not Objective("contrast(0.2) + 0.5 * descriptor(219)").reads_labels
    assert Objective("contrast + 0.1 * soft_bce").reads_labels


def test_soft_bce_is_the_stated_formula() -> None:
    outputs, batch = said("soft_bce")
    p, t = outputs.logit_B.sigmoid(), batch.target_B * 0.9 + 0.05
    expected = -(t * p.log() + (1 - t) * (1 - p).log())
    torch.testing.assert_close(losses.get("soft_bce")(0.1)(outputs, batch), expected)


def test_an_objective_is_the_weighted_sum() -> None:
    outputs, batch = said("sub_label")
    objective = Objective("soft_bce + 0.25*sub_label")
    parts = [losses.get(name)()(outputs, batch).mean() for name in ("soft_bce", "sub_label")]
    torch.testing.assert_close(objective(outputs, batch), parts[0] + 0.25 * parts[1])
    assert objective.text == "soft_bce + 0.25 * sub_label"
    assert objective.heads() == (("sub_label", 8),)


@pytest.mark.parametrize("text", ["soft_bc", "soft_bce(1, 2, 3)", "soft_bce(depth=1)", "", "x * soft_bce"])
def test_objectives_that_are_none(text: str) -> None:
    with pytest.raises(Mistake):
        Objective(text)
