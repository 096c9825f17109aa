"""Contracts over the registry of losses: a new term is tested without a test of its own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mitotype.core.arguments import arguments_of, summary
from mitotype.core.errors import UserError
from mitotype.losses import Batch, LossContext, Objective, losses


def outputs_and_batch(name: str, size: float = 1.0) -> tuple[SimpleNamespace, Batch]:
    """Outputs of scale `size` with gradients, and a batch in which every target is known."""
    term = losses.get(name)()
    torch.manual_seed(0)
    heads = {term.head: (torch.randn(6, term.n_outputs) * size).requires_grad_()} if term.head else {}
    outputs = SimpleNamespace(
        logit_B=(torch.randn(6) * size).requires_grad_(),
        embedding_BD=(torch.randn(6, 4) * size).requires_grad_(),
        aux=heads,
    )
    known = {"sub_label": torch.softmax(torch.randn(6, 8), 1), "expert": torch.rand(6, 3), "teacher": torch.randn(6, 1)}
    known["descriptor"] = torch.randn(6, losses.get("descriptor")().n_outputs)
    domain_BM = torch.nn.functional.one_hot(torch.tensor([0, 1, 0, 1, 0, 1]), 2).float()
    return outputs, Batch(torch.rand(6), known, torch.tensor([0, 0, 1, 1, 2, 2]), None, domain_BM, progress=0.5)


@pytest.mark.parametrize("name", losses.names())
def test_shape_and_finiteness(name: str) -> None:
    term = losses.get(name)()
    for size in (1.0, 40.0):
        outputs, batch = outputs_and_batch(name, size)
        loss = term.build(LossContext(4, ("a", "b")))(outputs, batch)
        assert loss.shape == ((6,) if term.per_patch else ())
        assert loss.isfinite().all()
        loss.sum().backward()
        read = outputs.aux[term.head] if term.head else outputs.logit_B if term.reads_logit else outputs.embedding_BD
        assert read.grad.isfinite().all()
        assert read.grad.abs().sum() > 0


@pytest.mark.parametrize("name", losses.names())
def test_every_term_is_described(name: str) -> None:
    term = losses.get(name)
    assert summary(term).endswith(".")
    assert term.mixup
    assert isinstance(term.per_patch, bool)
    assert all(argument.meaning and (argument.choices or argument.low is not None) for argument in arguments_of(term))


@pytest.mark.parametrize("name", ["soft_bce", "expert"])
def test_the_gradient_points_to_the_label(name: str) -> None:
    outputs, batch = outputs_and_batch(name)
    batch = Batch(torch.ones(6), {**batch.aux, "expert": torch.ones(6, 3)})
    losses.get(name)()(outputs, batch).sum().backward()
    read = outputs.aux["expert"] if name == "expert" else outputs.logit_B
    assert (read.grad < 0).all()


def test_bce_learns_the_published_label_where_votes_tie_or_contradict_it() -> None:
    outputs = SimpleNamespace(logit_B=torch.tensor([2.0, 2.0, 2.0, 2.0]), aux={})
    target_B = torch.tensor([0.5, 0.5, 1.0, 0.0])
    loss_B = losses.get("bce")()(outputs, Batch(target_B, label_B=torch.tensor([1.0, 0.0, 0.0, 1.0])))
    atypical, normal = torch.nn.functional.softplus(torch.tensor([-2.0, 2.0]))
    torch.testing.assert_close(loss_B, torch.stack([atypical, normal, normal, atypical]))
    torch.testing.assert_close(losses.get("bce")()(outputs, Batch(target_B))[2:], torch.stack([atypical, normal]))


@pytest.mark.parametrize("name", ["sub_label", "expert", "descriptor"])
def test_an_unknown_target_adds_no_loss(name: str) -> None:
    outputs, batch = outputs_and_batch(name)
    aux = {key: value.clone() for key, value in batch.aux.items()}
    aux[losses.get(name).head][2] = float("nan")
    loss_B = losses.get(name)()(outputs, Batch(batch.target_B, aux))
    assert loss_B[2] == 0
    loss_B.sum().backward()
    assert (outputs.aux[losses.get(name).head].grad[2] == 0).all()


def test_contrast_is_the_stated_formula() -> None:
    outputs, batch = outputs_and_batch("contrast")
    z = torch.nn.functional.normalize(outputs.aux["contrast"], dim=1)
    near = (z @ z.T / 0.2).exp()
    pairs = [(0, 1), (1, 0), (2, 3), (3, 2), (4, 5), (5, 4)]
    expected = -torch.stack([(near[i, j] / (near[i].sum() - near[i, i])).log() for i, j in pairs]).mean()
    torch.testing.assert_close(losses.get("contrast")()(outputs, batch), expected)


def test_contrast_needs_two_views() -> None:
    outputs, batch = outputs_and_batch("contrast")
    with pytest.raises(UserError, match="n_views=2"):
        losses.get("contrast")()(outputs, Batch(batch.target_B, batch.aux, torch.arange(6)))


def test_an_objective_reads_labels_if_a_term_does() -> None:
    assert not Objective("contrast(0.2) + 0.5 * descriptor(219)").reads_labels
    assert Objective("contrast + 0.1 * soft_bce").reads_labels


def test_soft_bce_is_the_stated_formula() -> None:
    outputs, batch = outputs_and_batch("soft_bce")
    p, t = outputs.logit_B.sigmoid(), batch.target_B * 0.9 + 0.05
    expected = -(t * p.log() + (1 - t) * (1 - p).log())
    torch.testing.assert_close(losses.get("soft_bce")(0.1)(outputs, batch), expected)


def test_an_objective_is_the_weighted_sum() -> None:
    outputs, batch = outputs_and_batch("sub_label")
    objective = Objective("soft_bce + 0.25*sub_label")
    parts = [losses.get(name)()(outputs, batch).mean() for name in ("soft_bce", "sub_label")]
    torch.testing.assert_close(objective(outputs, batch), parts[0] + 0.25 * parts[1])
    assert objective.spec == "soft_bce + 0.25 * sub_label"
    assert objective.aux_heads() == (("sub_label", 8),)


@pytest.mark.parametrize(
    "text",
    [
        "soft_bc",
        "soft_bce(1, 2, 3)",
        "soft_bce(depth=1)",
        "soft_bce(2)",
        "contrast(0)",
        "descriptor(2.5)",
        "",
        "x * soft_bce",
    ],
)
def test_invalid_objectives(text: str) -> None:
    with pytest.raises(UserError):
        Objective(text)
