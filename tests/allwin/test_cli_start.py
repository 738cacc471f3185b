"""The front door: help, errors, exit codes, and what starting up may not import."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from allwin.cli import VERBS


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["run", "--help"],
        ["list"],
        ["list", "--json"],
        ["show", "pu/nnpu"],
        ["data"],
        ["data", "check", "mnist5k"],
        ["new", "method", "pu/mine"],
        ["check", "--help"],
        ["completion", "bash"],
    ],
    ids=" ".join,
)
def test_a_verb_that_does_not_compute_imports_nothing_heavy(
    words: list[str], imports_told: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", imports_told, *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []"


def test_allwin_alone_tells_what_it_can_do_and_where_one_is(call: Callable, tmp_path: Path) -> None:
    answer = call()
    assert answer.code == 0
    assert all(f"\n{verb} " in answer.out for verb in VERBS)
    assert "store:     runs (none yet" in answer.out


def test_allwin_alone_names_the_newest_record(call: Callable, tmp_path: Path) -> None:
    spec = {"task": "pu", "method": "nnpu", "dataset": "mnist5k"}
    for name, status, age_s in (("aa/aa1-1", "ok", 100), ("bb/bb2-1", "failed", 0)):
        path = tmp_path / "runs" / "records" / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"spec": spec, "status": status}))
        os.utime(path, (1_700_000_000 - age_s, 1_700_000_000 - age_s))
    assert "runs, 2 records; the newest of 2023-11-1" in call().out
    assert "pu/nnpu on mnist5k, failed" in call().out
    path.write_text("{")
    assert "the newest, bb2-1.json, cannot be read" in call().out


def test_help_lists_the_verbs_without_importing_them(call: Callable) -> None:
    answer = call("--help")
    assert answer.code == 0
    assert all(f"\n  {verb} " in answer.out and summary in answer.out for verb, (_, summary) in VERBS.items())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_exists_and_has_help(verb: str, call: Callable) -> None:
    answer = call(verb, "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: allwin {verb}")
    assert "--debug" in answer.out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["lst"], "allwin: there is no verb lst; did you mean list?; see `allwin --help`"),
        (["show"], "allwin: Missing argument 'NAME'; see `allwin show --help`"),
        (["show", "pu/nnpuu"], "allwin: unknown name: pu/nnpuu; did you mean pu/nnpu or "),
        (["list", "--jsn"], "allwin: No such option '--jsn'. Did you mean '--json'?; see `allwin list --help`"),
        (["--data", "nowhere", "list"], "allwin: Invalid value for '--data': Directory 'nowhere' does not exist"),
        (["list", "--method", "absent.py"], "allwin: --method absent.py: there is no such file; name a Python file"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_mend(words: list[str], line: str, call: Callable) -> None:
    answer = call(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith(line)
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [["--debug", "show", "not-there"], ["show", "not-there", "--debug"], ["data", "check", "not-there", "--debug"]],
)
def test_debug_shows_the_traceback_wherever_it_stands(words: list[str], call: Callable) -> None:
    answer = call(*words)
    assert answer.code == 2
    assert "Traceback (most recent call last)" in answer.err
    assert re.match("allwin: unknown (name|data set): not-there; ", answer.err.splitlines()[-1])


def test_a_defect_is_one_line_and_exit_code_1(call: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_broken_verb.py").write_text(
        "import click\n@click.command()\ndef command():\n    raise ZeroDivisionError('one\\ntwo')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(VERBS, "break", ("a_broken_verb", "Breaks."))
    answer = call("break")
    assert answer.code == 1
    assert answer.err == "allwin: ZeroDivisionError: one two; this is a defect of allwin: --debug shows where\n"
    assert "Traceback" in call("break", "--debug").err


def test_the_data_root_can_be_named_on_any_verb(
    call: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLWIN_DATA", "somewhere-else")
    (tmp_path / "mine").mkdir()
    assert json.loads(call("data", "--json", "--data", "mine").out)["root"] == str(tmp_path / "mine")


def test_an_interrupt_ends_with_130_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(
        "import time\nimport click\n@click.command()\ndef command():\n    click.echo('asleep')\n    time.sleep(60)\n"
    )
    code = "from allwin.cli import VERBS; VERBS['sleep'] = ('sleeper', 'Sleeps.'); "
    code += "from allwin.__main__ import main; main(['sleep'])"
    words = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as running:
        assert running.stdout
        assert running.stderr
        assert running.stdout.readline() == "asleep\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=30) == 130
        assert running.stderr.read().strip() == "allwin: interrupted"


def test_a_reader_that_leaves_early_causes_no_complaint(tmp_path: Path) -> None:
    words = f"{sys.executable} -m allwin list --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")


def completions(typed: str, program: str, folder: Path) -> tuple[list[str], str]:
    """What bash is offered for the last word of a line, and what was imported for it."""
    words = typed.split(" ")
    environment = os.environ | {
        "_ALLWIN_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    *offered, imported = done.stdout.splitlines()
    return [line.partition(",")[2] for line in offered], imported


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("allwin sho", ["show"]),
        ("allwin co", ["compare", "completion"]),
        ("allwin show pu/nn", ["pu/nnpu"]),
        ("allwin check toy/des", ["toy/descent"]),
        ("allwin data check mnist5", ["mnist5k"]),
        ("allwin new method l2", ["l2o"]),
    ],
)
def test_tab_completes_verbs_and_names_without_importing_torch(
    typed: str, offered: list[str], imports_told: str, tmp_path: Path
) -> None:
    assert completions(typed, imports_told, tmp_path) == (offered, "imported: []")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_script(shell: str, call: Callable) -> None:
    answer = call("completion", shell)
    assert answer.code == 0
    assert f"_ALLWIN_COMPLETE={shell}_complete" in answer.out
