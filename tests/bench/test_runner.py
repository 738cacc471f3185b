"""A grid finishes whatever breaks: on Ray and inline, killed, interrupted, with methods that misbehave."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from toy_grid import write_suite

from bench.record import Record
from bench.store import Store

Allwin = Callable[..., subprocess.CompletedProcess[str]]


def records(store: Path) -> list[Record]:
    return list(Store.open(store).records())


def values(store: Path) -> dict[str, dict[str, float]]:
    return {r.key: {name: metric.value for name, metric in r.metrics.items()} for r in records(store)}


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """No test may leave a worker, a Ray process or a method's child behind."""
    yield
    # Ray's own agents notice after half a minute or so that a killed driver has taken their raylet along.
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (left := _left()):
        time.sleep(0.2)
    assert not (left := _left()), left


def _left() -> list[str]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        ours = "987654" in line or re.search(r"raylet|gcs_server|ray::", line)
        running = process.status() != psutil.STATUS_ZOMBIE and str(os.getpid()) != str(process.pid)
        if ours and running and not _of_another_session(process):
            found.append(line[:120])
    return found


def _of_another_session(process: psutil.Process) -> bool:
    """Whether a process descends from the other half of the tests, which runs at the same time."""
    try:
        # A worker of Ray overwrites its environment with its title; its parent still has one.
        for one in (process, *process.parents()):
            if session := one.environ().get("PYTEST_XDIST_WORKER"):
                return session != os.environ.get("PYTEST_XDIST_WORKER")
    except psutil.Error:
        pass
    return False


def test_either_engine_and_any_number_of_workers_give_equal_metrics(allwin: Allwin, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "sample-mean, descent, shrunk(descent)")
    runs = {"inline": ["--engine", "inline"], "one": ["--workers", "1"], "two": ["--workers", "2"]}
    for name, words in runs.items():
        done = allwin("run", suite, "--store", name, *words)
        assert done.returncode == 0, done.stderr
    found = {name: values(tmp_path / name) for name in runs}
    assert len(found["inline"]) == 6
    assert found["inline"] == found["one"] == found["two"]
    pids = {
        (r.provenance.engine, r.provenance.worker_pid == r.provenance.driver_pid)
        for n in runs
        for r in records(tmp_path / n)
    }
    assert pids == {("inline", True), ("ray", False)}


def test_five_ways_to_fail_leave_five_typed_records_and_the_rest_done(allwin: Allwin, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "sample-mean, raises, hangs, exits, not-a-number, swells, descent", seeds=1)
    done = allwin("run", suite, "--store", "s", "--time-limit", "25", "--memory-limit", "3", "--json")
    assert done.returncode == 1, done.stderr
    causes = {r.spec.method: r.failure.cause if r.failure else r.status for r in records(tmp_path / "s")}
    assert causes == {
        "sample-mean": "ok",
        "descent": "ok",
        "raises": "error",
        "hangs": "timeout",
        "exits": "crash",
        "not-a-number": "nan",
        "swells": "oom",
    }
    summary = json.loads(done.stdout)
    assert (summary["ok"], summary["failed"]) == (2, 5)
    report = allwin("report", "--store", "s", "--out", "page")
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "page" / "index.html").read_text()
    for cause in ("error", "timeout", "crash", "nan", "oom"):
        assert cause in page
    assert "<b>a term</b>" not in page
    # The same command again runs nothing, and still says that the grid is not whole.
    again = allwin("run", suite, "--store", "s", "--json")
    assert (again.returncode, json.loads(again.stdout)["reused"]) == (1, 7)


