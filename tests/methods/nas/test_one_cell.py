"""One cell, trained: what makes the table of digits-cells, and how the records become it."""

import csv
import io
from dataclasses import replace
from functools import partial

import pytest
import torch
from record_factory import record

from bench import Run, Unsupported, UserError
from bench.record import MetricValue
from bench.seeds import derive_seed
from bench.slate import clean_slate
from methods.nas.one_cell import OneCell
from tasks.nas import NAS
from tasks.nas.darts import DARTS
from tasks.nas.datasets import DIGITS_CELLS, DIGITS_CELLS_TABLE
from tasks.nas.tabulate import table_of

TASK = NAS(**NAS.presets["small"])


@pytest.fixture(scope="module")
def training():
    return TASK.load("digits-cells-training", "small", 0)


def trained(training, cell: int, **settings):
    """Fitted as a trial with seed 0 is."""
    problem, held_out = training
    seed = derive_seed("fit", "nas", "digits-cells-training", 0)
    with clean_slate(seed, 1):
        found = OneCell(cell=cell, **(dict(OneCell.presets["small"]) | settings)).fit(problem, Run(seed=seed))
    TASK.check(found, problem)
    return found, TASK.evaluate(found, held_out).metrics


def test_the_table_is_what_training_gives(training):
    with DIGITS_CELLS_TABLE.open(newline="") as file:
        rows = {(int(row["cell"]), int(row["seed"])): row for row in csv.DictReader(file)}
    found, metrics = trained(training, 93)
    assert found.architecture.operators == ("nor_conv_3x3",) * 3
    # The same machine and torch give the last digit; elsewhere sums round otherwise, and training amplifies that.
    assert metrics["accuracy"] == pytest.approx(float(rows[93, 0]["test"]), abs=3)
    assert metrics["validation_accuracy"] == pytest.approx(float(rows[93, 0]["validation"]), abs=4)


def test_a_cell_that_lets_nothing_through_learns_nothing(training):
    _, metrics = trained(training, 3, epochs=1)  # none, none, 3x3
    # One class for all: about a tenth of the digits.
    assert 7 < metrics["accuracy"] < 13


def test_training_images_are_moved_where_asked(training, monkeypatch):
    problem, _ = training
    seen = []
    monkeypatch.setattr(type(problem), "augmented", lambda self, images, generator: seen.append(len(images)) or images)
    trained(training, 0, epochs=1, augment=False)
    assert seen == []
    trained(training, 0, epochs=1)
    assert seen == [50] * 10


def test_the_step_size_falls_along_half_a_cosine_to_nothing(training, monkeypatch):
    steps = []
    stepped = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD,
        "step",
        lambda self, *rest: (steps.append(self.param_groups[0]["lr"]), stepped(self, *rest))[1],
    )
    trained(training, 0, epochs=2, lr=0.4)
    assert len(steps) == 2 * 10
    assert steps[0] == pytest.approx(0.4)
    assert steps[10] == pytest.approx(0.2)
    # 0.4 (1 + cos(19 pi / 20)) / 2
    assert steps[19] == pytest.approx(0.4 * 0.00615583, rel=1e-5)


def test_killed_at_a_step_and_resumed_it_gives_the_same_weights(training, tmp_path):
    # `allwin check` sees the table's accuracy only, since a Found is no network.
    class Killed(Exception):
        pass

    def kill(phase: str, done: int) -> None:
        if done == 7:
            raise Killed

    def fit(run):
        with clean_slate(5, 1):
            return OneCell(cell=93, epochs=1, batch=50).fit(training[0], run).network.state_dict()

    whole = fit(Run(seed=5))
    with pytest.raises(Killed):
        fit(Run(seed=5, checkpoints=tmp_path, save_every_s=0, on_step=kill))
    resumed = fit(Run(seed=5, checkpoints=tmp_path, save_every_s=0))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_cells_of_darts_have_no_numbers(training):
    with pytest.raises(Unsupported, match="cells of darts have no numbers"):
        OneCell().fit(replace(training[0], space=DARTS), Run(seed=0))


# From records to the table --------------------------------------------------------------------------------------------


def reached(cell: int, seed: int, accuracy: float = 80.0, **fields):
    percent = partial(MetricValue, unit="%", better="high", items=3500)
    count = partial(MetricValue, unit="", better="low", items=3500)
    metrics = {
        "accuracy": percent(value=accuracy),
        "validation_accuracy": percent(value=accuracy - 1),
        "network_parameters": count(value=12_722),
        "network_macs": count(value=867_480),
    }
    words = {"dataset": "digits-cells-training", "task": "nas", "parameters": {"cell": cell}, "metrics": metrics}
    return record("one-cell", seed, **(words | fields))


@pytest.fixture(scope="module")
def complete():
    return [reached(cell, seed, 50 + cell / 10 + seed) for seed in (1, 0) for cell in range(125)]


def test_every_record_becomes_a_row_in_the_order_of_cells_and_seeds(complete):
    other = reached(0, 0, dataset="digits-cells")
    rows = list(csv.DictReader(io.StringIO(table_of([*complete, other]))))
    assert [(int(row["cell"]), int(row["seed"])) for row in rows] == [(n, s) for n in range(125) for s in (0, 1)]
    last = rows[-1]
    assert (last["test"], last["validation"], last["parameters"]) == ("63.4000", "62.4000", "12722")
    assert last["architecture"] == str(DIGITS_CELLS.architecture(124))
    assert last["key"] == next(r.key for r in complete if r.spec.parameters["cell"] == 124 and r.spec.seed == 1)


def test_a_gap_or_a_doubled_record_is_refused(complete):
    with pytest.raises(UserError, match="249 records of cells, and none of cell 0 with seed 1"):
        table_of(complete[1:])
    with pytest.raises(UserError, match="cell 7 with seed 0 has two records"):
        table_of([*complete, reached(7, 0, source="other")])
    with pytest.raises(UserError, match="0 records of cells"):
        table_of([])
