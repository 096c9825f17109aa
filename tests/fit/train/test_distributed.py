"""Two processes train one member like one process does; gradient checkpointing and accumulation change nothing either."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mitotype.api import training
from mitotype.backbones import transformer_trunk
from mitotype.backbones.classifier import build
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort
from mitotype.fit import recipe as recipes
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import distributed, frozen_cache
from mitotype.fit.train.model import NORMS, architecture, cast_frozen, set_train_mode
from mitotype.fit.validate import validate_recipe
from mitotype.losses import Objective
from mitotype.scores import table

pytestmark = pytest.mark.usefixtures("one_thread")


def plain(**changes: object) -> Recipe:
    recipe = Recipe(
        name="ranks", backbone="vit-mini8", model_kwargs=(("depth", 2),), size_px=64,
        augment="affine(90, 0.1, 0, 2) | d4 | stain(0.1) | crop(64)", tta="identity",
        mixup=0.3, epochs=2, batch=8, lr=1e-3, warmup_epochs=0.5, ema_decay=0.9, folds="2", precision="fp32", grad_clip=1.0, ood_flag=0,
    )  # fmt: skip
    return dataclasses.replace(recipe, **changes)


def max_difference(first: Path, second: Path) -> float:
    """Return the largest difference between the out-of-fold logits of two runs.

    Not of their weights: the bias of an attention's keys has no effect, its gradient is rounding, and Adam steps along it.
    """
    key = ["patch_id", "member", "view"]
    a, b = (table.read(folder).scores.set_index(key)["logit"].sort_index() for folder in (first, second))
    return float((a - b).abs().max())


@pytest.fixture(scope="module")
def single_run(toy_cohort: Cohort, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run.start(plain(), toy_cohort, tmp_path_factory.mktemp("ranks") / "one")


LAUNCHED = """
import pickle, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from mitotype.api import training
from mitotype.fit import run
from mitotype.fit.train import distributed, trainer
if not distributed.is_main_process():
    trainer.predict = None  # the main process alone validates
again, two, cohort, *more = map(Path, sys.argv[1:])
training.read_training_cohort = lambda *args: pickle.loads(cohort.read_bytes())
training.train(training.load_recipe(again), [], out=two)
for folder in more:
    run.resume(folder)
