"""Signals become interrupts with what is stored and the command that continues; the outermost block counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mitotype import cli
from mitotype.core.errors import WriteError
from mitotype.core.interrupts import Interrupted, continued_by, held_back, raised_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_raised_with_its_status_and_handlers_are_restored(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stop, raised_signals(), continued_by("b", "2"), continued_by("a", "1"):
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert (stop.value.status, stop.value.command, stop.value.stored) == (128 + number, "b", "2")
    assert signal.getsignal(number) == before


def test_a_second_signal_ends_the_process_at_once() -> None:
    code = (
        "import os, signal, time\nfrom mitotype.core.interrupts import raised_signals\n"
        "with raised_signals():\n    try:\n        os.kill(os.getpid(), signal.SIGINT); time.sleep(5)\n"
        "    finally:\n        os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGTERM


def test_a_signal_that_is_ignored_remains_so() -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with raised_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_a_held_back_signal_arrives_after_the_block_and_not_in_processes_started_inside() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), held_back():
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # a test runner has other threads
        code = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(0.1); print('alive')"
        done.append(subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).stdout)
    assert done == [b"alive\n"]


def test_an_error_of_writing_names_the_command_that_continues() -> None:
    with pytest.raises(WriteError) as error, continued_by("mitotype resume runs/a", ""):
        raise WriteError("The disk is full.", remedy="free some space")
    assert error.value.fix == "free some space, then mitotype resume runs/a"


def test_a_signal_before_the_command_has_begun_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(args: list[str]) -> list[str]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        return args

    monkeypatch.setattr(cli, "rename_options", interrupted)
    with pytest.raises(SystemExit) as end:
        cli.main(["bundles"])
    assert end.value.code == 128 + signal.SIGTERM
    assert "Stopped" in capsys.readouterr().err
