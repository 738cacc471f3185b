"""Tables and documents: whole lines in a pipe, a fitted table on a terminal, JSON that is JSON."""

import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from allwin.output import one_line, print_json, print_table

LONG = "word " * 60


def test_in_a_pipe_every_row_is_one_aligned_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "n"], [["a", 1], ["bcdefg", 20]], title="Two", right=["n"])
    assert capsys.readouterr().out == "Two\nname     n\n------  --\na        1\nbcdefg  20\n"


def test_in_a_pipe_nothing_is_cut_or_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["text"], [[LONG]])
    assert LONG.strip() in capsys.readouterr().out.splitlines()


def test_a_table_without_rows_shows_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a", "bb"], [])
    assert capsys.readouterr().out == "a  bb\n-  --\n"


def test_a_row_of_the_wrong_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        print_table(["a", "b"], [["only one"]])


def test_line_breaks_and_control_characters_become_blanks() -> None:
    assert one_line("a\nb\x1b[31m\tc\x9b1m") == "a b [31m c 1m"


def on_a_terminal(code: str) -> str:
    """What a program prints on a terminal of 40 columns."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "40", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=theirs, env=environment) as running:
        os.close(theirs)
        pieces = []
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end was closed
                break
            if not piece:
                break
            pieces.append(piece)
        assert running.wait(timeout=30) == 0
    os.close(ours)
    return b"".join(pieces).decode()


def test_on_a_terminal_a_long_cell_is_wrapped_and_brackets_are_no_markup() -> None:
    rows = [["[bold]name[/bold]", LONG]]
    printed = on_a_terminal(f"from allwin.output import print_table; print_table(['name', 'text'], {rows!r})")
    assert printed.count("word") == 60
    assert "[bold]" in printed.replace("\r\n", "").replace(" ", "")
    assert "\x1b" not in printed.replace("\x1b[1m", "").replace("\x1b[0m", "")


@dataclass
class Point:
    x: int
    where: Path


def test_json_holds_dataclasses_and_paths_and_refuses_what_it_cannot_hold(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"point": Point(1, Path("a/b")), "text": "naïve"})
    assert capsys.readouterr().out == '{\n  "point": {\n    "x": 1,\n    "where": "a/b"\n  },\n  "text": "naïve"\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json(float("nan"))
    with pytest.raises(TypeError, match="object has no form in JSON"):
        print_json(object())
