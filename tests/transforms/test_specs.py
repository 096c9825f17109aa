"""Specs of frames and augments: canonical spelling, sizes and error messages."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotype.core import images
from mitotype.core.arguments import arguments_of
from mitotype.core.errors import UserError
from mitotype.transforms import Augment, Frame, transforms

LONG = (
    "affine(degrees=180, scale=0.15, shift=2) | elastic(3, 12) | fisheye(0.2) | d4 | stain(0.1) | blur(1.0, p=0.5) "
    "| noise(0.02) | crop(64)"
)


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, mitotype.transforms; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_canonical_spec() -> None:
    assert Frame("crop(px=64)").spec == Frame(" crop( 64 ) ").spec == Frame("crop").spec == "crop(64)"
    assert Augment(LONG).spec == (
        "affine(degrees=180, scale=0.15, stretch=0.1, shift=2) | elastic(amplitude=3, spacing=12) | fisheye(0.2) | d4 "
        "| stain(strength=0.1, offset=0.05, gain=0.2) | blur(1, p=0.5) | noise(0.02) | crop(64)"
    )
    assert repr(Frame("macenko|crop(64)")) == "Frame('macenko | crop(64)')"


@st.composite
def specs(draw: st.DrawFn) -> str:
    """Valid specs: some warps, some pixel steps with arguments of any allowed value, a crop."""
    kinds = {
        kind: [n for n in transforms if transforms.get(n).kind == kind and n not in ("elastic", "fourier")]
        for kind in ("warp", "pixel")
    }
    steps = []
    for kind in ("warp", "pixel"):
        for name in draw(st.lists(st.sampled_from(kinds[kind]), max_size=2)):
            options = [
                f"{a.name}={draw(st.floats(a.low, a.high))!r}"
                for a in arguments_of(transforms.get(name))
                if draw(st.booleans())
            ]
            steps.append(f"{name}({', '.join(options)})" if options else name)
    return " | ".join([*steps, f"crop({draw(st.integers(8, 100))})"])


@settings(max_examples=40, deadline=None)
@given(specs())
def test_the_canonical_spec_is_its_own(text: str) -> None:
    once = Augment(text).spec
    assert Augment(once).spec == once


def test_every_transform_in_one_spec_is_short_enough() -> None:
    # Stain normalisation and torchvision's steps are in no spec with all the others.
    order = {"warp": 0, "pixel": 1, "crop": 2}
    names = sorted(
        (n for n in transforms if transforms.get(n).kind in order), key=lambda n: order[transforms.get(n).kind]
    )
    assert len(Augment(" | ".join(names)).spec) <= 500


def test_sizes() -> None:
    assert (Frame("crop(60)").needs_px, Frame("crop(60)").output_px(128)) == (60, 60)
    assert (Frame("").needs_px, Frame("").output_px(96)) == (1, 96)
    assert (Augment(LONG).needs_px, Augment(LONG).output_px(128)) == (64, 64)
    assert Frame("")(torch.zeros(2, 3, 50, 41)).shape == (2, 3, 41, 41)


@pytest.mark.parametrize(("height", "width", "crop_px"), [(128, 128, 64), (129, 100, 64), (65, 70, 33), (64, 64, 64)])
def test_the_crop_is_centred_as_the_published_patches_are(height: int, width: int, crop_px: int) -> None:
    image_B3HW = torch.randint(0, 256, (1, 3, height, width)).byte()
    expected = images.center_crop(image_B3HW[0].permute(1, 2, 0).numpy(), crop_px)
    out = Frame(f"crop({crop_px})")(image_B3HW)
    assert torch.equal(out, torch.from_numpy(expected.copy()).permute(2, 0, 1)[None] / 255)
    assert torch.equal(out, Augment(f"crop({crop_px})").apply(image_B3HW, {}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("afine | crop(64)", "No transform is called 'afine'. Nearest: affine"),
        ("crop(64) | d4", "'d4' cannot come after 'crop'"),
        ("crop(64) | d4", "d4 | crop"),
        ("noise | affine | crop(64)", "affine | noise | crop"),
        ("d4 | macenko | crop(64)", "macenko | d4 | crop"),
        ("crop(64) | crop(32)", "2 crops"),
        ("noise(0.9) | crop(64)", "level of noise is 0.9."),
        ("noise(0.9) | crop(64)", "0 to 0.5 of full scale"),
        ("noise(-0.1) | crop(64)", "level of noise is -0.1"),
        ("noise(0.1, 0.2) | crop(64)", "takes 1"),
        ("noise(levl=0.1) | crop(64)", "no argument 'levl'. Nearest: level"),
        ("noise(0.1, level=0.1) | crop(64)", "gives level twice"),
        ("noise(loud) | crop(64)", "is a number, not 'loud'"),
        ("noise((1, 2)) | crop(64)", "is a number"),
        ("blur(1, p=1.5) | crop(64)", "p of blur is 1.5"),
        ("crop(64.5)", "whole numbers"),
        ("crop(4)", "8 to 1024 px"),
        ("crop(64, p=0.5)", "no argument 'p'"),
        ("macenko(p=0.5) | crop(64)", "no argument 'p'"),
        ("d4(1) | crop(64)", "takes none"),
        ("elastic(9, 12) | crop(64)", "would fold"),
        ("__import__('os').system('x')", "is not a step"),
        ("crop(64", "is not a spec"),
        (" | ".join(["d4"] * 200), "characters"),
    ],
)
def test_invalid_augments(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        Augment(text)
    assert message in str(error.value)


def test_errors_are_raised_together() -> None:
    with pytest.raises(UserError) as error:
        Augment("afine | noise(7) | crop(64)")
    assert "2 errors" in str(error.value) and "afine" in str(error.value) and "noise" in str(error.value)


def test_a_frame_has_no_random_steps() -> None:
    with pytest.raises(UserError, match="'stain' is random") as error:
        Frame("stain(0.1) | crop(64)")
    assert "macenko" in str(error.value) and "fisheye" in str(error.value)
    with pytest.raises(UserError, match="no argument 'p'"):
        Frame("fisheye(0.2, p=0.5) | crop(64)")


def test_a_spec_that_is_too_long_when_written_out() -> None:
    with pytest.raises(UserError, match="every argument written out"):
        Augment(" | ".join(["affine"] * 15))


def test_images_of_the_wrong_size_shape_or_dtype() -> None:
    with pytest.raises(UserError, match=r"60 × 70 px; crop\(64\) needs 64 px \(16 µm\)"):
        Frame("crop(64)")(torch.zeros(1, 3, 70, 60))
    with pytest.raises(UserError, match="needs 64 px"):
        Augment("d4 | crop(64)").apply(torch.zeros(1, 3, 70, 60), {})
    with pytest.raises(UserError, match="needs 64 px"):
        Augment("fourier | crop(64)", bank_K3HW=torch.zeros(1, 3, 70, 60))
    with pytest.raises(ValueError, match="B, 3, H, W"):
        Frame("crop(64)")(torch.zeros(1, 1, 70, 70))
    with pytest.raises(ValueError, match="uint8"):
        Frame("crop(64)")(torch.zeros(1, 3, 70, 70, dtype=torch.int64))


def test_the_old_name_of_color_still_works() -> None:
    with pytest.warns(FutureWarning, match="'colour' is called 'color' now"):
        assert Augment("colour(hue=0) | crop(64)").spec == Augment("color(hue=0) | crop(64)").spec
    assert "colour" not in transforms.names()
