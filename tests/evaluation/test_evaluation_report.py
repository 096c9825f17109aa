"""The whole way: evaluation, checks, report and text, on a made-up cohort."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mitotype.core.mistakes import Mistake
from mitotype.core.words import NOTICE, NOTICE_LONG
from mitotype.evaluation import checks, evaluate, judged, report, text
from mitotype.evaluation.metrics import compute
from mitotype.evaluation.published import published
from mitotype.evaluation.record import About, Evaluation
from mitotype.scores import decision, table
from mitotype.scores.decision import Decision
from mitotype.scores.ensemble import mean_logit
from mitotype.scores.table import Scores

ABOUT = About(title="A run", command="mitotype evaluate runs/a", created="2025-01-01")


def fitted(scores: Scores) -> Decision:
    return decision.fit(scores.joined(mean_logit(scores.take(part="out-of-fold"))), abstention="share(0.1)")


@pytest.fixture(scope="module")
def done(small: Scores) -> Evaluation:
    return evaluate(small, fitted(small), draws=300, about=ABOUT)


@pytest.fixture(scope="module")
def page(done: Evaluation) -> str:
    return report(done)


# the numbers


def test_entries_and_variants(done: Evaluation) -> None:
    assert [(e.dataset, e.part) for e in done.entries] == [
        ("amibr", "test"),
        ("atnorm-br", "test"),
        ("atnorm-md", "test"),
        ("amibr", "out-of-fold"),
    ]
    keys = {e.dataset + e.part: [v.key for v in e.variants] for e in done.entries}
    assert keys["amibrtest"] == ["decided", "half", "single"]
    assert keys["atnorm-brtest"] == ["decided", "half", "single", "all_files", "single_all_files"]
    assert keys["amibrout-of-fold"] == ["decided", "half"]


def test_numbers_are_those_of_the_rows(done: Evaluation) -> None:
    for entry in done.entries:
        rows = entry.rows
        given = rows["label"].to_numpy(), (rows["class"] == "atypical").to_numpy(int), rows["probability"].to_numpy()
        for name, interval in entry.headline.metrics.items():
            assert interval.value == compute(name, *given).value
            assert interval.low <= interval.value <= interval.high, (entry.name, name)
        c = entry.confusion
        assert c.tp + c.fn == entry.atypical and c.tp + c.fn + c.fp + c.tn == entry.patches
        assert entry.pooled["overall_balanced_accuracy"] == pytest.approx(
            entry.headline.metrics["balanced_accuracy"].value
        )
        assert sum(d.patches for d in entry.domains) == entry.patches


def test_single_members_are_judged_alone(done: Evaluation, small: Scores) -> None:
    entry = done.entry("amibr")
    single = entry.variant("single") if entry else None
    assert entry is not None and single is not None and single.members == 3
    rows = small.scores[(small.scores["part"] == "test") & (small.scores["view"] == "identity")]
    values = []
    for _, mine in rows.groupby("member"):
        logit = mine.set_index("patch_id")["logit"].reindex(entry.rows["patch_id"]).to_numpy()
        label, called = entry.rows["label"].to_numpy(), (logit >= 0).astype(int)
        values.append(compute("balanced_accuracy", label, called, logit).value)
    assert single.metrics["balanced_accuracy"].value == pytest.approx(np.mean(values))
    assert single.metrics["balanced_accuracy"].sd == pytest.approx(np.std(values))


def test_repeats_count_once_and_all_files_stand_beside(done: Evaluation) -> None:
    entry = done.entry("atnorm-br")
    assert entry is not None and entry.files == entry.all_files.patches == entry.patches + 30 + 7
    assert "30 repeats and 7 files of 2 pictures with conflicting labels" in entry.notes[0]
    assert entry.like_for_like is not None and entry.like_for_like.patches == entry.files


def test_out_of_fold_rows_are_cross_fitted(done: Evaluation, small: Scores) -> None:
    entry = done.entry("amibr", "out-of-fold")
    assert entry is not None
    rows = small.joined(mean_logit(small.take(part="out-of-fold")))
    crossed = decision.cross_fitted(rows, done.decision).set_index("patch_id")["probability"]
    assert np.allclose(crossed.reindex(entry.rows["patch_id"]), entry.rows["probability"])
    assert "cross-fitted" in entry.notes[-1]


def test_json_is_plain_and_holds_no_picture_digests(done: Evaluation) -> None:
    told = done.to_dict()
    again = json.loads(json.dumps(told, allow_nan=False))
    assert again == told and again["made"]["decision"]["digests"] == len(done.decision.digests)
    assert again["entries"][0]["variants"][0]["metrics"]["auroc"]["by"] == "case_id"


def test_the_same_twice(small: Scores, done: Evaluation, page: str) -> None:
    again = evaluate(small, fitted(small), draws=300, about=ABOUT)
    assert again.to_dict() == done.to_dict() and report(again) == page


def test_unlabelled_patches_are_left_out_and_counted(small: Scores) -> None:
    patches = small.patches.copy()
    patches.loc[patches["dataset"] == "atnorm-md", "label"] = np.nan
    hidden = patches.index[patches["dataset"] == "atnorm-br"][-5:]
    patches.loc[hidden, "label"] = np.nan
    found = evaluate(Scores(patches, small.scores), draws=120, about=ABOUT)
    assert found.entry("atnorm-md") is None and any("atnorm-md (test): none of 252" in note for note in found.notes)
    entry = found.entry("atnorm-br")
    assert entry is not None and entry.unlabelled == 5
    with pytest.raises(Mistake, match="No patch of these scores has a label"):
        evaluate(Scores(patches.assign(label=np.nan), small.scores), draws=120)


def test_a_decision_fitted_on_fewer_members_is_told(done: Evaluation) -> None:
    assert any("means of 1 members, and decides rows that are means of 3" in note for note in done.notes)


def test_somebodys_csv_is_judged_as_ours(tmp_path: Path, small: Scores) -> None:
    ours = judged(small.take(part="test"))
    path = tmp_path / "theirs.csv"
    ours[["patch_id", "probability"]].rename(columns={"probability": "score"}).to_csv(path, index=False)
    theirs = evaluate(table.read(path, patches=small.patches), draws=120, about=ABOUT)
    mine = evaluate(small.take(part="test"), draws=120, about=ABOUT)
    for a, b in zip(mine.entries, theirs.entries, strict=True):
        assert a.headline.metrics["auroc"].value == pytest.approx(b.headline.metrics["auroc"].value)
        assert a.confusion == b.confusion
    assert [v.key for v in theirs.entries[0].variants] == ["decided"]


def test_one_class_has_reasons_not_noughts(small: Scores) -> None:
    only = small.take(part="test", datasets=["amibr"])
    only = Scores(only.patches.assign(label=0.0), only.scores)
    found = evaluate(only, draws=150, about=ABOUT)
    metrics = found.entries[0].headline.metrics
    assert math.isnan(metrics["auroc"].value) and metrics["auroc"].reason == "no atypical patch"
    page = report(found)
    assert "no atypical patch" in page and "Calibration" in page and "–" in text.tables(found)


# the checks


def found_by(scores: Scores, made: Decision | None = None, **more: object) -> dict[str, str]:
    evidence = replace(checks.Evidence(scores, made or Decision()), **more)  # type: ignore[arg-type]
    return {f.code: f.text for f in checks.run(evidence) if f.text}


def test_a_clean_cohort_only_warns(small: Scores, done: Evaluation) -> None:
    assert set(found_by(small, done.decision)) <= {"M003", "M005"}
    checks.settle(done.findings)


def test_every_check_has_a_page_and_bites(small: Scores) -> None:
    for code, check in checks.CHECKS.items():
        assert code == check.code and "To mend it:" in check.page and len(check.page) > 150
    patches = small.patches
    test, trained = patches.index[patches["dataset"] == "atnorm-md"], patches.index[patches["dataset"] == "amibr"]

    crossed = patches.copy()
    own = patches.index[patches["patch_id"].str.startswith("amibr/t")]
    crossed.loc[own[0], "case_id"] = crossed.loc[trained[0], "case_id"]
    assert found_by(Scores(crossed, small.scores))["M001"].endswith(f"'amibr: {crossed.loc[trained[0], 'case_id']}'.")

    torn = small.scores.copy()
    first = torn[(torn["part"] == "out-of-fold")].groupby("member")["patch_id"].first()
    torn.loc[torn["patch_id"] == first.iloc[0], "member"] = first.index[1]
    assert "lie in two folds" in found_by(Scores(patches, torn))["M001"]

    same = patches.copy()
    same.loc[test[0], "digest"] = same.loc[trained[0], "digest"]
    assert "test pictures are training pictures" in found_by(Scores(same, small.scores))["M004"]

    seen = Decision(digests=(patches.loc[test[0], "digest"][:16],))
    assert "1 pictures of a test set" in found_by(small, seen)["M002"]

    overlaps = {"amibr": ("atnorm-md", "elsewhere")}
    assert "'amibr' was trained on and shares slides with 'atnorm-md'" in found_by(small, overlaps=overlaps)["M006"]
    assert "M006" not in found_by(small, overlaps=overlaps, held_out=("atnorm-md",))

    turned = Scores(patches, small.scores.assign(logit=-small.scores["logit"]))
    assert "AUROC is 0." in found_by(turned)["M007"]


def test_one_part_is_shown_and_every_part_is_checked(small: Scores, done: Evaluation) -> None:
    shown = evaluate(small, done.decision, part="test", draws=120, about=ABOUT)
    assert [e.part for e in shown.entries] == ["test"] * 3
    same = small.patches.copy()
    same.loc[same.index[-1], "digest"] = same.loc[0, "digest"]
    with pytest.raises(Mistake, match="M004"):
        evaluate(Scores(same, small.scores), part="test", draws=120)


def test_a_leak_stops_the_evaluation(small: Scores) -> None:
    same = small.patches.copy()
    same.loc[same.index[-1], "digest"] = same.loc[0, "digest"]
    with pytest.raises(Mistake, match="M004"):
        evaluate(Scores(same, small.scores), draws=120)


def test_few_positives_are_named(small: Scores) -> None:
    patches = small.patches.copy()
    mine = (patches["dataset"] == "atnorm-md") & (patches["domain"] == "human melanoma")
    patches.loc[mine, "label"] = 0.0
    only = Scores(patches, small.scores).take(part="test", datasets=["atnorm-md"])
    assert "human melanoma (atnorm-md) 0" in found_by(only)["M003"]


# the report


class Page(HTMLParser):
    """Collects tags and addresses; raises where a tag is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()


