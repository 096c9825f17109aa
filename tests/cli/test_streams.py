"""What commands print: nothing that controls a terminal, a line on an interrupt, no traceback where nobody reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mitotype.cli import main, output
from mitotype.core.text_tables import escape_markdown, markdown, printable

ESCAPE = "a\x1b[31mb\x07\x9b\u202e\udcff\r.png"


def test_control_characters_are_escaped_and_text_is_not() -> None:
    assert printable(ESCAPE) == r"a\x1b[31mb\x07\x9b\u202e\udcff\r.png"
    assert printable("ü µ → 日本\n\t") == "ü µ → 日本\n\t"


def test_tags_and_links_are_escaped_in_markdown() -> None:
    assert escape_markdown("<script>&[x](y)\x1b") == r"&lt;script>&amp;[x]\(y)\x1b"
    assert "| .9 [.8, 1.0] | &lt;b> \\| c |" in markdown(["a", "b"], [[".9 [.8, 1.0]", "<b> | c"]])


@pytest.mark.parametrize("name", [ESCAPE.replace("\udcff", ""), "\x1b]0;title\x07.png"])
def test_names_of_files_do_not_reach_the_terminal_raw(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(SystemExit):
        main(["classify", str(tmp_path / name)])
    output.notes([name])
    output.show(name)
    captured = capsys.readouterr()
    assert not any(character in captured.out + captured.err for character in "\x1b\x07\x9b\u202e\r")


def test_an_interrupt_prints_what_is_stored_and_what_continues(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    for number in (signal.SIGINT, signal.SIGTERM):
        monkeypatch.setattr("mitotype.api.deployment.classify", lambda *a, n=number, **k: os.kill(os.getpid(), n))
        with pytest.raises(SystemExit) as end:
            main(["classify", str(tmp_path / "a.png"), "--out", str(tmp_path / "a.csv")])
        assert end.value.code == 128 + number
        err = capsys.readouterr().err
        assert err.count("Stopped") == 1
        assert "Stopped. No result was written" in err and "continue: repeat the command" in err


def test_an_interrupt_while_arguments_are_read_is_reported_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mitotype.cli.GroupedCommands.invoke", lambda *a: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as end:
        main(["backbones"])
    assert end.value.code == 143
    assert capsys.readouterr().err.count("Stopped.") == 1


@pytest.mark.parametrize("args", [["backbones", "--json"], ["backbones", "uni2-h"], ["--help"]])
def test_a_reader_that_leaves_ends_a_command_quietly(args: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        command = [sys.executable, "-m", "mitotype", *args]
        ended = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr == ""


def test_a_full_standard_output_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as stdout:
        command = [sys.executable, "-m", "mitotype", "backbones", "--json"]
        ended = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("Standard output cannot be written")


def test_an_interrupt_before_the_program_is_loaded_is_one_line() -> None:
    code = (
        "import sys, os, signal\n"
        "class Stop:\n    def find_spec(self, name, *rest):\n"
        "        if name == 'mitotype.cli': os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.meta_path.insert(0, Stop())\nfrom mitotype.__main__ import main\nmain()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.splitlines()[0]) == (143, "Stopped before anything was done.")
