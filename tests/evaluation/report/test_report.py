"""The report as HTML and as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from mitotype.core.run_layout.evaluation import PublishedResult
from mitotype.core.schema import NOTICE, NOTICE_LONG
from mitotype.evaluation import evaluate, render_report
from mitotype.evaluation.metrics import metrics_of
from mitotype.evaluation.report import text
from mitotype.evaluation.results import Evaluation
from mitotype.scores import table
from mitotype.scores.table import Scores
from tests.evaluation.conftest import ABOUT


@pytest.fixture(scope="module")
def page(evaluation: Evaluation) -> str:
    return render_report(evaluation)


class Page(HTMLParser):
    """Collects tags and URLs; raises for a tag that is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.urls += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()


def test_report_is_one_self_contained_page(page: str) -> None:
    parsed = Page()
    parsed.feed(page)
    assert not parsed.open and "script" not in parsed.tags and "link" not in parsed.tags
    assert all(a.startswith(("data:image/", "#")) for a in parsed.urls)
    assert "http" not in re.sub(r"http-equiv", "", page) and "url(" not in page and "@import" not in page
    assert page.index(NOTICE) < page.index("<h1>") and NOTICE_LONG in page[page.index("<footer>") :]
    for phrase in (
        "A run",
        "atnorm-br, test",
        "pooled, as MIDOG 2025 counts",
        "mean ± SD over domains",
        "M005",
        "mitotype evaluate runs/a",
    ):
        assert phrase in page, phrase


def test_reasons_for_one_class(small: Scores) -> None:
    only = small.take(part="test", datasets=["amibr"])
    result = evaluate(Scores(only.patches.assign(label=0.0), only.scores), n_boot=150, about=ABOUT)
    page = render_report(result)
    assert "no atypical patch" in page and "Calibration" in page and "–" in text.evaluation_text(result)


def test_report_and_text_have_the_same_numbers(evaluation: Evaluation, page: str) -> None:
    shown = text.evaluation_text(evaluation)
    for entry in evaluation.entries:
        for name in metrics_of("set"):
            value = entry.headline.metrics[name].value
            assert f">{value:.3f}<" in page and f"{value:.3f}".removeprefix("0") in shown
    assert max(map(len, shown.splitlines()[:40])) <= 130 and NOTICE in shown


def test_repeated_report_is_identical(evaluation: Evaluation, page: str) -> None:
    assert render_report(evaluation) == page


def test_text_of_others_is_escaped(small: Scores) -> None:
    nasty = '<script>alert("x")</script> $x$ & co'
    patches = small.patches.assign(domain=small.patches["domain"].replace({"human melanoma": nasty}))
    patches["patch_id"] = patches["patch_id"].str.replace("atnorm-md/t1", "<b>/t1")
    scores = small.scores.assign(patch_id=small.scores["patch_id"].str.replace("atnorm-md/t1", "<b>/t1"))
    renamed = Scores(patches, scores).take(part="test", datasets=["atnorm-md"])
    page = render_report(evaluate(renamed, n_boot=120, about=replace(ABOUT, title=nasty)))
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>/t1" not in page


def test_errors_are_shown_with_images(tmp_path: Path, make_cohort: Callable[..., Scores]) -> None:
    path = tmp_path / "figure.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)).save(path)
    result = evaluate(make_cohort(share=0.05, members=1, images=[path, tmp_path / "gone.png"]), n_boot=120, about=ABOUT)
    page = render_report(result, n_errors=6)
    assert page.count("data:image/png;base64,") > 3 and "image not available" in page
    assert "of 3 votes: atypical" in page and "no votes" in page


def test_published_table_is_in_the_report(make_cohort: Callable[..., Scores]) -> None:
    scores = make_cohort(members=2).take(part="test", datasets=["atnorm-br"])
    best = PublishedResult("The best", 746, 0.7788, 0.871, "ViT-L", "Swin-B", source="A journal")
    evaluation = evaluate(scores, n_boot=120, about=ABOUT)
    result = evaluation.with_published({"atnorm-br": best})
    page, shown = render_report(result), text.evaluation_text(result)
    assert "Published numbers" in page and "0.7788" in page and "746 files, all of them" in page
    assert "Published best: A journal." in page and "shape descriptors" not in page and "The best" in page
    assert "published best .7788 (ViT-L), AUROC .871 (Swin-B)\n" in shown
    with_floor = evaluation.with_published({"atnorm-br": replace(best, floor_single=0.7, floor_source="ours")})
    assert "Baseline: ours;" in render_report(with_floor) and "baseline of shape" in text.evaluation_text(with_floor)
    for name, files in (("atnorm-md", 746), ("atnorm-br", 745)):
        other = evaluation.with_published({name: replace(best, files=files)})
        assert "Published numbers" not in render_report(other)


def test_report_of_a_minimal_csv(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("patch_id,score,label\n" + "".join(f"{i},{i % 10 / 10},{int(i % 3 == 0)}\n" for i in range(60)))
    result = evaluate(table.read(path), n_boot=150, about=ABOUT)
    entry = result.entries[0]
    assert entry.dataset == "bare" and entry.cases == 60 and "have no case" in entry.notes[0]
    assert "bare, test" in render_report(result) and "bare, test: 60 patches" in text.evaluation_text(result)
    path.write_text("patch_id,score,label\na,0.4,1\n")
    alone = evaluate(table.read(path), n_boot=150, about=ABOUT)
    assert "no normal patch" in render_report(alone)
