"""What a trial's record tells of its workload and its method, in whatever process the costs are measured."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from allwin_toy.task import Toy

from bench import provenance, registry
from bench.contracts import Metric, Workload
from bench.execution import Execution, execute, load_problem, measure_parcel
from bench.grid import expand
from bench.record import Record
from bench.registry import Entry
from bench.suite import parse_suite
from bench.trial import Trial


def trial(method: str = "sample-mean", *, oracle: bool = False) -> Trial:
    grid = [{"task": "toy", "methods": [method]}]
    suite = {"title": "t", "budget": "smoke", "seeds": 1, "stages": ["fit", "evaluate", "profile"], "grid": grid}
    (cell,) = expand(parse_suite(suite, "t", "t"), registry.load())
    return Trial(cell=replace(cell, oracle=oracle), origin=provenance.origin("t", "inline", ()))


def here(one: Trial) -> Record:
    return execute(one, load_problem(one))


def in_a_fresh_process(one: Trial) -> Record:
    """By the same way as there, in this process."""
    execution = Execution(one, load_problem(one))
    execution.work()
    parcel = execution.parcel()
    return measure_parcel(parcel) if parcel else execution.record()


WAYS = pytest.mark.parametrize("way", [here, in_a_fresh_process])
Way = Callable[[Trial], Record]


def counting(monkeypatch: pytest.MonkeyPatch, iterations: Any) -> None:
    def workload(self: Toy, solution: Any, problem: Any) -> Workload:
        return Workload(solution, (problem.draws,), 1, "one guess", iterations=iterations)

    monkeypatch.setattr(Toy, "workload", workload)


@WAYS
def test_the_record_tells_how_many_iterations_a_call_makes(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (way(trial()).workload, way(trial()).iterations) == ("one guess", None)
    counting(monkeypatch, 7)
    assert (way(trial()).status, way(trial()).iterations) == ("ok", 7)


@WAYS
@pytest.mark.parametrize("iterations", [0, -1, 2.5, "16"])
def test_iterations_that_are_no_number_of_them_fail_the_trial_in_one_line(
    way: Way, iterations: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting(monkeypatch, iterations)
    found = way(trial())
    assert (found.status, found.iterations) == ("failed", None)
    assert found.failure
    assert found.failure.stage == "profile"
    assert found.failure.message.endswith(f"must be a whole number of at least 1, got {iterations!r}")


@WAYS
@pytest.mark.parametrize(("method", "status"), [("sample-mean", "ok"), ("raises", "failed")])
def test_the_record_tells_whether_its_method_is_an_oracle(way: Way, method: str, status: str) -> None:
    for oracle in (False, True):
        found = way(trial(method, oracle=oracle))
        assert (found.status, found.oracle) == (status, oracle)


@pytest.mark.parametrize(("partial", "status"), [(True, "ok"), (False, "failed")])
def test_a_record_may_lack_a_metric_only_if_it_is_partial(
    partial: bool, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Entry.metrics_on
    extra = Metric("agreement", "", better="high", partial=partial)
    monkeypatch.setattr(Entry, "metrics_on", lambda entry, dataset: (*measured(entry, dataset), extra))
    found = here(trial())
    assert found.status == status
    assert list(found.metrics) == (["distance"] if partial else [])
