"""The cache of embeddings: whole under two processes of which one is killed, and never served for another question."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from mitotype.backbones import weights
from mitotype.backbones.classifier import Architecture, build
from mitotype.core import pictures
from mitotype.core.mistakes import Mistake
from mitotype.fit import embed

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def base_file(tmp_path: Path) -> Path:
    net = build(Architecture("vit-mini8", 64, "mean"), seed=1)
    path = tmp_path / "base.safetensors"
    save_file({k: v.contiguous() for k, v in net.trunk.state_dict().items()}, path)
    return path


def some(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 64, 64), dtype=np.uint8)


def asked(base_file: Path, **changes: Any) -> embed.Ask:
    base = weights.find("vit-mini8", str(base_file))
    return dataclasses.replace(embed.Ask(name="vit-mini8", base=base, size_px=64, frame="crop(64)"), **changes)


def test_a_second_question_is_answered_from_the_cache(base_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_N3HW = some(20)
    first = embed.embeddings(asked(base_file), image_N3HW[:12])
    again = embed.embeddings(asked(base_file), image_N3HW)
    np.testing.assert_array_equal(again[:12], first)
    monkeypatch.setattr(embed, "_runner", lambda ask: pytest.fail("embedded again"))
    backwards = embed.embeddings(asked(base_file), image_N3HW[::-1])
    np.testing.assert_array_equal(backwards, again[::-1])
    assert first.shape == (12, 384)
    np.testing.assert_array_equal(embed.pooled(first, "vit-mini8", "cls"), first[:, :192])
    np.testing.assert_array_equal(embed.pooled(first, "vit-mini8", "mean"), first[:, 192:])


@pytest.mark.parametrize(
    "change",
    [{"frame": "crop(48)"}, {"precision": "bf16"}, {"view": "rot90"}, {"size_px": 32}, {"colours": "imagenet"}],
)
def test_another_question_has_another_cache(base_file: Path, change: dict[str, Any]) -> None:
    image_N3HW = some(4)
    one = embed.embeddings(asked(base_file), image_N3HW)
    other = asked(base_file, **change)
    assert other.key != asked(base_file).key
    assert not np.array_equal(embed.embeddings(other, image_N3HW), one)


def test_changed_weights_have_another_cache(base_file: Path) -> None:
    image_N3HW = some(4)
    one, key = embed.embeddings(asked(base_file), image_N3HW), asked(base_file).key
    state = load_file(base_file)
    state["net.norm.bias"] += 0.5
    save_file(state, base_file)
    assert asked(base_file).key != key
    np.testing.assert_allclose(embed.embeddings(asked(base_file), image_N3HW), one + 0.5, atol=1e-4)


def test_features_go_the_same_way(drawn_cohort: Any) -> None:
    pack = pictures.pack(drawn_cohort)
    ask = embed.Ask(name="morphology", base=None, size_px=0, frame="crop(64)")
    value_ND = embed.embeddings(ask, pack.image_N3HW)
    assert value_ND.shape == (len(drawn_cohort), 219)
    assert list((pictures.cache_folder() / "embeddings").glob("morphology-*/*.safetensors"))


def test_a_damaged_segment_is_named(base_file: Path) -> None:
    image_N3HW = some(4)
    embed.embeddings(asked(base_file), image_N3HW)
    segment = next((pictures.cache_folder() / "embeddings").glob("*/*.safetensors"))
    segment.write_bytes(segment.read_bytes()[:100])
    with pytest.raises(Mistake, match="damaged"):
        embed.embeddings(asked(base_file), image_N3HW)


WORKER = """
import sys
from pathlib import Path
from tests.fit.test_embed import asked, some
from mitotype.fit import embed
embed.SEGMENT = 8
embed.embeddings(asked(Path(sys.argv[1])), some(400), done=lambda n: print(n, flush=True))
"""


def test_two_processes_one_killed_and_the_cache_is_whole(
    base_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(embed, "SEGMENT", 64)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = [tmp_path / "0.txt", tmp_path / "1.txt"]
    both = []
    for out in said:
        with out.open("w") as file:
            both.append(subprocess.Popen([sys.executable, "-c", WORKER, str(base_file)], env=environment, stdout=file))
    folder = pictures.cache_folder() / "embeddings"
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*/*.safetensors"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    holds = 0 if said[0].read_text() else 1
    assert both[holds].poll() is None and not said[1 - holds].read_text()  # one embeds, the other waits for it
    both[holds].send_signal(signal.SIGKILL)
    assert [worker.wait(timeout=240) for worker in both][1 - holds] == 0
    assert 40 <= int(said[1 - holds].read_text().split()[0]) < 400  # it takes up what was finished
    image_N3HW = some(400)
    with monkeypatch.context() as patch:
        patch.setattr(embed, "_runner", lambda ask: pytest.fail("something was lacking"))
        found = embed.embeddings(asked(base_file), image_N3HW)
    for path in folder.glob("*/*.safetensors"):
        path.unlink()
    np.testing.assert_allclose(embed.embeddings(asked(base_file), image_N3HW), found, atol=1e-5)


def test_pictures_brought_to_another_scale_are_other_pictures(base_file: Path) -> None:
    image_N3HW = some(4)
    one = embed.embeddings(asked(base_file), image_N3HW)
    wider = np.pad(image_N3HW, ((0, 0), (0, 0), (8, 8), (8, 8)), mode="reflect")
    assert not np.array_equal(embed.embeddings(asked(base_file, frame="crop(80)", size_px=80), wider), one)
    assert not np.array_equal(embed.embeddings(asked(base_file), np.ascontiguousarray(image_N3HW[..., ::-1])), one)
