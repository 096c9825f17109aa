"""Two processes on one job train to what one process does; recomputed activations and split batches change nothing either."""

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

from mitotype.backbones import transformer
from mitotype.backbones.classifier import build
from mitotype.cli import work
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.fit import loop, ranks, run, stems
from mitotype.fit import recipe as recipes
from mitotype.fit.recipe import Recipe
from mitotype.losses import Objective
from mitotype.scores import table

pytestmark = pytest.mark.usefixtures("one_thread")


def plain(**changes: object) -> Recipe:
    recipe = Recipe(
        name="ranks", backbone="vit-mini8", options=(("depth", 2),), size_px=64,
        augment="affine(90, 0.1, 0, 2) | d4 | stain(0.1) | crop(64)", views="identity",
        mixup=0.3, epochs=2, batch=8, lr=1e-3, warmup_epochs=0.5, ema_decay=0.9, folds="2", precision="fp32", clip=1.0, flag=0,
    )  # fmt: skip
    return dataclasses.replace(recipe, **changes)


def gap(one: Path, other: Path) -> float:
    """The largest difference between the out-of-fold logits of two runs.

    Not of their weights: the key's bias in an attention moves no output, its gradient is rounding, and Adam makes steps of it.
    """
    key = ["patch_id", "member", "view"]
    a, b = (table.read(folder).scores.set_index(key)["logit"].sort_index() for folder in (one, other))
    return float((a - b).abs().max())


@pytest.fixture(scope="module")
def whole_run(drawn_cohort: Cohort, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run.start(plain(), drawn_cohort, tmp_path_factory.mktemp("ranks") / "one")


LAUNCHED = """
import pickle, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from mitotype.cli import work
from mitotype.fit import loop, ranks, run
if not ranks.writes():
    loop.predict = None  # the first rank alone looks at the fold left out
again, two, cohort, *more = map(Path, sys.argv[1:])
work.training = lambda *asked: pickle.loads(cohort.read_bytes())
work.train("", work.Asked(again=again, out=two))
for folder in more:
    run.go_on(folder)
"""
PRETRAIN = {"objective": "descriptor(219)", "sampler": "uniform", "folds": "none", "refit": 1, "epochs": 1}
LOOKS = {"patience": 1, "schedule": "plateau(0.5, 0)"}


def test_two_ranks_train_to_what_one_does(whole_run: Path, drawn_cohort: Cohort, tmp_path: Path) -> None:
    alone = [whole_run, *(run.start(plain(**c), drawn_cohort, tmp_path / f"one{len(c)}") for c in (PRETRAIN, LOOKS))]
    joint = [tmp_path / name for name in ("two", "pretrain", "looks")]
    for one, two in zip(alone[1:], joint[1:], strict=True):
        run.prepare(recipes.from_run(one), drawn_cohort, two)
    script, cohort = tmp_path / "launched.py", tmp_path / "cohort"
    script.write_text(LAUNCHED)
    cohort.write_bytes(pickle.dumps(drawn_cohort))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(script)]
    told = [str(path) for path in (whole_run, joint[0], cohort, *joint[1:])]
    subprocess.run([*launch, *told], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240)
    for one, two in zip(alone, joint, strict=True):
        assert (two / "DONE").is_file()
        torch.testing.assert_close(torch.tensor(losses(two)), torch.tensor(losses(one)), atol=1e-5, rtol=1e-5)
    assert gap(whole_run, joint[0]) < 1e-5
    assert gap(alone[2], joint[2]) < 1e-5


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("backbone", "objective", "batch", "accumulate", "said"),
    [
        ("vit-mini8", "soft_bce", 12, 4, "8 equal parts"),
        ("vit-mini8", "contrast(0.2)", 8, 4, "compares patches"),
        ("resnet10", "soft_bce", 8, 1, "statistics over a batch"),
    ],
)
def test_what_several_ranks_would_not_train_alike_is_a_mistake(
    backbone: str, objective: str, batch: int, accumulate: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    asked = Objective(objective)
    net = build(loop.architecture(plain(backbone=backbone, options=()), asked), seed=0)
    with pytest.raises(Mistake, match=said):
        ranks.check(net, asked, batch, accumulate)


def test_every_rank_has_its_own_gpu_and_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert ranks.device("cuda:3") == "cuda:3" and not chosen
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert ranks.device("cuda") == "cuda:1" and chosen == [1]
    assert ranks.device("cpu") == "cpu"
    assert ranks.Ranks(None).words == () != ranks.Ranks(None, 1, 2).words


def test_several_processes_need_one_folder(whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Mistake, match="names its folder"):
        work.train("", work.Asked(again=whole_run))
    with pytest.raises(Mistake, match="has not written"):
        ranks.wait_for(tmp_path / "run.json", timeout_s=0)


def test_a_frozen_trunk_keeps_its_statistics_and_its_position() -> None:
    net = build(loop.architecture(plain(backbone="resnet10", options=(), adaptation="head"), Objective("bce")), seed=0)
    before = {name: value.clone() for name, value in net.trunk.named_buffers()}
    loop.learning(net)
    net(torch.rand(4, 3, 64, 64))
    assert net.head.training and before
    assert all(torch.equal(before[name], value) for name, value in net.trunk.named_buffers())
    net = build(loop.architecture(plain(adaptation="head"), Objective("bce")), seed=0)
    loop.halve_frozen(net, torch.bfloat16)
    inside = net.trunk.net
    assert inside.pos_embed.dtype == inside.cls_token.dtype == torch.float32
    assert inside.blocks[0].attn.qkv.weight.dtype == inside.patch_embed.proj.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("change", ["accumulate=4", "recompute=1"])
def test_saving_memory_changes_nothing(
    whole_run: Path, drawn_cohort: Cohort, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[object] = []
    honest = transformer.checkpoint

    def counted(block: Callable[..., Any], *given: Any, **options: Any) -> Any:
        saved.append(block)
        return honest(block, *given, **options)

    monkeypatch.setattr(transformer, "checkpoint", counted)
    folder = run.start(recipes.with_settings(recipes.from_run(whole_run), [change]), drawn_cohort, tmp_path / "run")
    steps = sum((table.read(whole_run).patches["fold"] != fold).sum() // 8 * 2 for fold in (1, 2))
    assert len(saved) == (steps * 2 if change == "recompute=1" else 0)  # of two blocks
    assert gap(whole_run, folder) < 1e-3
    torch.testing.assert_close(torch.tensor(losses(folder)), torch.tensor(losses(whole_run)), atol=1e-5, rtol=1e-5)


def test_a_batch_that_does_not_fall_into_parts_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="equal parts"):
        plain(accumulate=3).check()


@pytest.mark.parametrize(
    ("adaptation", "augment"),
    [("head", "crop(64)"), ("full(last=1)", "d4 | crop(64)"), ("prompts(2, last=1)", "mirror | crop(64)")],
)
def test_kept_stems_change_nothing(
    adaptation: str,
    augment: str,
    whole_run: Path,
    drawn_cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = plain(init_from=str(whole_run), adaptation=adaptation, augment=augment, mixup=0.0)
    kept = run.start(recipe, drawn_cohort, tmp_path / "kept")
    first = json.loads((kept / "log.jsonl").read_text().splitlines()[0])
    assert first["kept"] and first["keeps_gb"] > 0
    monkeypatch.setattr(stems, "free_bytes", lambda device: 1.0)
    walked = run.start(recipe, drawn_cohort, tmp_path / "walked")
    assert json.loads((walked / "log.jsonl").read_text().splitlines()[0])["kept"] is False
    assert gap(kept, walked) < 1e-4
