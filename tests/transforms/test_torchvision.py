"""torchvision's steps: the same draws and pixels as torchvision, whatever the batch, and at the beginning of a spec only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chi2_contingency, ks_2samp
from torch import Tensor
from torchvision import transforms as torchvision_transforms
from torchvision.transforms import functional

from mitotype.core.errors import UserError
from mitotype.transforms import Augment, Frame, slice_params
from mitotype.transforms.torchvision_steps import SEED

LIKELY = 0.001  # of a p-value: with fixed seeds a test passes always or never
STUDY = {  # the study's lists beside our specs
    "tv_resize(224) | tv_mirror | tv_rotation(10) | tv_color(0.2, 0.2, 0.2, 0.1) | tv_resized_crop(224, 0.8)": [
        torchvision_transforms.Resize((224, 224)), torchvision_transforms.RandomHorizontalFlip(),
        torchvision_transforms.RandomRotation(10), torchvision_transforms.ColorJitter(0.2, 0.2, 0.2, 0.1),
        torchvision_transforms.RandomResizedCrop(224, scale=(0.8, 1.0)),
    ],
    "tv_resized_crop(224, 0.8) | tv_mirror | tv_color(0.2, 0.2, 0.2, 0.1)": [
        torchvision_transforms.RandomResizedCrop(224, scale=(0.8, 1.0)), torchvision_transforms.RandomHorizontalFlip(),
        torchvision_transforms.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
    ],
    "tv_resized_crop(224) | tv_mirror | tv_rotation(15) | tv_color(0.2, 0.2)": [
        torchvision_transforms.RandomResizedCrop(224), torchvision_transforms.RandomHorizontalFlip(),
        torchvision_transforms.RandomRotation(15), torchvision_transforms.ColorJitter(brightness=0.2, contrast=0.2),
    ],
    "tv_resize(224) | tv_mirror | tv_rotation(15) | tv_color(0.2, 0.2)": [
        torchvision_transforms.Resize(224), torchvision_transforms.RandomHorizontalFlip(),
        torchvision_transforms.RandomRotation(15), torchvision_transforms.ColorJitter(brightness=0.2, contrast=0.2),
    ],
}  # fmt: skip
CALLS = {  # what torchvision's transforms call, and the numbers that they give it
    "resized_crop": lambda img, top, left, height, width, *_: (top, left, height, width),
    "hflip": lambda img: (),
    "rotate": lambda img, angle, *_: (angle,),
    "adjust_brightness": lambda img, factor: (factor,),
    "adjust_contrast": lambda img, factor: (factor,),
    "adjust_saturation": lambda img, factor: (factor,),
    "adjust_hue": lambda img, factor: (factor,),
}
Calls = list[list[tuple[str, tuple[float, ...]]]]  # per patch: name of a call and its numbers


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Record what torchvision's transforms draw, in place of changing the image."""
    recorded: Calls = []

    def recorder(name: str, numbers: Callable[..., tuple[float, ...]]) -> Callable[..., Any]:
        def record(img: Any, *args: Any, **kwargs: Any) -> Any:
            recorded[-1].append((name, numbers(img, *args)))
            return img

        return record

    def to_tensor(image: Any) -> Tensor:
        recorded.append([])
        return torch.zeros(3, 8, 8, dtype=torch.uint8)

    for name, numbers in CALLS.items():
        monkeypatch.setattr(functional, name, recorder(name, numbers))
    resized = Image.new("RGB", (224, 224))
    monkeypatch.setattr(functional, "resize", lambda *_: resized)
    monkeypatch.setattr(functional, "pil_to_tensor", to_tensor)
    recorded.append([])
    return recorded


