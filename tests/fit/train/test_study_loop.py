"""Trainings by the study's recipes beside a plain transcription of its loop, with the same draws: equal in every epoch.

The transcription is PyTorch, timm, peft and torchvision as the study uses them. It is given what is ours by convention, the label
(the study's logit is the negative one, which rounds otherwise) and the layout of the memory, and our random numbers: the order of
the patches, the seeds of the transforms and of dropout. Losses and weights of every epoch agree to 1e-6 (sums are made in another
order), balanced accuracies and the epoch of the early stop exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import timm
import torch
from PIL import Image
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from mitotype.backbones import ModelSpec, backbones, weights
from mitotype.backbones.adaptations import trained_tensors
from mitotype.backbones.classifier import Classifier
from mitotype.core import seeds
from mitotype.core.run_layout import LogLine
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import trainer
from mitotype.fit.train.inputs import TrainContext, TrainData
from mitotype.fit.train.model import init_model
from mitotype.fit.train.samplers import Patches as SamplerPatches
from mitotype.fit.train.samplers import samplers
from mitotype.losses import Objective
from mitotype.recipes.study import study_recipe
from mitotype.transforms import Augment
from tests.backbones.siblings import registered_siblings
from tests.fit.test_adaptations import weights_file
from tests.synthetic_cohort import synthetic_image

pytestmark = pytest.mark.usefixtures("one_thread")

MEMBER = "fold1-seed0"
TOLERANCE = 1e-6


@dataclass
class History:
    """Loss, balanced accuracy of the fold left out and trained weights after every epoch, and the best weights."""

    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    states: list[dict[str, Tensor]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    lr: list[float] = field(default_factory=list)


# The study's side


class Patches(Dataset[tuple[Tensor, Tensor]]):
    """Items are numbers of patches with the seeds of their transforms; labels are ours, atypical 1."""

    def __init__(self, image_N3HW: np.ndarray, label_N: np.ndarray, steps: list[Any]) -> None:
        self.image_N3HW, self.label_N, self.steps = image_N3HW, label_N, steps

    def __getitem__(self, item: tuple[int, list[int | None]]) -> tuple[Tensor, Tensor]:
        number, draws = item
        image = Image.fromarray(self.image_N3HW[number].transpose(1, 2, 0))
        with torch.random.fork_rng(devices=[]):
            for step, draw in zip(self.steps, [*draws, None, None], strict=True):
                if draw is not None:
                    torch.manual_seed(draw)
                image = step(image)
        return image, torch.tensor(self.label_N[number], dtype=torch.float32).unsqueeze(0)


class Virchow2Probe(nn.Module):
    """A linear layer on the frozen net's class token beside the mean of its patch tokens."""

    def __init__(self, net: nn.Module, width: int) -> None:
        super().__init__()
        self.net, self.classifier = net.requires_grad_(False).eval(), nn.Linear(width, 1)

    def train(self, mode: bool = True) -> Virchow2Probe:
        super().train(mode)
        self.net.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            output = self.net(x)
        return self.classifier(torch.cat([output[:, 0], output[:, 5:].mean(1)], dim=-1))


