"""Losses against their published formulas, closed forms and limits."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from mitotype.core.errors import UserError
from mitotype.losses import Batch, LossContext, losses
from mitotype.losses.domains import ReversedGradient, adversary_weight

DOMAINS = ("a", "b", "c")


def outputs(n: int = 8, width: int = 5, seed: int = 0) -> SimpleNamespace:
    torch.manual_seed(seed)
    embedding_BD = torch.randn(n, width, requires_grad=True)
    return SimpleNamespace(logit_B=torch.randn(n, requires_grad=True) * 3, embedding_BD=embedding_BD, aux={})


def domain_batch(target_B: torch.Tensor, progress: float = 0.0) -> Batch:
    domain_BM = functional.one_hot(torch.arange(len(target_B)) % 3, 3).float()
    return Batch(target_B, domain_BM=domain_BM, progress=progress)


def test_focal_is_the_published_loss_on_hard_targets() -> None:
    out, t_B = outputs(), torch.tensor([0.0, 1, 1, 0, 1, 0, 0, 1])
    p_B = out.logit_B.sigmoid()
    pt_B = torch.where(t_B == 1, p_B, 1 - p_B)
    torch.testing.assert_close(losses.get("focal")(2.0)(out, Batch(t_B)), -((1 - pt_B) ** 2) * pt_B.log())


@pytest.mark.parametrize(
    "spec", [("focal", (0.0,)), ("adaptive_focal", (0.0, "difficulty")), ("asymmetric", (0.0, 0.0, 0.0))]
)
def test_without_an_exponent_they_are_cross_entropy(spec: tuple[str, tuple[float, ...]]) -> None:
    name, arguments = spec
    out, batch = outputs(), Batch(torch.tensor([0, 1 / 3, 2 / 3, 1, 0.5, 0, 1, 1 / 3]))
    expected = losses.get("soft_bce")()(out, batch)
    torch.testing.assert_close(losses.get(name)(*arguments)(out, batch), expected, rtol=1e-5, atol=1e-6)


def test_adaptive_focal_weighs_classes_alike_and_easy_patches_less() -> None:
    out, t_B = outputs(), torch.tensor([0.0, 0, 0, 0, 0, 0, 1, 1])
    out.logit_B = torch.zeros(8)
    loss_B = losses.get("adaptive_focal")(0.0, "class")(out, Batch(t_B))
    torch.testing.assert_close(loss_B[t_B == 1].sum(), loss_B[t_B == 0].sum())
    out.logit_B = torch.tensor([-4.0, 4, -1, 1, 0, 0, 0, 0])
    adapted, fixed = (
        losses.get(n)(*a)(out, Batch(t_B)) for n, a in (("adaptive_focal", (2.0, "difficulty")), ("focal", (2.0,)))
    )
    ratio_B = adapted / fixed
    assert ratio_B[0] < ratio_B[2] < ratio_B[3] < ratio_B[1] <= 1


def test_asymmetric_is_the_published_loss() -> None:
    out, t_B = outputs(), torch.tensor([0.0, 1, 1, 0, 1, 0, 0, 1])
    p_B = out.logit_B.sigmoid()
    q_B = (p_B - 0.05).clamp(min=0)
    expected = -t_B * (1 - p_B) * p_B.log() - (1 - t_B) * q_B**4 * (1 - q_B).log()
    torch.testing.assert_close(
        losses.get("asymmetric")(1.0, 4.0, 0.05)(out, Batch(t_B)), expected, rtol=1e-4, atol=1e-6
    )


def supcon_reference(embedding_BD: torch.Tensor, label_B: torch.Tensor, temperature: float) -> torch.Tensor:
    """L_out of Khosla et al., equation 2, one anchor after another."""
    z = functional.normalize(embedding_BD, dim=1)
    terms = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if label_B[p] == label_B[i]]
        denominator = sum((z[i] @ z[a] / temperature).exp() for a in others)
        if positives:
            terms.append(
                -sum(((z[i] @ z[p] / temperature).exp() / denominator).log() for p in positives) / len(positives)
            )
    return torch.stack(terms).mean()


def test_supcon_is_the_published_loss_on_hard_labels() -> None:
    out, t_B = outputs(), torch.tensor([0.0, 1, 1, 0, 1, 0, 0, 1])
    loss = losses.get("supcon")(0.2)(out, Batch(t_B))
    torch.testing.assert_close(loss, supcon_reference(out.embedding_BD, t_B, 0.2))
    single = torch.tensor([0.0, 1, 1, 1, 1, 1, 1, 1])  # an anchor without a positive adds nothing
    torch.testing.assert_close(
        losses.get("supcon")(0.2)(out, Batch(single)), supcon_reference(out.embedding_BD, single, 0.2)
    )


def test_supcon_weighs_a_third_of_the_votes_by_agreement() -> None:
    out, t_B = outputs(3), torch.tensor([1.0, 1 / 3, 0.0])
    z = functional.normalize(out.embedding_BD, dim=1)
    similarity = z @ z.T / 0.5
    log_prob = {
        (i, a): similarity[i, a] - torch.stack([similarity[i, b] for b in range(3) if b != i]).logsumexp(0)
        for i in range(3)
        for a in range(3)
        if a != i
    }
    agreement = {(0, 1): 1 / 3, (0, 2): 0.0, (1, 2): 2 / 3}
    weight = {**agreement, **{(b, a): w for (a, b), w in agreement.items()}}
    per_anchor = [
        -sum(weight[i, a] * log_prob[i, a] for a in range(3) if a != i) / sum(weight[i, a] for a in range(3) if a != i)
        for i in range(3)
    ]
    torch.testing.assert_close(losses.get("supcon")(0.5)(out, Batch(t_B)), torch.stack(per_anchor).mean())


def test_the_gradient_is_reversed_and_follows_its_schedule() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    (ReversedGradient.apply(x, 0.3) * torch.tensor([2.0, 5.0])).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([-0.6, -1.5]))
    assert adversary_weight(0.0) == 0 and adversary_weight(1.0) == pytest.approx(1, abs=1e-4)
    assert adversary_weight(0.5) == pytest.approx(2 / (1 + math.exp(-5)) - 1)


def test_the_adversary_trains_its_classifier_and_confuses_the_embedding() -> None:
    torch.manual_seed(0)
    term = losses.get("domain_adversary")(16).build(LossContext(5, DOMAINS))
    assert isinstance(term, torch.nn.Module)
    out = outputs()
    loss = term(out, domain_batch(torch.zeros(8), progress=0.7)).sum()
    loss.backward()
    plain = out.embedding_BD.detach().requires_grad_()
    target_B = torch.arange(8) % 3
    functional.cross_entropy(term.layers(plain), target_B, reduction="sum").backward()
    assert plain.grad is not None and out.embedding_BD.grad is not None
    torch.testing.assert_close(out.embedding_BD.grad, -adversary_weight(0.7) * plain.grad)
    assert term.layers[0].weight.grad.abs().sum() > 0


def test_heads_of_domains_are_trained_on_their_own_patches() -> None:
    term = losses.get("domain_heads")().build(LossContext(5, DOMAINS))
    assert isinstance(term, torch.nn.Module)
    out, batch = outputs(), domain_batch(torch.rand(8))
    loss_B = term(out, batch)
    logit_BM = term.heads(out.embedding_BD)
    expected = functional.binary_cross_entropy_with_logits(logit_BM[4, 1], batch.target_B[4])
    torch.testing.assert_close(loss_B[4], expected)


def test_coral_is_the_distance_of_covariances() -> None:
    out, batch = outputs(9), domain_batch(torch.zeros(9))
    parts = [out.embedding_BD[i::3].detach().numpy() for i in range(3)]
    c = [np.cov(part.T) for part in parts]
    expected = np.mean([((c[i] - c[j]) ** 2).sum() for i in range(3) for j in range(i)]) / (4 * 25)
    assert float(losses.get("coral")().build(LossContext(5, DOMAINS))(out, batch).detach()) == pytest.approx(
        expected, rel=1e-4
    )


@pytest.mark.parametrize("name", ["domain_adversary", "domain_heads", "coral"])
def test_they_need_two_domains(name: str) -> None:
    with pytest.raises(UserError, match="compares domains, and the training patches have 1"):
        losses.get(name)().build(LossContext(5, ("a",)))
