"""Packs are complete, cached while no file changes, and centered."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mitotype.core.cache import cache_dir
from mitotype.core.errors import UserError
from mitotype.core.images import digest
from mitotype.core.packing import pack_images
from mitotype.core.schema import COHORT_COLUMNS, Cohort
from tests.core.test_images import random_image


def cohort(paths: list[Path], mpp_um: float = 0.25) -> Cohort:
    rows = pd.DataFrame({column: [""] * len(paths) for column in COHORT_COLUMNS})
    rows["path"], rows["patch_id"], rows["mpp_um"] = [str(p) for p in paths], [p.stem for p in paths], mpp_um
    return Cohort("test", rows)


def test_all_bad_files_are_reported_together(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        Image.fromarray(random_image()).save(tmp_path / f"{name}.png")
    (tmp_path / "a.png").write_bytes(b"x")
    Image.fromarray(random_image()).convert("L").save(tmp_path / "c.png")
    with pytest.raises(UserError, match="2 errors") as error:
        pack_images(cohort(sorted(tmp_path.glob("*.png"))))
    assert "a.png" in str(error.value)
    assert "c.png" in str(error.value)
    assert "b.png" not in str(error.value)


def test_a_small_image_is_reported_in_um(tmp_path: Path) -> None:
    Image.fromarray(random_image(60)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"60 × 60 px .* 64 px \(16 µm\)"):
        pack_images(cohort([tmp_path / "a.png"]))
    assert pack_images(cohort([tmp_path / "a.png"], mpp_um=0.5)).px == 120


def test_a_pack_is_made_once_and_again_after_a_change(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(random_image(seed=1)).save(path)
    first = pack_images(cohort([path]))
    assert np.array_equal(first.image_N3HW[0], random_image(seed=1).transpose(2, 0, 1))
    assert pack_images(cohort([path])).digests == first.digests == (digest(random_image(seed=1)),)
    Image.fromarray(random_image(seed=2)).save(path)
    assert np.array_equal(pack_images(cohort([path])).image_N3HW[0], random_image(seed=2).transpose(2, 0, 1))


def test_an_image_replaced_by_one_of_the_same_size_and_time_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    Image.fromarray(random_image(seed=1)).save(path)
    before = path.stat()
    pack_images(cohort([path]))
    Image.fromarray(random_image(seed=2)).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert pack_images(cohort([path])).digests == (digest(random_image(seed=2)),)


@pytest.mark.parametrize("name", ["image_N3HW.npy", "pack.json"])
@pytest.mark.parametrize(
    "damage", [lambda raw: b"", lambda raw: raw[:-9], lambda raw: raw[:-200] + bytes(200), lambda raw: b"[]"]
)
def test_a_damaged_pack_is_made_again(name: str, damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    Image.fromarray(random_image(seed=1)).save(tmp_path / "a.png")
    first = pack_images(cohort([tmp_path / "a.png"]))
    path = next((cache_dir() / "packs").glob(f"*/{name}"))
    intact = path.read_bytes()
    path.unlink()  # the array is mapped
    path.write_bytes(damage(intact))
    again = pack_images(cohort([tmp_path / "a.png"]))
    assert again.digests == first.digests and np.array_equal(again.image_N3HW, first.image_N3HW)
    assert path.read_bytes() == intact


def test_sizes_are_cropped_about_the_figure(tmp_path: Path) -> None:
    for px in (128, 80):
        image = np.zeros((px, px, 3), np.uint8)
        image[px // 2, px // 2] = 255
        Image.fromarray(image).save(tmp_path / f"{px}.png")
    packed = pack_images(cohort(sorted(tmp_path.glob("*.png"))))
    assert packed.px == 80
    assert (packed.image_N3HW[:, :, 40, 40] == 255).all()
