"""The fields, and at the end their table: printed, and written where `ALLWIN_FAULTS_TABLE` says."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_field import KILLS, SEEDS, Field, Metrics, NewField, metrics_of
from fault_ledger import Siege, as_markdown, page

from bench import registry
from bench.grid import expand
from bench.runner import Options, run
from bench.store import Store
from bench.suite import parse_suite

SIEGES: list[Siege] = []


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Metrics:
    """The metrics of the same cells when nothing is killed, made in this process; what a trial sleeps is no matter."""
    grid = [{"task": "toy", "methods": ["sample-mean", {"descent": {"steps": 10}}]}]
    suite = {"title": "t", "budget": "smoke", "seeds": SEEDS, "stages": ["fit", "evaluate"], "grid": grid}
    store = Store.open(tmp_path_factory.mktemp("undisturbed") / "store", create=True)
    run(expand(parse_suite(suite, "t", "t"), registry.load()), store, "t", Options(engine="inline"))
    return metrics_of(list(store.records()))


@pytest.fixture
def new_field(tmp_path: Path) -> Iterator[NewField]:
    """Makes fields; each is in the table, and none leaves a process behind."""
    made: list[Field] = []
    # The same dice in every run; what they hit still depends on the machine's pace.
    dice = random.Random(0)

    def make(name: str, seeds: int = SEEDS, stages: str = "fit, evaluate", pause_s: float = 0.05) -> Field:
        field = Field(tmp_path / f"field-{len(made)}", name, dice, seeds, stages, pause_s)
        made.append(field)
        SIEGES.append(field.siege)
        return field

    try:
        yield make
        for field in made:
            field.nothing_left()
    finally:
        for field in made:
            field.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    if not SIEGES:
        return
    terminalreporter.section("what was killed, and what became of the records")
    terminalreporter.write_line(as_markdown(SIEGES))
    target = os.environ.get("ALLWIN_FAULTS_TABLE")
    # Where a test failed the counts are not complete.
    if target and exitstatus == 0:
        Path(target).write_text(page(SIEGES, f"ALLWIN_FAULTS={KILLS} pytest tests/faults"), encoding="utf-8")