class BinarySwin(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.model, self.classifier = net, nn.Sequential(nn.Flatten(), nn.Linear(net.num_features, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.model(x))


def study_model(kind: str, spec: ModelSpec, size_px: int, base: dict[str, Tensor]) -> tuple[nn.Module, dict[str, str]]:
    """Return the study's net on the same base weights, and its names of trained tensors by ours (prefixes)."""
    kwargs: dict[str, Any] = {"img_size": size_px, **spec.arch_kwargs}
    kwargs = {
        key: {"SwiGLUPacked": timm.layers.SwiGLUPacked, "SiLU": nn.SiLU}.get(str(v), v) for key, v in kwargs.items()
    }
    base = {key.removeprefix("net."): value for key, value in base.items()}
    if kind == "full":
        net = timm.create_model(spec.arch, num_classes=0, **{**kwargs, "drop_path_rate": 0.1})
        net.load_state_dict(base)
        return BinarySwin(net), {"trunk.net.": "model.", "head.": "classifier.1."}
    if kind == "head":
        net = timm.create_model(spec.arch, num_classes=0, **kwargs)
        net.load_state_dict(base)
        return Virchow2Probe(net, 2 * net.num_features), {"head.": "classifier."}
    net = timm.create_model(spec.arch, num_classes=1, **kwargs)
    assert set(net.load_state_dict(base, strict=False).missing_keys) == {"head.weight", "head.bias"}
    config = peft.LoraConfig(
        r=8,
        lora_alpha=16,
        target_modules=["qkv", "proj", "fc1", "fc2"],
        lora_dropout=0.3,
        bias="none",
        modules_to_save=["head"],
    )
    names = {"trunk.net.": "base_model.model.", "head.": "base_model.model.head.modules_to_save.default."}
    return peft.get_peft_model(net, config), names


def in_our_words(model: nn.Module, names: dict[str, str], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the study's tensors under our names."""
    state, result = model.state_dict(), {}
    for name in ours:
        prefix = next(prefix for prefix in names if name.startswith(prefix))
        result[name] = state[names[prefix] + name.removeprefix(prefix)].detach().clone()
    return result


@torch.no_grad()
def copy_start(model: nn.Module, names: dict[str, str], ours: dict[str, Tensor]) -> None:
    """Start the study's net from our random weights."""
    state = model.state_dict()
    for name, value in ours.items():
        prefix = next(prefix for prefix in names if name.startswith(prefix))
        state[names[prefix] + name.removeprefix(prefix)].copy_(value)


def train_as_the_study(
    recipe: Recipe,
    model: nn.Module,
    names: dict[str, str],
    ours: dict[str, Tensor],
    data: TrainData,
    steps: list[Any],
    val_steps: list[Any],
) -> History:
    history, seed = History(), seeds.derive(recipe.seed, "member", MEMBER)
    assert data.validation is not None
    train_set, val_set = Patches(data.image_N3HW, data.label_N, steps), Patches(*data.validation, val_steps)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.5, patience=3, min_lr=recipe.lr * 0.002
    )
    best, epochs_no_improve = 0.0, 0
    for epoch in range(recipe.epochs):
        items = list(given_items(recipe, seed, epoch, data.label_N))
        loader = DataLoader(train_set, batch_size=recipe.batch, sampler=items, generator=torch.Generator())
        torch.manual_seed(seeds.derive(seed, "dropout", epoch))
        history.lr.append(optimizer.param_groups[0]["lr"])
        model.train()
        train_loss = 0.0
        for image_B3SS, label_B1 in loader:
            optimizer.zero_grad()
            image_B3SS = image_B3SS.contiguous(
                memory_format=torch.channels_last
            )  # dropout draws in the order of the memory
            loss = criterion(model(image_B3SS), label_B1)
            loss.backward()
            optimizer.step()
            train_loss += loss.item()
        model.eval()
        predicted, expected = [], []
        no_draws = [(number, [None] * (len(val_steps) - 2)) for number in range(len(val_set.label_N))]
        with torch.no_grad():
            for image_B3SS, label_B1 in DataLoader(
                val_set, batch_size=recipe.batch, sampler=no_draws, generator=torch.Generator()
            ):
                predicted.extend((torch.sigmoid(model(image_B3SS)) > 0.5).squeeze(1).tolist())
                expected.extend(label_B1.squeeze(1).tolist())
        score = float(balanced_accuracy_score(expected, predicted))
        history.losses.append(train_loss / len(loader))
        history.scores.append(score)
        history.states.append(in_our_words(model, names, ours))
        if score > best:
            best, history.best, epochs_no_improve = score, history.states[-1], 0
        else:
            epochs_no_improve += 1
            if epochs_no_improve >= recipe.patience:
                break
        scheduler.step(score)
    return history


def given_items(recipe: Recipe, seed: int, epoch: int, label_N: np.ndarray) -> Iterator[tuple[int, list[int | None]]]:
    """Yield the patches of an epoch in the order of our sampler, with the seeds that our augmentation draws for them."""
    order_N, augment = (
        samplers.build(recipe.sampler)(seed, epoch, SamplerPatches(label_N, np.zeros_like(label_N))),
        Augment(recipe.augment),
    )
    for step, start in enumerate(range(0, len(order_N), recipe.batch)):
        patch_B = order_N[start : start + recipe.batch]
        params = augment.sample_params(len(patch_B), seeds.torch_generator(seed, "step", epoch, step), 128)
        for row, patch in enumerate(patch_B.tolist()):
            keys = [f"{i}.{op.name}.seed_B" for i, op in enumerate(augment.steps)]
            yield patch, [int(params[key][row]) if key in params else None for key in keys]


# Our side


def train_as_we_do(recipe: Recipe, data: TrainData, context: TrainContext, monkeypatch: pytest.MonkeyPatch) -> History:
    history, validate = History(), trainer._validate

    def record(batches: Any, state: Any) -> float | None:
        history.states.append({name: value.detach().clone() for name, value in trained_tensors(state.model)})
        return validate(batches, state)

    def log(line: LogLine) -> None:
        if line.held_out is not None:
            history.losses.append(line.loss)
            history.scores.append(line.held_out)

    monkeypatch.setattr(trainer, "_validate", record)
    model = trainer.train(recipe, MEMBER, data, dataclasses.replace(context, on_log=log))
    history.best = dict(trained_tensors(model))
    return history


def images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label_N = (np.arange(count) % 3 == 0).astype(np.int64)
    return np.stack([synthetic_image(int(label), rng).transpose(2, 0, 1) for label in label_N]), label_N


def steps_of(kind: str, size_px: int, normalization: Any) -> tuple[list[Any], list[Any]]:
    """Return the study's lists of transforms in training and validation, at the size of the tiny net."""
    to_tensor = [transforms.ToTensor(), transforms.Normalize(normalization.mean, normalization.std)]
    resize = transforms.Resize((size_px, size_px))
    if kind == "full":
        training = [
            resize, transforms.RandomHorizontalFlip(), transforms.RandomRotation(10), transforms.ColorJitter(0.2, 0.2, 0.2, 0.1),
            transforms.RandomResizedCrop(size_px, scale=(0.8, 1.0)),
        ]  # fmt: skip
    else:
        training = [
            transforms.RandomResizedCrop(size_px), transforms.RandomHorizontalFlip(), transforms.RandomRotation(15),
            transforms.ColorJitter(brightness=0.2, contrast=0.2),
        ]  # fmt: skip
    return [*training, *to_tensor], [resize, *to_tensor]


@pytest.mark.parametrize(
    ("backbone", "kind", "lr"), [("uni", "lora", 5e-3), ("virchow2", "head", 2e-2), ("swin-base", "full", 1e-3)]
)
def test_every_epoch_is_that_of_the_study(
    backbone: str, kind: str, lr: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registered_siblings(backbone) as [name]:
        spec = backbones.get(name).spec
        size_px = spec.size_px
        recipe = study_recipe(backbone, kind)
        augment = (
            study_recipe("uni", "lora").augment if kind == "head" else recipe.augment
        )  # the study's probes have none
        recipe = dataclasses.replace(
            recipe, backbone=name, size_px=size_px, frame=f"tv_resize({size_px})", augment=augment.replace("224", str(size_px)),
            epochs=12, patience=7, lr=lr, precision="fp32",
        )  # fmt: skip
        image_N3HW, label_N = images(29, seed=1)  # three batches of 8 and one of 5
        data = TrainData(image_N3HW, label_N, label_N.astype(np.float32), {}, images(30, seed=2))
        base = weights.find(name, str(weights_file(name, tmp_path)))
        context = TrainContext(dir=tmp_path, base=base)
        start = initial(recipe, context)
        model, names = study_model(kind, spec, size_px, weights.read_state_dict(base))
        copy_start(model, names, start)
        model = model.to(memory_format=torch.channels_last)
        steps, val_steps = steps_of(kind, size_px, spec.normalization)
        theirs = train_as_the_study(recipe, model, names, start, data, steps, val_steps)
        ours = train_as_we_do(recipe, data, context, monkeypatch)
    assert len(ours.losses) == len(theirs.losses) > 4
    assert ours.scores == pytest.approx(theirs.scores, abs=1e-12)
    assert min(theirs.lr) < lr, "the learning rate was lowered after a plateau"
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=0, atol=TOLERANCE)
    for state, expected in zip(ours.states, theirs.states, strict=True):
        check_equal(state, expected)
    check_equal(ours.best, theirs.best)


def check_equal(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        ours, theirs = (without_key_bias(name, tensor) for tensor in (state[name], value))
        difference = float((ours - theirs).abs().max()) if value.numel() else 0.0
        assert difference <= TOLERANCE, (name, difference)


def without_key_bias(name: str, value: Tensor) -> Tensor:
    """Drop the bias of keys: it has no effect, its gradient is rounding, and Adam steps along it."""
    if not name.endswith("attn.qkv.bias"):
        return value
    query, _, values = value.chunk(3)
    return torch.cat([query, values])


def initial(recipe: Recipe, context: TrainContext) -> dict[str, Tensor]:
    """Return the tensors that are trained, before the first step."""
    model: Classifier = init_model(
        recipe, Objective(recipe.objective), context, seeds.derive(recipe.seed, "member", MEMBER)
    )
    return {name: value.detach().clone() for name, value in trained_tensors(model)}