def draws_of_ours(spec: str, count: int, calls: Calls) -> Calls:
    """The draws of a spec for `count` patches, in batches of 500 as in training."""
    augment = Augment(spec)
    calls[:] = [[]]
    blank = torch.zeros(500, 3, 128, 128, dtype=torch.uint8)
    for batch in range(count // len(blank)):
        generator = torch.Generator().manual_seed(batch)
        augment.apply(blank, augment.sample_params(len(blank), generator, 128))
    return calls[:count]


def draws_of_torchvision(steps: Sequence[Any], count: int, calls: Calls) -> Calls:
    """The draws of torchvision's own list, from one stream of random numbers."""
    calls[:] = [[]]
    image = Image.new("RGB", (128, 128))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for _ in range(count):
            functional.pil_to_tensor(torchvision_transforms.Compose(steps)(image))
    return calls[:count]


def values(draws: Calls) -> dict[str, np.ndarray]:
    """Area, aspect, position, angle and the four factors of draws."""
    numbers = {
        name: np.array([n for patch in draws for call, n in patch if call == name]) for name in CALLS if name != "hflip"
    }
    result = {name: value[:, 0] for name, value in numbers.items() if value.size and name != "resized_crop"}
    if numbers["resized_crop"].size:
        top, left, height, width = numbers["resized_crop"].T
        result |= {"area": height * width / 128**2, "aspect": np.log(width / height), "top": top, "left": left}
    return result


def check_draws(spec: str, count: int, calls: Calls) -> None:
    ours = list(draws_of_ours(spec, count, calls))
    theirs = list(draws_of_torchvision(STUDY[spec], count, calls))
    assert len(ours) == len(theirs) == count
    values_of_ours, values_of_theirs = values(ours), values(theirs)
    assert values_of_ours.keys() == values_of_theirs.keys()
    for name, value in values_of_ours.items():
        assert ks_2samp(value, values_of_theirs[name]).pvalue > LIKELY, name
    # Flips and the random order of the colour steps: the sequences of calls
    sequences = [[" ".join(call for call, _ in patch) for patch in draws] for draws in (ours, theirs)]
    kinds = sorted({*sequences[0], *sequences[1]})
    table = np.array([[texts.count(kind) for kind in kinds] for texts in sequences])
    assert chi2_contingency(table).pvalue > LIKELY
    assert table.min() > 0 and len(kinds) == 2 * (24 if "adjust_hue" in values_of_ours else 2)


@pytest.mark.parametrize("spec", STUDY)
def test_draws_are_distributed_as_torchvisions(spec: str, calls: Calls) -> None:
    check_draws(spec, 2000, calls)


@pytest.mark.long
@pytest.mark.parametrize("spec", STUDY)
def test_many_draws_are_distributed_as_torchvisions(spec: str, calls: Calls) -> None:
    check_draws(spec, 20_000, calls)


def test_other_distributions_are_told_apart(calls: Calls) -> None:
    """With 2,000 draws the test sees areas that start at .15 instead of .08."""
    theirs = values(
        draws_of_torchvision(
            STUDY["tv_resized_crop(224) | tv_mirror | tv_rotation(15) | tv_color(0.2, 0.2)"], 2000, calls
        )
    )
    ours = values(draws_of_ours("tv_resized_crop(224, 0.15)", 2000, calls))
    assert ks_2samp(ours["area"], theirs["area"]).pvalue < LIKELY


def params_of(augment: Augment, image_B3HW: Tensor, seed: int = 0) -> dict[str, Tensor]:
    return augment.sample_params(len(image_B3HW), torch.Generator().manual_seed(seed), image_B3HW.shape[-1])


def by_torchvision(steps: Sequence[Any], image_3HW: Tensor, seeds: Sequence[int | None]) -> Tensor:
    """One patch under torchvision's list, each step with its own seed."""
    image = Image.fromarray(image_3HW.permute(1, 2, 0).numpy())
    with torch.random.fork_rng(devices=[]):
        for step, seed in zip(steps, seeds, strict=True):
            if seed is not None:
                torch.manual_seed(seed)
            image = step(image)
    tensor: Tensor = torchvision_transforms.ToTensor()(image)
    return tensor


@pytest.mark.parametrize("spec", STUDY)
def test_pixels_are_those_of_torchvision(spec: str, image_B3HW: Tensor) -> None:
    augment = Augment(spec)
    params = params_of(augment, image_B3HW)
    out = augment.apply(image_B3HW, params)
    assert out.shape == (6, 3, 224, 224) and out.dtype == torch.float32
    for row, image_3HW in enumerate(image_B3HW):
        keys = [f"{i}.{step.name}.{SEED}" for i, step in enumerate(augment.steps)]
        seeds = [int(params[key][row]) if key in params else None for key in keys]
        assert torch.equal(out[row], by_torchvision(STUDY[spec], image_3HW, seeds))


@pytest.mark.parametrize(
    ("spec", "steps"),
    [
        ("tv_resize(224)", [torchvision_transforms.Resize(224)]),
        (
            "tv_resize(256, bicubic) | crop(224)",
            [
                torchvision_transforms.Resize(256, torchvision_transforms.InterpolationMode.BICUBIC),
                torchvision_transforms.CenterCrop(224),
            ],
        ),
    ],
)
def test_frames_are_those_of_torchvision(spec: str, steps: Sequence[Any], image_B3HW: Tensor) -> None:
    out = Frame(spec)(image_B3HW)
    assert out.is_contiguous(memory_format=torch.channels_last)
    for row, image_3HW in enumerate(image_B3HW):
        assert torch.equal(out[row], by_torchvision(steps, image_3HW, [None] * len(steps)))
    assert torch.equal(Augment(spec).apply(image_B3HW, {}), out)
    assert torch.equal(Frame(spec)(image_B3HW / 255), out)


def test_a_patch_is_transformed_alike_in_any_batch_and_the_global_generator_is_left_alone(image_B3HW: Tensor) -> None:
    augment = Augment(next(iter(STUDY)))
    params = params_of(augment, image_B3HW)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    batch_out = augment.apply(image_B3HW, params)
    assert torch.equal(torch.rand(1), expected)
    for rows in (slice(0, 1), slice(1, 4), torch.tensor([5, 2])):
        assert torch.equal(augment.apply(image_B3HW[rows], slice_params(params, rows)), batch_out[rows])
    assert not torch.equal(augment.apply(image_B3HW, params_of(augment, image_B3HW, seed=1)), batch_out)


def test_our_steps_follow_on_the_result(image_B3HW: Tensor) -> None:
    augment = Augment("tv_resize(96) | tv_rotation(90) | d4 | noise(0.01) | crop(80)")
    assert (augment.needs_px, augment.output_px(128)) == (128, 80)
    assert augment.apply(image_B3HW, params_of(augment, image_B3HW)).shape == (6, 3, 80, 80)
    assert (Frame("tv_resize(224)").needs_px, Frame("tv_resize(224)").output_px(128)) == (128, 224)
    assert Augment("tv_mirror").output_px(200) == 128
    assert Augment("tv_resize(224)").enumerate_params() == ("", 1)
    assert Augment("tv_resize(224) | tv_mirror").enumerate_params() is None


def test_larger_images_are_cropped_to_the_published_patch(image_B3HW: Tensor) -> None:
    large = torch.nn.functional.pad(image_B3HW, (8, 8, 8, 8))
    assert torch.equal(Frame("tv_resize(224)")(large), Frame("tv_resize(224)")(image_B3HW))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("crop(64) | tv_mirror", "'tv_mirror' cannot come after 'crop'"),
        ("d4 | tv_mirror", "tv_mirror | d4"),
        ("macenko | tv_resize", "tv_resize | macenko"),
        ("tv_resize(64) | crop(96)", r"'crop\(96\)' is larger than the 64 px of torchvision's steps"),
        ("tv_mirror(p=0.3)", "no argument 'p'"),
        ("tv_resize(224, nearest)", "bilinear, bicubic"),
    ],
)
def test_invalid_specs(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Augment(spec)


def test_a_frame_takes_only_the_deterministic_one() -> None:
    with pytest.raises(UserError, match="'tv_mirror' is random") as error:
        Frame("tv_mirror")
    assert "tv_resize" in str(error.value) and "tv_color" not in str(error.value)


def test_small_images_are_an_error() -> None:
    for transform in (
        Frame("tv_resize(224)"),
        lambda image: Augment("tv_mirror").apply(image, {f"0.tv_mirror.{SEED}": image[:, 0, 0, 0]}),
    ):
        with pytest.raises(UserError, match=r"The images are 96 × 100 px; .*needs 128 px"):
            transform(torch.zeros(2, 3, 100, 96))
