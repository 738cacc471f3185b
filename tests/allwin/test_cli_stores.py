"""Verbs that look after stores: verify, merge, retry, resume."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.store import Store

Allwin = Callable[..., subprocess.CompletedProcess[str]]

SUITE = """
title: t
budget: smoke
seeds: 2
stages: [fit, evaluate]
grid:
  - task: toy
    methods: [sample-mean, raises]
"""


@pytest.fixture
def run(allwin: Allwin, tmp_path: Path) -> Callable[..., dict[str, int]]:
    (tmp_path / "grid.yaml").write_text(SUITE)

    def once(*words: str) -> dict[str, int]:
        document: dict[str, int] = json.loads(allwin("run", "grid.yaml", "--engine", "inline", "--json", *words).stdout)
        return document

    return once


def test_a_figure_changed_by_hand_is_found(allwin: Allwin, run: Callable[..., dict[str, int]], tmp_path: Path) -> None:
    run("--store", "s")
    assert allwin("verify", "--store", "s").returncode == 0
    path = next(p for p in Store(tmp_path / "s").files() if '"ok"' in p.read_text())
    content = json.loads(path.read_text())
    content["metrics"]["distance"]["value"] /= 2
    path.write_text(json.dumps(content))
    done = allwin("verify", "--store", "s", "--json")
    assert done.returncode == 1
    (fault,) = json.loads(done.stdout)["faults"]
    assert fault["file"] == path.name
    assert "changed after it was written" in fault["fault"]


def test_stores_are_joined_once_and_only_once(allwin: Allwin, run: Callable[..., dict[str, int]]) -> None:
    run("--store", "a", "--methods", "sample-mean")
    run("--store", "b")
    (first,) = json.loads(allwin("merge", "b", "--store", "a", "--json").stdout)
    # Seeds 0 and 1 of sample-mean were run twice, at two times: two attempts of one key each.
    assert (first["added"], first["known"]) == (4, 0)
    (second,) = json.loads(allwin("merge", "b", "--store", "a", "--json").stdout)
    assert (second["added"], second["known"]) == (0, 4)
    assert allwin("verify", "--store", "a").returncode == 0
    assert run("--store", "a")["reused"] == 4


def test_a_store_is_not_merged_into_itself(allwin: Allwin, run: Callable[..., dict[str, int]]) -> None:
    run("--store", "a")
    done = allwin("merge", "a", "--store", "a")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_retry_runs_failures_of_a_cause_whatever_suite_they_came_from(
    allwin: Allwin, run: Callable[..., dict[str, int]], tmp_path: Path
) -> None:
    run("--store", "s")
    done = allwin("retry", "--cause", "error", "--store", "s", "--engine", "inline", "--json")
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["cells"], summary["failed"]) == (1, 2, 2)
    assert {r.attempt for r in Store(tmp_path / "s").records() if r.status == "failed"} == {2}
    nothing = allwin("retry", "--cause", "oom", "--store", "s")
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    assert "nothing there failed of oom" in nothing.stderr


def test_resume_runs_the_last_run_again_and_can_be_repeated(allwin: Allwin, run: Callable[..., dict[str, int]]) -> None:
    run("--store", "s")
    for _ in range(2):
        done = allwin("resume", "--store", "s")
        assert json.loads(done.stdout)["reused"] == 4
        assert "allwin run grid.yaml" in done.stderr
