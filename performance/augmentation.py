"""Augmentation, patches per second: mitotype's batch at a time against the same operations of torchvision, one patch at a time.

    python performance/augmentation.py [FOLDER OF IMAGES] [--json FILE]

Both see the same patches, 128 px, and give 64 px. Torchvision crops as soon as its geometry is done, which spares its pixel
operations three quarters of the pixels. Repeats of both are interleaved, and the median of each is taken.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from machine import machine
from mitotype.core import images, records, seeds
from mitotype.transforms import Augment

BATCH = 64
GEOMETRY = "affine(degrees=180, scale=0.15, stretch=0.1, shift=2) | {elastic}d4"
PIXELS = "stain(0.1) | blur(1.0, p=0.5) | sharpen(1.0, p=0.5) | noise(0.02) | crop(64)"
SPECS = {
    "training augmentation": f"{GEOMETRY.format(elastic='elastic(3, 12) | ')} | {PIXELS}",
    "without elastic": f"{GEOMETRY.format(elastic='')} | {PIXELS}",
    "bicubic (torchvision bilinear)": f"{GEOMETRY.format(elastic='elastic(3, 12) | bicubic | ')} | {PIXELS}",
}


def stain(image_3HW: Tensor) -> Tensor:
    """A random matrix near the identity, a gain and an offset in optical density, for one patch."""
    density = -torch.log((image_3HW * 255 + 1) / 256).flatten(1)
    matrix = (torch.eye(3) + 0.1 * torch.randn(3, 3)) * (1.2 ** (2 * torch.rand(()) - 1))
    density = matrix @ density + 0.05 * torch.randn(3, 1)
    return ((256 * torch.exp(-density) - 1) / 255).clamp(0, 1).view_as(image_3HW)


def torchvision_steps(spec: str) -> Callable[[Tensor], Tensor]:
    """The operations of `spec` in torchvision.transforms.v2, for one patch."""
    bilinear = v2.InterpolationMode.BILINEAR  # its affine has no bicubic for tensors
    elastic = [v2.ElasticTransform(alpha=25.0, sigma=4.0, interpolation=bilinear)] if "elastic" in spec else []
    return v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomAffine(180, translate=(2 / 128, 2 / 128), scale=(1 / 1.15, 1.15), shear=6, interpolation=bilinear),
            *elastic,
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.CenterCrop(64),
            v2.Lambda(stain),
            v2.RandomApply([v2.GaussianBlur(7, sigma=(0.1, 1.0))], p=0.5),
            v2.RandomAdjustSharpness(2.0, p=0.5),
            v2.GaussianNoise(sigma=0.01),
        ]
    )


def patches(folder: Path | None) -> Tensor:
    """BATCH images, uint8: the first of the folder, or generated ones."""
    if folder is None:
        coarse = torch.rand(BATCH, 3, 16, 16, generator=seeds.torch_generator(0, "benchmark"))
        return (torch.nn.functional.interpolate(coarse, size=128, mode="bilinear") * 255).to(torch.uint8)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in images.SUFFIXES)[:BATCH]
    crops = [torch.from_numpy(images.center_crop(images.read(path), 128).copy()) for path in paths]
    return torch.stack([crop.permute(2, 0, 1) for crop in crops])


def seconds(function: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - start) / times


def compare(name: str, spec: str, image_B3HW: Tensor, repeats: int) -> dict[str, Any]:
    """Median milliseconds per patch of both, and their ratio."""
    augment, steps = Augment(spec), torchvision_steps(spec)
    generator = seeds.torch_generator(0, "benchmark")
    count, side = len(image_B3HW), int(image_B3HW.shape[-1])

    def batched() -> Tensor:
        return augment.apply(image_B3HW, augment.sample_params(count, generator, side))

    def patch_by_patch() -> Tensor:
        out = torch.stack([steps(image) for image in image_B3HW])
        return out.contiguous(memory_format=torch.channels_last)

    assert batched().shape == patch_by_patch().shape
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(seconds(batched, 5) / count * 1e3)
        theirs.append(seconds(patch_by_patch, 1) / count * 1e3)
    ms, other_ms = statistics.median(ours), statistics.median(theirs)
    return {"name": name, "spec": augment.spec, "ms_per_patch": ms, "torchvision_ms_per_patch": other_ms,
            "ratio": other_ms / ms}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="images of at least 128 px; generated ones without it")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--repeats", type=int, default=11)
    args = parser.parse_args()

    torch.manual_seed(0)
    image_B3HW = patches(args.folder)
    rows = [compare(name, spec, image_B3HW, args.repeats) for name, spec in SPECS.items()]
    environment = machine()
    kind = "real" if args.folder else "generated"
    print(
        f"{len(image_B3HW)} {kind} patches, {environment['cpu']}, {environment['threads']} threads, torch {environment['torch']}\n"
    )
    print(f"{'':32}{'mitotype':>16}{'torchvision':>16}{'ratio':>9}")
    for row in rows:
        ours, theirs = f"{row['ms_per_patch']:.3f} ms/patch", f"{row['torchvision_ms_per_patch']:.3f} ms/patch"
        print(f"{row['name']:32}{ours:>16}{theirs:>16}{row['ratio']:>7.1f} ×")
    if args.json:
        records.write(args.json, {"benchmark": "augmentation", "patches": kind, "machine": environment, "rows": rows})


if __name__ == "__main__":
    main()
