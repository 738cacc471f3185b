"""What is read from records: points of curves, and the trials that a figure asks for."""

from dataclasses import replace

import pytest
from record_factory import curve, percent, record

from bench import registry
from bench.evidence import Ask, Evidence, Measured
from bench.grid import Cell
from bench.papers import load_paper
from bench.record import Curve
from bench.reproduction import reproductions

KNOWN = registry.load()


def cells_of(quantity: str) -> tuple[Cell, ...]:
    return Evidence(KNOWN, []).measured(Ask("toy", "sample-mean", quantity, seeds=1), "smoke").cells


def measured(quantity: str, curves: dict[str, Curve]) -> Measured:
    """What stands of one trial that left these curves."""
    (cell,) = cells_of(quantity)
    made = record(curves=curves).model_copy(update={"key": cell.key, "parts": cell.parts, "spec": cell.spec})
    return Evidence(KNOWN, [made]).measured(Ask("toy", "sample-mean", quantity, seeds=1), "smoke")


@pytest.mark.parametrize(("quantity", "stands"), [("metric.distance", True), ("cost.macs", False)])
def test_a_metric_is_read_from_a_trial_that_was_not_profiled_and_a_cost_is_not(quantity: str, stands: bool) -> None:
    whole = Ask("toy", "sample-mean", quantity, seeds=1)
    (cell,) = Evidence(KNOWN, []).measured(replace(whole, stages=("fit", "evaluate")), "smoke").cells
    metrics = {"distance": percent(0.25)}
    made = record(metrics=metrics).model_copy(update={"key": cell.key, "parts": cell.parts, "spec": cell.spec})
    found = Evidence(KNOWN, [made]).measured(whole, "smoke")
    assert found.values == ({0: 0.25} if stands else {})
    # What is missing is asked for whole.
    assert found.cells == ((cell,) if stands else cells_of(quantity))


def test_one_trial_has_the_values_of_a_curve_at_every_point_of_it() -> None:
    (cell,) = cells_of("metric.distance")
    curves = {
        "risk": curve([9.0, 0.25, 0.5], "evaluate"),
        # A name may hold what divides it from the place.
        # As long as one of `fit` may be that nothing has averaged down.
        "share": curve([0.125] * 100),
        "recall@5": Curve(x=[-1.0, 0.5], y=[3.0, 4.0], x_name="threshold", origin="evaluate"),
    }
    curves["share"] = curve([0.125] * 100)
    wanted = {
        "share@99": 0.125,
        "risk@0": 9.0,
        "risk@2": 0.5,
        "risk@2.0": 0.5,
        "risk@1e0": 0.25,
        "recall@5@0.5": 4.0,
        "recall@5@-1": 3.0,
    }
    for name, value in wanted.items():
        assert measured(f"curve.{name}", curves) == Measured({0: value}, (cell,))


@pytest.mark.parametrize(
    ("place", "made", "why"),
    [
        ("1", None, "its record holds no curve.risk"),
        ("9", Curve(x=[4, 16, 8, 12], y=[1] * 4, x_name="layer", origin="evaluate"), "no layer 9; nearest: 8 and 12"),
        ("9", curve([1.0, 2.0, 3.0], "evaluate"), "curve.risk has no step 9; nearest: 2"),
        ("-0.5", curve([1.0, 2.0, 3.0], "evaluate"), "curve.risk has no step -0.5; nearest: 0"),
        ("1", curve([], "evaluate"), "curve.risk has no step 1; it has no points"),
        ("1", curve([1.0, None, 3.0], "evaluate"), "curve.risk is not finite at step 1"),
        (
            "0.5",
            Curve(x=[0.5, 0.5], y=[1, 2], x_name="rate", origin="evaluate"),
            "curve.risk has 2 values at rate 0.5",
        ),
        # Long curves of `fit` are averaged down, and nothing tells which were.
        ("1", curve([1.0] * 101), "curve.risk was logged by fit, whose points may be means over several steps"),
    ],
)
def test_nothing_is_read_off_a_curve_where_it_has_no_single_value(place: str, made: Curve | None, why: str) -> None:
    found = measured(f"curve.risk@{place}", {"risk": made} if made else {})
    assert found.gap
    assert (found.values, found.gap.state) == ({}, "could not run")
    assert found.gap.why.endswith(why)


@pytest.mark.parametrize(
    ("task", "quantity", "better"),
    [
        ("toy", "metric.distance", "low"),
        ("toy", "curve.distance@8", "low"),
        ("toy", "curve.risk@8", None),
        ("toy", "curve.distance", None),
        ("toy", "cost.distance", None),
        ("guessing", "curve.distance@8", None),
    ],
)
def test_a_curve_of_a_metrics_name_is_good_where_the_metric_is(task: str, quantity: str, better: str | None) -> None:
    assert Evidence(KNOWN, []).better(task, quantity) == better


def test_the_columns_of_figure_5_are_points_of_the_same_trials() -> None:
    paper = load_paper("open_l2o")
    listed = reproductions(paper, [paper.table("figure-5a")], "small", Evidence(KNOWN, []))
    by_column = {one.column.id: [cell.key for cell in one.cells] for one in listed if one.row.id == "lista"}
    assert list(by_column) == ["layer-4", "layer-8", "layer-12", "layer-16"]
    assert [len(keys) for keys in by_column.values()] == [3] * 4
    assert len({tuple(keys) for keys in by_column.values()}) == 1


def test_a_list_in_a_list_is_one_value_of_a_field_that_is_a_list() -> None:
    ask = Ask("l2o", "ista", "metric.nmse_db", seeds=1, parameters={"weights": [[0.05]]})
    (cell,) = Evidence(KNOWN, []).measured(ask, "small").cells
    assert cell.spec.parameters["weights"] == [0.05]
