"""A forecast is a mean of earlier records, and says where it has none."""

import pytest
from record_factory import failed, record

from bench.forecast import forecast
from bench.grid import Cell
from bench.record import Measurement, Record


def cell(of: Record, **changes: object) -> Cell:
    return Cell(of.spec.model_copy(update=changes), {}, "key")


def test_a_forecast_adds_up_the_means_of_the_same_kind() -> None:
    # Each record of the factory worked for 1.5 + 0.1 + 0.4 = 2 s; three cells make 6 s.
    told = forecast([cell(record(), seed=seed) for seed in (7, 8, 9)], [record(seed=0), record(seed=1)])
    assert told.device_s == pytest.approx(6.0)
    assert (told.cells, told.without_basis, told.records) == (3, 0, 2)
    assert told.disk_bytes == 3 * len(record().model_dump_json(indent=1))


def test_another_data_set_is_a_basis_only_where_there_is_no_nearer_one() -> None:
    near, far = record(dataset="mnist5k"), record(dataset="digits")
    slow = far.model_copy(update={"stage_s": {"fit": 100.0}})
    assert forecast([cell(near)], [near, slow]).device_s == pytest.approx(2.0)
    assert forecast([cell(near)], [slow]).device_s == pytest.approx(100.0)


def test_other_methods_budgets_and_failures_are_no_basis() -> None:
    others = [record(method="upu"), record(budget="gpu"), failed("nnpu")]
    told = forecast([cell(record())], others)
    assert (told.device_s, told.cells, told.without_basis, told.records) == (0.0, 0, 1, 0)


def test_energy_is_told_only_where_it_was_measured() -> None:
    measured = record(training={"fit_energy_j": Measurement(value=12.0, unit="J")})
    assert forecast([cell(measured)] * 2, [measured]).energy_j == pytest.approx(24.0)
    assert forecast([cell(record())], [record()]).energy_j is None