def test_report_is_one_whole_page(page: str) -> None:
    parsed = Page()
    parsed.feed(page)
    assert not parsed.open and "script" not in parsed.tags and "link" not in parsed.tags
    assert all(a.startswith(("data:image/", "#")) for a in parsed.addresses)
    assert "http" not in re.sub(r"http-equiv", "", page) and "url(" not in page and "@import" not in page
    assert page.index(NOTICE) < page.index("<h1>") and NOTICE_LONG in page[page.index("<footer>") :]
    for words in (
        "A run",
        "atnorm-br, test",
        "pooled, as MIDOG 2025 counts",
        "mean over domains",
        "M005",
        "mitotype evaluate runs/a",
    ):
        assert words in page, words


def test_report_and_text_say_the_same(done: Evaluation, page: str) -> None:
    shown = text.tables(done)
    for entry in done.entries:
        for name in text.SHOWN:
            value = entry.headline.metrics[name].value
            assert f">{value:.3f}<" in page and f"{value:.3f}".removeprefix("0") in shown
    assert max(map(len, shown.splitlines()[:40])) <= 130 and NOTICE in shown


def test_what_others_wrote_is_escaped(small: Scores) -> None:
    nasty = '<script>alert("x")</script> $x$ & co'
    patches = small.patches.assign(domain=small.patches["domain"].replace({"human melanoma": nasty}))
    patches["patch_id"] = patches["patch_id"].str.replace("atnorm-md/t1", "<b>/t1")
    scores = small.scores.assign(patch_id=small.scores["patch_id"].str.replace("atnorm-md/t1", "<b>/t1"))
    renamed = Scores(patches, scores).take(part="test", datasets=["atnorm-md"])
    page = report(evaluate(renamed, draws=120, about=replace(ABOUT, title=nasty)))
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>/t1" not in page


