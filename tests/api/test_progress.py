"""One switch shows progress and messages: bars on a terminal, lines elsewhere, nothing where quiet."""

from __future__ import annotations

import logging
import sys

import pytest

from mitotype.api import progress
from mitotype.cli import output
from mitotype.core.run_layout import LogLine

LINES = [LogLine(job=1, jobs=1, member="all-seed0", epoch=epoch, epochs=2, loss=0.5) for epoch in (1, 2)]


@pytest.fixture(autouse=True)
def own_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the logger the handlers and the level that it has without a command."""
    monkeypatch.setattr(progress.LOGGER, "handlers", [])
    monkeypatch.setattr(progress.LOGGER, "level", logging.NOTSET)


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_EVERY_S", 1000.0)
    for is_terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda is_terminal=is_terminal: is_terminal)
        with progress.Progress() as display:
            on_log = display.training()
            on_log(LINES[0])
            assert bool(display._tasks) == is_terminal
            on_log(LINES[1])
            assert not display._tasks
        assert "member 1 of 1 (all-seed0): epoch 2 of 2, loss 0.5000\n" in capsys.readouterr().err
    assert not progress.LOGGER.handlers


def test_members_without_a_loss_are_logged_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Progress() as display:
        for loss in (None, float("nan"), 0.5):
            display.training()(LogLine(cell="a, probe", job=1, jobs=3, member="m", epoch=1, epochs=1, loss=loss))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["member 1 of 3 (a, probe, m): epoch 1 of 1"] * 2 + [
        "member 1 of 3 (a, probe, m): epoch 1 of 1, loss 0.5000"
    ]


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Progress(quiet=True) as display:
        display.training()(LINES[1])
        progress.log_notes(["a remark"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("quiet", [False, True])
def test_a_command_prints_the_notice_and_errors_and_unless_quiet_the_messages(
    quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    output.notice(quiet=quiet)
    progress.log_notes(["a\x1b remark"])
    output.error("an error")
    err = capsys.readouterr().err
    assert "For Research Use Only" in err and "an error\n" in err
    assert ("note: a\\x1b remark\n" in err) == (not quiet)