"""
PRETRAIN = {"objective": "descriptor(219)", "sampler": "uniform", "folds": "none", "n_final_models": 1, "epochs": 1}
VALIDATED = {"patience": 1, "schedule": "plateau(0.5, 0)"}


def test_two_ranks_train_like_one(single_run: Path, toy_cohort: Cohort, tmp_path: Path) -> None:
    single = [
        single_run,
        *(run.start(plain(**c), toy_cohort, tmp_path / f"one{len(c)}") for c in (PRETRAIN, VALIDATED)),
    ]
    joint = [tmp_path / name for name in ("two", "pretrain", "validated")]
    for one, two in zip(single[1:], joint[1:], strict=True):
        run.create(recipes.read_recipe(one), toy_cohort, two)
    script, cohort = tmp_path / "launched.py", tmp_path / "cohort"
    script.write_text(LAUNCHED)
    cohort.write_bytes(pickle.dumps(toy_cohort))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(script)]
    args = [str(path) for path in (single_run, joint[0], cohort, *joint[1:])]
    subprocess.run([*launch, *args], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240)
    for one, two in zip(single, joint, strict=True):
        assert (two / "DONE").is_file()
        torch.testing.assert_close(torch.tensor(losses(two)), torch.tensor(losses(one)), atol=1e-5, rtol=1e-5)
    assert max_difference(single_run, joint[0]) < 1e-5
    assert max_difference(single[2], joint[2]) < 1e-5


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("backbone", "objective", "batch", "grad_accum_steps", "message"),
    [
        ("vit-mini8", "soft_bce", 12, 4, "divisible by 8"),
        ("vit-mini8", "contrast(0.2)", 8, 4, "compares patches"),
        ("resnet10", "soft_bce", 8, 1, "has BatchNorm"),
        ("d4resnet-tiny", "soft_bce", 8, 1, "has BatchNorm"),
    ],
)
def test_what_several_ranks_train_differently_is_an_error(
    backbone: str, objective: str, batch: int, grad_accum_steps: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    terms = Objective(objective)
    net = build(architecture(plain(backbone=backbone, model_kwargs=()), terms), seed=0)
    with pytest.raises(UserError, match=message):
        distributed.check_divisible(net, terms, batch, grad_accum_steps)


def test_norms_of_a_frozen_trunk_are_no_matter_of_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    terms = Objective("soft_bce")
    net = build(architecture(plain(backbone="resnet10", model_kwargs=()), terms), seed=0)
    net.trunk.requires_grad_(False)
    distributed.check_divisible(net, terms, 8, 1)
    set_train_mode(net)
    assert not any(module.training for module in net.trunk.modules() if isinstance(module, NORMS))


def test_the_last_batch_of_an_epoch_is_divisible_too() -> None:
    terms = Objective("soft_bce")
    net = build(architecture(plain(), terms), seed=0)
    with (
        pytest.raises(UserError, match=r"batch=5 is not divisible by 2(.|\n)*drop_last=1"),
        distributed.wrap(net, terms, (8, 5), 2),
    ):
        pass


def test_every_rank_has_its_own_gpu_and_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", devices.append)
    assert distributed.local_device("cuda:3") == "cuda:3" and not devices
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert distributed.local_device("cuda") == "cuda:1" and devices == [1]
    assert distributed.local_device("cpu") == "cpu"
    assert distributed.Ranks(None).seed_purpose == () != distributed.Ranks(None, 1, 2).seed_purpose


def test_several_processes_need_a_folder(single_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="its folder is not given"):
        training.train(training.load_recipe(single_run), [])
    with pytest.raises(UserError, match="has not written"):
        distributed.wait_for(tmp_path / "run.json", timeout_s=0)


def test_a_frozen_trunk_stays_in_evaluation_mode_and_float32_tokens() -> None:
    net = build(architecture(plain(backbone="resnet10", model_kwargs=(), adaptation="head"), Objective("bce")), seed=0)
    before = {name: value.clone() for name, value in net.trunk.named_buffers()}
    set_train_mode(net)
    net(torch.rand(4, 3, 64, 64))
    assert net.head.training and before
    assert all(torch.equal(before[name], value) for name, value in net.trunk.named_buffers())
    net = build(architecture(plain(adaptation="head"), Objective("bce")), seed=0)
    cast_frozen(net, torch.bfloat16)
    vit = net.trunk.net
    assert vit.pos_embed.dtype == vit.cls_token.dtype == torch.float32
    assert vit.blocks[0].attn.qkv.weight.dtype == vit.patch_embed.proj.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("change", ["grad_accum_steps=4", "grad_checkpointing=1"])
def test_saving_memory_changes_nothing(
    single_run: Path, toy_cohort: Cohort, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    original = transformer_trunk.checkpoint

    def counted(block: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        calls.append(block)
        return original(block, *args, **kwargs)

    monkeypatch.setattr(transformer_trunk, "checkpoint", counted)
    folder = run.start(recipes.with_settings(recipes.read_recipe(single_run), [change]), toy_cohort, tmp_path / "run")
    steps = sum((table.read(single_run).patches["fold"] != fold).sum() // 8 * 2 for fold in (1, 2))
    assert len(calls) == (steps * 2 if change == "grad_checkpointing=1" else 0)  # of two blocks
    assert max_difference(single_run, folder) < 1e-3
    torch.testing.assert_close(torch.tensor(losses(folder)), torch.tensor(losses(single_run)), atol=1e-5, rtol=1e-5)


def test_a_batch_that_is_not_divisible_is_an_error() -> None:
    with pytest.raises(UserError, match="not divisible"):
        validate_recipe(plain(grad_accum_steps=3))


@pytest.mark.parametrize(
    ("adaptation", "augment"),
    [("head", "crop(64)"), ("full(last=1)", "d4 | crop(64)"), ("prompts(2, last=1)", "mirror | crop(64)")],
)
def test_cached_features_change_nothing(
    adaptation: str,
    augment: str,
    single_run: Path,
    toy_cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = plain(init_from=str(single_run), adaptation=adaptation, augment=augment, mixup=0.0)
    cached = run.start(recipe, toy_cohort, tmp_path / "cached")
    first = json.loads((cached / "log.jsonl").read_text().splitlines()[0])
    assert first["kept"] and first["keeps_gb"] > 0
    monkeypatch.setattr(frozen_cache, "free_bytes", lambda device: 1.0)
    uncached = run.start(recipe, toy_cohort, tmp_path / "uncached")
    assert json.loads((uncached / "log.jsonl").read_text().splitlines()[0])["kept"] is False
    assert max_difference(cached, uncached) < 1e-4