def test_mistakes_are_shown_as_pictures(tmp_path: Path, make_cohort: Callable[..., Scores]) -> None:
    from PIL import Image

    path = tmp_path / "figure.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)).save(path)
    found = evaluate(make_cohort(share=0.05, members=1, pictures=[path, tmp_path / "gone.png"]), draws=120, about=ABOUT)
    page = report(found, worst=6)
    assert page.count("data:image/png;base64,") > 3 and "picture not at hand" in page
    assert "of 3 votes: atypical" in page and "no votes known" in page


def test_published_numbers_are_for_whole_test_sets() -> None:
    assert published("amibr-test", "test", 826) == published("amibr", "test", 826)
    assert published("amibr", "out-of-fold", 826) is None and published("atnorm-br", "test", 709) is None
    found = published("atnorm-br", "test", 746)
    assert found is not None and found.balanced_accuracy == 0.7788


def test_published_table_is_in_the_report(make_cohort: Callable[..., Scores]) -> None:
    whole = make_cohort(members=2).take(part="test", datasets=["atnorm-br"])
    found = evaluate(whole, draws=120, about=ABOUT)
    page = report(found)
    assert "Beside published numbers" in page and "0.7788" in page and "746 files, all of them" in page
    assert "published best .7788 (ViT-L)" in text.tables(found)


def test_the_barest_csv_gives_a_report(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("patch_id,score,label\n" + "".join(f"{i},{i % 10 / 10},{int(i % 3 == 0)}\n" for i in range(60)))
    found = evaluate(table.read(path), draws=150, about=ABOUT)
    entry = found.entries[0]
    assert entry.dataset == "bare" and entry.cases == 60 and "name no case" in entry.notes[0]
    assert "bare, test" in report(found) and "bare, test: 60 patches" in text.tables(found)
    path.write_text("patch_id,score,label\na,0.4,1\n")
    alone = evaluate(table.read(path), draws=150, about=ABOUT)
    assert "no normal patch" in report(alone)
