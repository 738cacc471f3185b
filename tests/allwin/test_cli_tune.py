"""`allwin tune`, end to end: equal candidates, honest choice, typed failures, a result that a run takes."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]
Allwin = Callable[..., subprocess.CompletedProcess[str]]

TOYS = Path(__file__).resolve().parent.parent / "toys" / "allwin_toy"

MOODY = '''"""Fails in as many ways as it has moods."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from allwin_toy.task import Guess, ToyProblem
from bench import Presets, Run, Search, method


@method("toy")
@dataclass(frozen=True)
class Moody:
    """Fails in as many ways as it has moods."""

    mood: Literal["good", "raises", "nan", "exits", "hangs"] = "good"

    presets: ClassVar[Presets] = {}
    search: ClassVar[Search] = {"mood": '["raises", "nan", "exits", "hangs"]'}

    def fit(self, problem: ToyProblem, run: Run) -> Guess:
        import os
        import time

        for _ in run.steps(9, {}):
            pass
        if self.mood == "raises":
            raise RuntimeError("the paper forgot a term")
        if self.mood == "exits":
            os._exit(3)
        if self.mood == "hangs":
            time.sleep(987_654)
        return Guess(problem.draws.mean() * (float("nan") if self.mood == "nan" else 1.0))
'''


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tune", "pv"], "unknown task: pv; did you mean pu"),
        (["tune", "pu/nnpuu"], "unknown method of pu: nnpuu; did you mean nnpu"),
        (["tune", "pu/nnpu", "--methods", "upu"], "pu/nnpu and --methods both name methods"),
        (["tune", "pu", "--datasets", "mnst"], "unknown data set: mnst"),
        (["tune", "toy", "--methods", "descent", "--datasets", "absent"], "absent is not under ALLWIN_DATA"),
        (["tune", "l2o/ista"], "l2o/ista does not say where to search; add --space ista.FIELD=SPEC"),
        (["tune", "toy/shrunk"], "toy/shrunk wraps another method; write shrunk(METHOD)"),
        (
            ["tune", "toy", "--methods", "shrunk(descent)"],
            "toy/shrunk wraps another method; tune that one, toy/descent",
        ),
        (["tune", "pu/nnpu", "--space", "nnpu.epochs=int(1,9)"], "pu/nnpu: epochs is a count, which sets the budget"),
        (["tune", "pu/nnpu", "--space", "nnpu.lr=log(0,1)"], "pu/nnpu: lr=log(0,1) is no range"),
        (["tune", "pu/nnpu", "--space", "upuu.lr=log(1e-5,1)"], "unknown method in --space: upuu"),
        (["tune", "pu/nnpu", "--space", "lr=log(1e-5,1)"], "write it as --space METHOD.FIELD=SPEC"),
        (["tune", "pu/nnpu", "--trials", "1"], "x>=2"),
        (["tune", "pu/nnpu", "--workers", "4096"], "4096 workers need as many cores"),
        (["plan", "pu", "--preset", "absent.json"], "--preset absent.json: cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_one_line_that_names_the_mend(call: Call, tmp_path: Path, words: list[str], told: str) -> None:
    answer = call(*words)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer.err
    assert told in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_task_that_cannot_judge_without_test_data_is_not_tuned_on(call: Call, plug_in: Call) -> None:
    text = (TOYS / "task.py").read_text()
    plug_in(
        {"blind": text.replace("def validate", "def judge"), "method": (TOYS / "descent.py").read_text()},
        "[allwin.tasks]\nblind = plugged.blind\n",
    )
    answer = call("tune", "blind")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "blind: it has no `validate`" in answer.err


@pytest.fixture(scope="module")
def searched() -> Iterator[dict[str, Any]]:
    """One search with ASHA and one without, of equal seed, in an empty home."""
    # Not below pytest's own folder: the names of Ray's sockets would be too long.
    with tempfile.TemporaryDirectory() as folder:
        yield _searched(Path(folder))


def _searched(folder: Path) -> dict[str, Any]:
    environment = os.environ | {"HOME": str(folder), "TMPDIR": str(folder)}
    found: dict[str, Any] = {"folder": folder}
    for scheduler in ("asha", "none"):
        words = ["pu/nnpu", "--budget", "smoke", "--trials", "8", "--workers", "1", "--scheduler", scheduler]
        space = ["--space", "nnpu.lr=log(1e-5,1e-2)"]
        done = subprocess.run(
            [sys.executable, "-m", "allwin", "tune", *words, *space, "--json"],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=folder,
            env=environment,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        (found[scheduler],) = json.loads(done.stdout)["tunings"]
    return found


def test_equal_seeds_give_equal_candidates_and_rungs_change_no_score(searched: dict[str, Any]) -> None:
    asha, none = searched["asha"]["candidates"], searched["none"]["candidates"]
    assert [c["parameters"] for c in asha] == [c["parameters"] for c in none]
    assert len({c["parameters"]["lr"] for c in asha}) == 8
    assert [c["status"] for c in none] == ["full"] * 8
    climbed = [(c, whole) for c, whole in zip(asha, none, strict=True) if c["status"] == "full"]
    assert 1 < len(climbed) < 8
    # To the bit: a candidate that climbed is one that was fitted in one go.
    assert all(c["rungs"][-1] == whole["rungs"][-1] for c, whole in climbed)
    assert [rung["ninths"] for rung in climbed[0][0]["rungs"]] == [1, 3, 9]
    # A rung is a shorter fit, and goes on from the one before: together they cost what one fit does.
    assert len({rung["validation"] for rung in climbed[0][0]["rungs"]}) > 1
    assert all(c["macs"] == pytest.approx(whole["macs"]) for c, whole in climbed)
    cheap = [(c, whole) for c, whole in zip(asha, none, strict=True) if len(c["rungs"]) == 1]
    # 3 epochs of 13 steps: a ninth of them is 4.3, so 5 steps.
    assert all(c["macs"] == pytest.approx(whole["macs"] * 5 / 39) for c, whole in cheap)


def test_the_choice_is_the_best_in_full_and_no_worse_than_the_method_as_it_is(searched: dict[str, Any]) -> None:
    for tuning in (searched["asha"], searched["none"]):
        first = tuning["candidates"][0]
        assert (first["parameters"], first["status"]) == ({"lr": 5e-4}, "full")
        full = [c for c in tuning["candidates"] if c["status"] == "full"]
        lowest = min(full, key=lambda c: c["rungs"][-1]["validation"])
        assert tuning["chosen"] == lowest["parameters"]
        assert tuning["chosen_validation"] == lowest["rungs"][-1]["validation"] <= tuning["default_validation"]
        assert 0 < tuning["work_s"] < tuning["wall_s"]


def test_the_result_is_all_that_is_left(searched: dict[str, Any]) -> None:
    folder = searched["folder"]
    ours = [path for path in folder.rglob("*") if not {"ray", ".ray"} & set(path.parts)]
    files = {path.relative_to(folder) for path in ours if path.is_file()}
    assert files == {Path(searched[scheduler]["file"]) for scheduler in ("asha", "none")}


def test_a_run_takes_the_result_as_a_preset_and_what_is_set_goes_before_it(
    searched: dict[str, Any], call: Call
) -> None:
    file = str(searched["folder"] / searched["asha"]["file"])
    words = ("plan", "pu", "--methods", "nnpu,upu", "--seeds", "1", "--json")

    def planned(*more: str) -> dict[str, Any]:
        cells = json.loads(call(*words, *more).out)["cells"]
        return next(cell["parameters"] for cell in cells if cell["method"] == "nnpu")

    as_it_is = planned()
    assert planned("--preset", file) == as_it_is | searched["asha"]["chosen"]
    assert planned("--preset", file, "--set", "nnpu.lr=0.25") == as_it_is | {"lr": 0.25}


def test_every_way_to_fail_is_a_candidate_with_its_cause_and_the_others_go_on(allwin: Allwin, tmp_path: Path) -> None:
    (tmp_path / "moody.py").write_text(MOODY)
    words = ("toy/moody", "--method", "moody.py", "--budget", "smoke", "--trials", "5", "--scheduler", "none")
    # With this seed each mood comes once, after the first candidate's.
    done = allwin("tune", *words, "--seed", "1006", "--time-limit", "2", "--json")
    assert done.returncode == 0, done.stderr
    (tuning,) = json.loads(done.stdout)["tunings"]
    outcomes = {(c["parameters"]["mood"], c["status"], c["cause"]) for c in tuning["candidates"]}
    assert outcomes == {
        ("good", "full", None),
        ("raises", "failed", "error"),
        ("nan", "failed", "nan"),
        ("exits", "failed", "crash"),
        ("hangs", "failed", "timeout"),
    }
    messages = {c["parameters"]["mood"]: c["message"] for c in tuning["candidates"]}
    assert messages["raises"] == "RuntimeError: the paper forgot a term"
    assert "killed after 2 s, its time limit" in messages["hangs"]
    assert tuning["chosen"] == {"mood": "good"}


def test_a_search_whose_candidates_all_fail_says_so_and_exits_with_one(allwin: Allwin, tmp_path: Path) -> None:
    (tmp_path / "moody.py").write_text(MOODY.replace('= "good"', '= "raises"'))
    space = 'moody.mood=["raises"]'
    words = ("toy/moody", "--method", "moody.py", "--budget", "smoke", "--trials", "2", "--space", space)
    done = allwin("tune", *words, "--workers", "1")
    assert done.returncode == 1
    assert "moody: candidate 0: error: RuntimeError: the paper forgot a term" in done.stdout
    assert "none" in done.stdout
    assert "--preset" not in done.stdout


def test_an_interrupt_is_one_line_and_leaves_no_result(tmp_path: Path) -> None:
    words = ["toy/descent", "--budget", "smoke", "--trials", "50", "--workers", "1"]
    slow = "descent.pause_s=[1.0]"
    process = subprocess.Popen(
        [sys.executable, "-m", "allwin", "tune", *words, "--space", slow],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    )
    assert process.stderr
    assert "runs code from outside" in process.stderr.readline()
    # Ray is up, and Tune runs.
    assert "the workers start" in process.stderr.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted; 0 of 1 searches had ended and been written"
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
