"""What a user gets wrong is one line that names the mend, exit code 2, and nothing is lost."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Allwin = Callable[..., subprocess.CompletedProcess[str]]

GOOD = "title: t\nbudget: smoke\nseeds: 1\nstages: [fit, evaluate]\ngrid:\n  - task: toy\n    methods: [sample-mean]\n"


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        (["run", "nosuite"], "unknown suite or task: nosuite"),
        (["run", "quik"], "did you mean quick"),
        (["run", "smoke", "--methods", "nnpuu"], "did you mean nnpu"),
        (["run", "smoke", "--tasks", "pv"], "did you mean pu"),
        (["run", "pu", "--datasets", "mnist5"], "did you mean mnist5k"),
        (["run", "pu", "--set", "nnpu.bta=0"], "did you mean beta"),
        (["run", "pu", "--set", "nnpu.beta=-1"], "beta must be at least 0.0, got -1; set it with --set nnpu.beta=0.0"),
        (["run", "pu", "--set", "nnpu.epochs=ten"], "epochs must be a whole number, got 'ten'"),
        (["run", "pu", "--seeds", "0"], "x>=1"),
        (["run", "absent.yaml"], "there is no such file"),
        (["run", "pu", "--method", "absent.py"], "there is no such file"),
        (["run", "pu", "--engine", "inlin"], "'inlin' is not one of 'ray', 'inline'"),
        (["run", "pu", "--pdb"], "--pdb needs --engine inline"),
        (["show", "nnpuu"], "did you mean"),
        (["report", "--store", "absent"], "no records there; `allwin run SUITE --store absent` makes some"),
        (["status", "--store", "absent"], "no records there"),
        (["compare", "nnpu", "upu", "--store", "absent"], "no records there"),
        (["resume", "--store", "absent"], "no run to go on with"),
        (["rum", "quick"], "did you mean run"),
        (["data", "check", "mnst"], "did you mean"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_one_line_that_names_the_mend(
    allwin: Allwin, tmp_path: Path, words: list[str], mend: str
) -> None:
    done = allwin(*words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert mend in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("title: [", "grid.yaml: line 1, column 9:"),
        ("title: t\ntitle: u\n", "the key title stands twice"),
        (GOOD + "seed: 3\n", "unknown key: seed; did you mean seeds"),
        (GOOD.replace("methods", "method"), "unknown key: method; did you mean methods"),
        (GOOD.replace("smoke", "smok"), "unknown word: smok; did you mean smoke"),
        (GOOD.replace("sample-mean", "{sample-mean: {lr: 1}}"), "unknown setting of toy/sample-mean: lr"),
        ("", "a suite is a mapping"),
        ("- a\n- b\n", "a suite is a mapping"),
        ("title: !!python/object/apply:os.system ['touch pwned']\n", "has no meaning here"),
    ],
)
def test_a_wrong_suite_file_is_one_line_that_says_where(allwin: Allwin, tmp_path: Path, text: str, mend: str) -> None:
    (tmp_path / "grid.yaml").write_text(text)
    done = allwin("run", "grid.yaml", "--engine", "inline")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert mend in done.stderr
    assert not (tmp_path / "pwned").exists()


def test_an_unreadable_record_is_kept_told_and_its_trial_run_again(allwin: Allwin, tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GOOD)
    words = ("run", "grid.yaml", "--store", "s", "--engine", "inline", "--json")
    assert allwin(*words).returncode == 0
    (record,) = (tmp_path / "s" / "records").glob("*/*.json")
    whole = record.read_text()
    record.write_text(whole[: len(whole) // 2])
    status = json.loads(allwin("status", "--store", "s", "--json").stdout)
    assert status["set_aside"] == [record.name]
    assert (tmp_path / "s" / "set-aside" / record.name).read_text() == whole[: len(whole) // 2]
    again = allwin(*words)
    assert (again.returncode, json.loads(again.stdout)["reused"]) == (0, 0)
    assert json.loads(record.read_text())["metrics"] == json.loads(whole)["metrics"]


def test_a_method_that_cannot_be_imported_fails_its_trials_and_no_other(allwin: Allwin, tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GOOD.replace("[sample-mean]", "[sample-mean, mine]"))
    (tmp_path / "mine.py").write_text(
        "import package_that_nobody_has\nfrom dataclasses import dataclass\nfrom bench import method\n\n\n"
        '@method("toy")\n@dataclass(frozen=True)\nclass Mine:\n    """Mine."""\n    presets = {}\n\n'
        "    def fit(self, problem, run):\n        return None\n"
    )
    done = allwin("run", "grid.yaml", "--method", "mine.py", "--store", "s", "--engine", "inline", "--json")
    (failure,) = json.loads(done.stdout)["failures"]
    assert (done.returncode, failure["method"], failure["cause"]) == (1, "mine", "missing-dependency")


def test_every_verb_that_prints_a_table_prints_one_json_document(allwin: Allwin, tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GOOD.replace("[sample-mean]", "[sample-mean, descent]"))
    run = allwin("run", "grid.yaml", "--store", "s", "--engine", "inline", "--json")
    verbs = [
        ["list"],
        ["show", "toy"],
        ["data"],
        ["plan", "grid.yaml", "--store", "s"],
        ["explain", "grid.yaml", "--store", "s"],
        ["status", "--store", "s"],
        ["report", "--store", "s"],
        ["compare", "descent", "sample-mean", "--store", "s"],
    ]
    for words in verbs:
        done = allwin(*words, "--json")
        assert done.returncode == 0, (words, done.stderr)
        json.loads(done.stdout)
    assert json.loads(run.stdout)["ok"] == 2
