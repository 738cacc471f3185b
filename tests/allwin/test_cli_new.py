"""`allwin new` writes one file that works, and `allwin check` says so."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allwin.commands.new import fill
from bench.errors import UserError

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the tree, so that the real one stays as it is."""
    for room in ("allwin", "bench", "tasks", "methods"):
        shutil.copytree(ROOT / room, tmp_path / "copy" / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "copy")
    return tmp_path / "copy"


def allwin(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "allwin", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def states(document: dict[str, Any]) -> dict[str, str]:
    """The rules that were not simply kept."""
    return {rule["rule"]: rule["state"] for rule in document["checked"][0]["rules"] if rule["state"] != "pass"}


@pytest.mark.parametrize("task", ["pu", "l2o", "nas", "segmentation", "syn2real"])
def test_in_a_checkout_a_new_method_is_one_file_that_keeps_every_rule(task: str, checkout: Path) -> None:
    before = files(checkout)
    wrote = allwin(checkout, "new", "method", f"{task}/my-idea")
    assert wrote.returncode == 0, wrote.stderr
    assert wrote.stdout.splitlines()[:2] == [f"wrote methods/{task}/my_idea.py", f"allwin check {task}/my-idea"]
    assert files(checkout) - before == {checkout / "methods" / task / "my_idea.py"}
    checked = allwin(checkout, "check", f"{task}/my-idea", "--json")
    # The template of l2o learns nothing, so it has no steps to resume.
    not_passed = {"resumes": "skip"} if task == "l2o" else {}
    assert (checked.returncode, states(json.loads(checked.stdout))) == (0, not_passed)


@pytest.mark.parametrize("task", ["pu", "l2o", "nas", "segmentation", "syn2real"])
def test_every_template_makes_a_short_method_of_the_given_name(task: str, call: Callable, tmp_path: Path) -> None:
    assert call("new", "method", f"{task}/my-idea").code == 0
    text = (tmp_path / "my_idea.py").read_text()
    assert len(text.splitlines()) < 40
    assert "class MyIdea:" in text


def test_outside_a_checkout_the_file_is_written_here_and_used_by_path(call: Callable, tmp_path: Path) -> None:
    answer = call("new", "method", "pu/my_own")
    assert answer.code == 0
    assert answer.out.splitlines() == [
        "wrote my_own.py",
        "allwin check pu/my-own --method ./my_own.py",
        "allwin run pu --methods my-own --method ./my_own.py",
    ]
    assert files(tmp_path) == {tmp_path / "my_own.py"}


def test_a_file_that_exists_is_left_alone(call: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("precious")
    answer = call("new", "method", "pu/mine")
    assert answer.code == 2
    assert answer.err == f"allwin: {tmp_path / 'mine.py'} exists already; choose another name, or remove it\n"
    assert (tmp_path / "mine.py").read_text() == "precious"


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("pu/nnpu", "pu/nnpu exists already, in "),
        ("pu", "pu: a method's name has small letters, digits and hyphens; write pu/my-method"),
        ("pu/Mine", "pu/Mine: a method's name has small letters, digits and hyphens; write pu/my-method"),
        ("pu/../mine", "pu/../mine: a method's name has small letters, digits and hyphens; write pu/my-method"),
        ("pv/mine", "unknown task: pv; did you mean pu?"),
        ("toy/mine", "task toy has no template.py.txt beside "),
        ("pu/batches", "a method batches would be a class Batches, a name that is taken; choose another"),
        ("pu/none", "a method none would be a class None, a name that is taken; choose another"),
    ],
)
def test_a_name_that_will_not_do_is_refused_in_one_line(title: str, line: str, call: Callable, tmp_path: Path) -> None:
    answer = call("new", "method", title)
    assert answer.code == 2
    assert answer.err.startswith(f"allwin: {line}")
    assert answer.err.count("\n") == 1
    assert files(tmp_path) == set()


def test_a_template_is_filled_with_both_forms_of_the_name() -> None:
    assert fill("$name $class_name", "two-words") == "two-words TwoWords"
    with pytest.raises(UserError, match="class Count, a name that is taken"):
        fill("from bench import Count", "count")


# allwin check ---------------------------------------------------------------------------------------------------------


def test_check_of_a_task_covers_it_and_all_methods_that_stand_alone(call: Callable, plug_in: Callable) -> None:
    task = (ROOT / "tests" / "toys" / "allwin_toy" / "task.py").read_text()
    methods = {
        name: (ROOT / "tests" / "toys" / "allwin_toy" / f"{name}.py")
        .read_text()
        .replace('@method("toy"', '@method("small"')
        .replace("allwin_toy.task", "plugged.small")
        for name in ("sample_mean", "not_a_number", "shrunk")
    }
    plug_in(
        {"small": task, **methods},
        "[allwin.tasks]\nsmall = plugged.small\n[allwin.methods]\nmean = plugged.sample_mean\n"
        "nan = plugged.not_a_number\naround = plugged.shrunk\n",
    )
    answer = call("check", "small", "--json")
    document = json.loads(answer.out)
    assert answer.code == 1
    assert document["passed"] is False
    assert document["checked"][0]["entry"] == "small"
    assert {item["entry"] for item in document["checked"]} == {"small", "small/mean", "small/nan"}
    failures = [
        (item["entry"], r["rule"]) for item in document["checked"] for r in item["rules"] if r["state"] == "fail"
    ]
    assert failures == [("small/nan", "metrics")]


def test_check_prints_every_rule_and_the_likeliest_cause(call: Callable) -> None:
    answer = call("check", "toy/not-a-number")
    assert answer.code == 1
    assert "fail  metrics " in answer.out
    assert "toy/not-a-number: metrics is not kept; likeliest cause: a diverged fit" in answer.out
    assert "toy/not-a-number: 16 rules kept, 1 not kept, 3 skipped" in answer.out


def test_check_takes_a_method_around_another(call: Callable) -> None:
    document = json.loads(call("check", "toy/shrunk(descent)", "--json").out)
    assert (document["passed"], document["checked"][0]["entry"]) == (True, "toy/shrunk(descent)")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "check needs a TASK/METHOD, a TASK, or --method FILE"),
        (["nnpu"], "nnpu is a method; write pu/nnpu"),
        (["pu/nnpuu"], "unknown method of pu: nnpuu; did you mean nnpu"),
        (["puu"], "unknown task or method: puu; did you mean pu"),
        (["toy/shrunk"], "toy/shrunk wraps another method; write shrunk(METHOD)"),
        (["toy/descent(raises)"], "toy/descent wraps no other method; write descent alone"),
        (["toy/descent", "--dataset", "nrmal"], "unknown data set of toy: nrmal; did you mean normal"),
        (["toy/descent", "--dataset", "absent"], "toy/descent: no data set of toy is here"),
    ],
)
def test_check_of_what_does_not_exist_is_one_line(words: list[str], line: str, call: Callable) -> None:
    answer = call("check", *words)
    assert answer.code == 2
    assert answer.err.startswith(f"allwin: {line}")
    assert answer.err.count("\n") == 1
