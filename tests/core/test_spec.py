"""The parser of specs: steps, canonical spelling, refusals."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitotype.core import spec
from mitotype.core.errors import UserError
from mitotype.core.spec import Step


def test_pipeline() -> None:
    steps = spec.pipeline("crop(64) | affine(degrees=180, scale=(0.8, 1.25)) | d4")
    assert steps == (Step("crop", (64,)), Step("affine", (), (("degrees", 180), ("scale", (0.8, 1.25)))), Step("d4"))
    assert spec.pipeline("  ") == ()


def test_weighted_sum() -> None:
    assert spec.weighted_sum("soft_bce + 0.1 * supcon(0.1)") == (Step("soft_bce"), Step("supcon", (0.1,), (), 0.1))


@pytest.mark.parametrize("text", ["crop(64) | d4", "a(1, 2.5, x=-3) | b((1, 2))", "c(word)"])
def test_the_canonical_spelling_parses_to_the_same_steps(text: str) -> None:
    steps = spec.pipeline(text)
    assert spec.pipeline(spec.canonical(steps)) == steps


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10_000,
        "__import__('os').system('true')",
        "a.b(1)",
        "open('/etc/passwd')",
        "a('word')",
        "a(b(1))",
        "a(**c)",
        "a(1e999)",
        "a(((1, 2), 3))",
        "a(True)",
        "a |",
        "a(lambda: 1)",
        "[1, 2]",
        "a; b",
        "a(1) | " * 60 + "a",
        "(" * 200,
        "\x00",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(UserError):
        spec.pipeline(text)


@given(st.text(max_size=80))
def test_any_text_parses_or_is_refused(text: str) -> None:
    for parse in (spec.pipeline, spec.weighted_sum):
        with contextlib.suppress(UserError):
            parse(text)
