"""The demo runs every step once, and a second time only what is not done."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from mitotype.api import demo, training
from mitotype.cli import main

SETTINGS = ["folds=2", "epochs=1", "batch=16", "ood_flag=0"]


@pytest.mark.usefixtures("one_thread")
def test_every_step_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "PATCHES", 60)
    monkeypatch.setattr(demo, "CASES", 20)
    monkeypatch.setattr(demo, "train", partial(training.train, settings=SETTINGS, device="cpu"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["demo", "--out", "here", "--quiet"])
    assert end.value.code == 0
    captured = capsys.readouterr()
    assert "synthetic, test" in captured.out and "Open here/run/report.html in a browser" in captured.out
    assert len(captured.err.splitlines()) == 1  # the notice
    assert (tmp_path / "here" / "answers.csv").is_file() and json.loads(
        (tmp_path / "here" / "answers.json").read_text()
    )
    monkeypatch.setattr(demo, "train", lambda *args, **options: pytest.fail("it is trained again"))
    with pytest.raises(SystemExit) as end:
        main(["demo", "--out", "here"])
    assert end.value.code == 0
    err = capsys.readouterr().err
    assert "is finished; next:" in err and "figures:" in err