def test_a_driver_killed_at_ten_points_loses_and_doubles_nothing(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "sample-mean, {descent: {steps: 10, pause_s: 0.01}}", seeds=20)
    store = tmp_path / "s"
    dice = random.Random(0)
    kept: dict[str, bytes] = {}
    for kill in range(10):
        driver = subprocess.Popen(
            [sys.executable, "-m", "allwin", "run", suite, "--store", "s"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        before, deadline = len(kept), time.monotonic() + 120
        # From the fourth on, in mid-grid: after the first new record. Before that, while it starts.
        while kill >= 3 and driver.poll() is None and time.monotonic() < deadline and _count(store) <= before:
            time.sleep(0.02)
        time.sleep(dice.uniform(0, 3 if kill < 3 else 0.3))
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        now = {path.name: path.read_bytes() for path in store.glob("records/*/*.json")}
        assert kept.items() <= now.items(), "a record was lost or changed"
        kept = now
    last = subprocess.run(
        [sys.executable, "-m", "allwin", "run", suite, "--store", "s", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["reused"] == len(kept)
    per_key = Counter(path.stem.rpartition("-")[0] for path in Store(store).files())
    assert len(per_key) == 40
    assert set(per_key.values()) == {1}


def _count(store: Path) -> int:
    return sum(1 for _ in store.glob("records/*/*.json"))


def test_ctrl_c_once_lets_the_running_trials_end(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "{descent: {steps: 50, pause_s: 0.02}}", seeds=30)
    driver = subprocess.Popen(
        [sys.executable, "-m", "allwin", "run", suite, "--store", "s"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while driver.poll() is None and _count(tmp_path / "s") < 2:
        time.sleep(0.05)
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130, errors
    assert "the same command goes on from there" in errors
    done = records(tmp_path / "s")
    assert 2 <= len(done) < 30
    assert {record.status for record in done} == {"ok"}


def test_two_runners_on_one_store_share_the_work(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "{descent: {steps: 20, pause_s: 0.02}}", seeds=12)
    words = [sys.executable, "-m", "allwin", "run", suite, "--store", "s", "--engine", "inline", "--json"]
    runners = [subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for runner in runners:
        runner.communicate(timeout=120)
    per_key = Counter(path.stem.rpartition("-")[0] for path in Store(tmp_path / "s").files())
    assert len(per_key) == 12
    assert set(per_key.values()) == {1}


def test_a_failure_is_run_again_only_when_its_cause_is_named(allwin: Allwin, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "sample-mean, raises", seeds=1)
    words = ("run", suite, "--store", "s", "--engine", "inline", "--json")
    assert allwin(*words).returncode == 1
    assert json.loads(allwin(*words).stdout)["reused"] == 2
    assert json.loads(allwin(*words, "--retry", "error").stdout)["reused"] == 1
    assert [r.attempt for r in records(tmp_path / "s") if r.status == "failed"] == [2]
    wrong = allwin(*words, "--retry", "eror")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "did you mean error" in wrong.stderr


def test_a_suite_of_skipped_cells_is_no_success_and_says_why(allwin: Allwin, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "sample-mean", seeds=1)
    done = allwin("run", suite, "--store", "s", "--datasets", "absent", "--engine", "inline")
    assert done.returncode == 1
    (record,) = records(tmp_path / "s")
    assert (record.status, record.failure.cause) == ("skipped", "missing-data")  # type: ignore[union-attr]
    assert not record.oracle


ORACLE = '''
from dataclasses import dataclass
from typing import ClassVar

from allwin_toy.task import Guess, ToyProblem
from bench import Presets, Run, method


@method("toy", oracle=True)
@dataclass(frozen=True)
class Told:
    """Was told the mean."""

    presets: ClassVar[Presets] = {}

    def fit(self, problem: ToyProblem, run: Run) -> Guess:
        return Guess(problem.draws.mean())
'''


def test_an_oracle_leaves_records_that_say_so_and_is_no_leader_for_the_next_run(allwin: Allwin, tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(ORACLE)
    suite = write_suite(tmp_path, "told, raises", seeds=1)
    grid = (suite, "--method", "told.py", "--engine", "inline")
    for more in ((), ("--datasets", "absent")):
        allwin("run", *grid, "--store", "s", *more)
    found = {(r.spec.method, r.status): r.oracle for r in records(tmp_path / "s")}
    assert found == {
        ("told", "ok"): True,
        ("told", "skipped"): True,
        ("raises", "failed"): False,
        ("raises", "skipped"): False,
    }
    done = allwin("run", "toy", "--methods", "@leaders", "--store", "s", "--engine", "inline")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "@leaders: s has no leaderboard of toy yet" in done.stderr


def test_a_suite_that_only_profiles_builds_and_measures(allwin: Allwin, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "sample-mean, descent", seeds=1, stages="profile")
    done = allwin("run", suite, "--store", "s", "--engine", "inline")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = {r.spec.method: r for r in records(tmp_path / "s")}
    assert found["sample-mean"].costs["latency_ms"].value > 0
    assert not found["sample-mean"].metrics
    assert found["descent"].failure.cause == "unsupported"


def test_explain_names_what_changed(allwin: Allwin, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "descent", seeds=1)
    allwin("run", suite, "--store", "s", "--engine", "inline")
    (same,) = json.loads(allwin("explain", suite, "--store", "s", "--json").stdout)
    assert same["state"] == "reuse"
    (other,) = json.loads(allwin("explain", suite, "--store", "s", "--set", "descent.lr=0.3", "--json").stdout)
    assert (other["state"], list(other["differs"])) == ("run", ["parameters"])
    assert "lr was 0.1, now 0.3" in other["why"]


def test_more_threads_than_cores_are_refused(allwin: Allwin, tmp_path: Path) -> None:
    done = allwin("run", write_suite(tmp_path, "descent"), "--workers", "4096")
    assert done.returncode == 2
    assert "lower --workers or --threads" in done.stderr
