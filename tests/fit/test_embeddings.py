"""The cache of embeddings: consistent under two processes of which one is killed, and separate for every key."""

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
from mitotype.core.cache import cache_dir
from mitotype.core.packing import pack_images
from mitotype.fit import embeddings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def base_file(tmp_path: Path) -> Path:
    net = build(Architecture("vit-mini8", 64, "mean"), seed=1)
    path = tmp_path / "base.safetensors"
    save_file({k: v.contiguous() for k, v in net.trunk.state_dict().items()}, path)
    return path


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 64, 64), dtype=np.uint8)


def key_of(base_file: Path, **changes: Any) -> embeddings.EmbeddingKey:
    base = weights.find("vit-mini8", str(base_file))
    return dataclasses.replace(
        embeddings.EmbeddingKey(name="vit-mini8", base=base, size_px=64, frame="crop(64)"), **changes
    )


def test_known_images_are_read_from_the_cache(base_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_N3HW = random_images(20)
    first = embeddings.embed(key_of(base_file), image_N3HW[:12])
    again = embeddings.embed(key_of(base_file), image_N3HW)
    np.testing.assert_array_equal(again[:12], first)
    monkeypatch.setattr(embeddings, "_embedder", lambda key: pytest.fail("embedded again"))
    backwards = embeddings.embed(key_of(base_file), image_N3HW[::-1])
    np.testing.assert_array_equal(backwards, again[::-1])
    assert first.shape == (12, 384)
    np.testing.assert_array_equal(embeddings.select_pooling(first, "vit-mini8", "cls"), first[:, :192])
    np.testing.assert_array_equal(embeddings.select_pooling(first, "vit-mini8", "mean"), first[:, 192:])


@pytest.mark.parametrize(
    "change",
    [{"frame": "crop(48)"}, {"precision": "bf16"}, {"view": "rot90"}, {"size_px": 32}, {"normalization": "imagenet"}],
)
def test_another_key_has_another_cache(base_file: Path, change: dict[str, Any]) -> None:
    image_N3HW = random_images(4)
    first = embeddings.embed(key_of(base_file), image_N3HW)
    other = key_of(base_file, **change)
    assert other.digest != key_of(base_file).digest
    assert not np.array_equal(embeddings.embed(other, image_N3HW), first)


def test_changed_weights_have_another_cache(base_file: Path) -> None:
    image_N3HW = random_images(4)
    first, digest = embeddings.embed(key_of(base_file), image_N3HW), key_of(base_file).digest
    state = load_file(base_file)
    state["net.norm.bias"] += 0.5
    save_file(state, base_file)
    assert key_of(base_file).digest != digest
    np.testing.assert_allclose(embeddings.embed(key_of(base_file), image_N3HW), first + 0.5, atol=1e-4)


def test_values_of_features_are_cached(toy_cohort: Any) -> None:
    pack = pack_images(toy_cohort)
    key = embeddings.EmbeddingKey(name="morphology", base=None, size_px=0, frame="crop(64)")
    value_ND = embeddings.embed(key, pack.image_N3HW)
    assert value_ND.shape == (len(toy_cohort), 219)
    assert list((cache_dir() / "embeddings").glob("morphology-*/*.safetensors"))


def test_a_damaged_segment_is_computed_again(base_file: Path) -> None:
    image_N3HW = random_images(4)
    first = embeddings.embed(key_of(base_file), image_N3HW)
    segment = next((cache_dir() / "embeddings").glob("*/*.safetensors"))
    intact = segment.read_bytes()
    for damaged in (b"", intact[:100], intact.replace(b'"digests"', b'"digestz"')):
        segment.write_bytes(damaged)
        assert np.array_equal(embeddings.embed(key_of(base_file), image_N3HW), first)
        assert segment.read_bytes() == intact


WORKER = """
import sys
from pathlib import Path
from tests.fit.test_embeddings import key_of, random_images
from mitotype.fit import embeddings
embeddings.SEGMENT = 8
embeddings.embed(key_of(Path(sys.argv[1])), random_images(400), on_progress=lambda n: print(n, flush=True))
"""


def test_the_cache_survives_a_killed_process(base_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embeddings, "SEGMENT", 64)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    outputs = [tmp_path / "0.txt", tmp_path / "1.txt"]
    both = []
    for out in outputs:
        with out.open("w") as file:
            both.append(subprocess.Popen([sys.executable, "-c", WORKER, str(base_file)], env=environment, stdout=file))
    folder = cache_dir() / "embeddings"
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*/*.safetensors"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    holds = 0 if outputs[0].read_text() else 1
    assert both[holds].poll() is None and not outputs[1 - holds].read_text()  # one embeds, the other waits for it
    both[holds].send_signal(signal.SIGKILL)
    assert [worker.wait(timeout=240) for worker in both][1 - holds] == 0
    assert 40 <= int(outputs[1 - holds].read_text().split()[0]) < 400  # it reads what was finished
    image_N3HW = random_images(400)
    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "_embedder", lambda key: pytest.fail("embedded again"))
        cached = embeddings.embed(key_of(base_file), image_N3HW)
    for path in folder.glob("*/*.safetensors"):
        path.unlink()
    np.testing.assert_allclose(embeddings.embed(key_of(base_file), image_N3HW), cached, atol=1e-5)


def test_images_of_another_size_have_other_embeddings(base_file: Path) -> None:
    image_N3HW = random_images(4)
    first = embeddings.embed(key_of(base_file), image_N3HW)
    wider = np.pad(image_N3HW, ((0, 0), (0, 0), (8, 8), (8, 8)), mode="reflect")
    assert not np.array_equal(embeddings.embed(key_of(base_file, frame="crop(80)", size_px=80), wider), first)
    assert not np.array_equal(embeddings.embed(key_of(base_file), np.ascontiguousarray(image_N3HW[..., ::-1])), first)
