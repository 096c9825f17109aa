"""The one parser: what it reads, its canonical spelling, and what it refuses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitotype.core import sentence
from mitotype.core.mistakes import Mistake
from mitotype.core.sentence import Step


def test_pipeline() -> None:
    steps = sentence.pipeline("crop(64) | affine(degrees=180, scale=(0.8, 1.25)) | d4")
    assert steps == (Step("crop", (64,)), Step("affine", (), (("degrees", 180), ("scale", (0.8, 1.25)))), Step("d4"))
    assert sentence.pipeline("  ") == ()


def test_weighted_sum() -> None:
    assert sentence.weighted_sum("soft_bce + 0.1 * supcon(0.1)") == (Step("soft_bce"), Step("supcon", (0.1,), (), 0.1))


@pytest.mark.parametrize("text", ["crop(64) | d4", "a(1, 2.5, x=-3) | b((1, 2))", "c(word)"])
def test_written_reads_back(text: str) -> None:
    steps = sentence.pipeline(text)
    assert sentence.pipeline(sentence.written(steps)) == steps


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
    with pytest.raises(Mistake):
        sentence.pipeline(text)


@given(st.text(max_size=80))
def test_anything_is_read_or_refused(text: str) -> None:
    for parse in (sentence.pipeline, sentence.weighted_sum):
        with contextlib.suppress(Mistake):
            parse(text)
