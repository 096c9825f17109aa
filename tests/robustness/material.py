"""What is mutated: small valid images, a labelled set, scores, a finished run with scores, two bundles, weights, archives."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file

from mitotype.core.run_layout import names
from mitotype.deploy.bundle import shipped
from mitotype.deploy.from_run import bundle_from_run
from tests import synthetic_cohort


def make(folder: Path, run_dir: Path) -> Path:
    """Write the material into a new folder; `run_dir` is a finished run."""
    folder.mkdir(parents=True)
    _images(folder / "images")
    _tables(folder)
    shutil.copytree(run_dir, folder / "run")
    bundle_from_run(run_dir, folder / "bundle")
    shutil.copytree(shipped()["morphology"], folder / "morphology")
    _weights(folder / "weights", run_dir)
    _archives(folder)
    return folder


def _images(folder: Path) -> None:
    folder.mkdir()
    image = Image.fromarray(synthetic_cohort.synthetic_image(1, np.random.default_rng(1))[32:96, 32:96])
    for name in ("rgb.png", "rgb.jpg", "rgb.webp", "rgb.bmp", "rgb.gif"):
        image.save(folder / name)
    for compression in ("raw", "tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits"):
        image.save(folder / f"{compression}.tif", compression=compression)
    image.save(folder / "pages.tif", save_all=True, append_images=[image, image.rotate(90)])
    image.save(folder / "frames.png", save_all=True, append_images=[image.rotate(90)])
    image.save(folder / "animated.webp", save_all=True, append_images=[image.rotate(90)])
    image.save(folder / "preview.jpg", format="MPO", save_all=True, append_images=[image.resize((32, 32))])
    for mode in ("L", "1", "P", "RGBA", "LA"):
        image.convert(mode).save(folder / f"{mode}.png")
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(folder / "grey16.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("CMYK").save(folder / "cmyk.tif")


def _tables(folder: Path) -> None:
    (folder / "set").mkdir()
    rng, lines = np.random.default_rng(2), []
    for number in range(24):
        Image.fromarray(synthetic_cohort.synthetic_image(number % 2, rng)[24:104, 24:104]).save(
            folder / "set" / f"{number}.png"
        )
        lines.append({
            "patch_id": f"p{number}", "path": f"set/{number}.png", "label": ("normal", "atypical")[number % 2],
            "case_id": f"c{number // 4}",
            "domain": f"d{number // 12}", "mpp_um": 0.25, "votes_for": 3 * (number % 2), "votes": 3,
        })  # fmt: skip
    rows = pd.DataFrame(lines)
    rows.to_csv(folder / "labels.csv", index=False)
    rows[["path", "mpp_um"]].head(4).to_csv(folder / "list.csv", index=False)
    logit = rng.normal(size=24) + 2 * (np.arange(24) % 2)
    scores = pd.DataFrame({"patch_id": rows["patch_id"], "score": 1 / (1 + np.exp(-logit)), "label": np.arange(24) % 2})
    scores.assign(case_id=rows["case_id"], domain=rows["domain"]).round(6).to_csv(folder / "scores.csv", index=False)


def _weights(folder: Path, run_dir: Path) -> None:
    folder.mkdir()
    source = run_dir / names.MEMBERS / "all-seed0" / names.WEIGHTS
    state = {key: value.float() for key, value in load_file(source).items()}
    shutil.copyfile(source, folder / "model.safetensors")
    torch.save(state, folder / "model.pth")
    torch.save({"state_dict": state, "epoch": 3}, folder / "wrapped.pt")
    torch.save(state, folder / "old.bin", _use_new_zipfile_serialization=False)


def _archives(folder: Path) -> None:
    methods = {
        "deflate": zipfile.ZIP_DEFLATED,
        "stored": zipfile.ZIP_STORED,
        "lzma": zipfile.ZIP_LZMA,
        "bzip2": zipfile.ZIP_BZIP2,
    }
    (folder / "archives").mkdir()
    for name, method in methods.items():
        with zipfile.ZipFile(folder / "archives" / f"{name}.zip", "w", method) as archive:
            for number in range(4):
                archive.write(
                    folder / "set" / f"{number}.png", f"top/{('Normal', 'Atypical')[number % 2]}/{number}.png"
                )
            archive.write(folder / "labels.csv", "top/labels.csv")
