"""Curves of iterative solvers against what their iterations cost."""

import html

import pytest
from record_factory import board_of, boards_of, cost, curve, percent, profile, record
from site_factory import write_small_site

from bench.record import Curve, MetricValue
from reports.board import ORACLE
from reports.build import write_report
from reports.curves import charts
from reports.plots import curve_plot, figures_of

TIME = "time (ms), an even share of a call's median latency"
MACS = "MACs an item, an even share of a call's"


def solver(method="ista", seed=0, values=(0.0, -4.0, -6.0), *, latency=3.0, macs=8.0, iterations=2, **fields):
    """A trial with an NMSE curve along `iteration`, from 0 on."""
    fields.setdefault("curves", {"nmse_db": curve(list(values), "evaluate", "iteration", "dB")})
    fields.setdefault("metrics", {"nmse_db": MetricValue(value=values[-1], unit="dB", better="low", items=9)})
    fields.setdefault("costs", profile(latency, macs))
    return record(method, seed, task="l2o", dataset="sparse", iterations=iterations, **fields)


def charts_of(records):
    return charts(board_of(records), {record.key: record for record in records})


def plots_of(records):
    return {chart.against: curve_plot(chart, board_of(records), "x") for chart in charts_of(records)}


def drawn(records):
    """By cost: each row's points along the axis."""
    return {chart.against: {band.label: band.drawn_x for band in chart.bands} for chart in charts_of(records)}


def test_a_solvers_curve_is_drawn_along_its_iterations_then_against_time_and_macs():
    # A call of 2 iterations takes 3 ms and 8 MACs an item: 1.5 ms and 4 MACs each.
    found = charts_of([solver()])
    assert [(one.title, one.axis_text) for one in found] == [
        ("nmse_db", "iteration"),
        ("nmse_db against time", TIME),
        ("nmse_db against MACs", MACS),
    ]
    assert [one.bands[0].drawn_x for one in found] == [(0.0, 1.0, 2.0), (0.0, 1.5, 3.0), (0.0, 4.0, 8.0)]
    assert {one.bands[0].means for one in found} == {(0.0, -4.0, -6.0)}


def test_a_row_is_placed_by_its_mean_cost_over_seeds_so_that_its_means_stay_those_of_iterations():
    # Latencies of 2 and 4 ms: 3 ms a call of 2, so 1.5 ms each.
    records = [solver(seed=0, latency=2.0, values=(0, -4, -6)), solver(seed=1, latency=4.0, values=(0, -6, -8))]
    plain, time, _ = charts_of(records)
    assert time.bands[0].drawn_x == (0.0, 1.5, 3.0)
    assert time.bands[0].means == plain.bands[0].means == (0.0, -5.0, -7.0)
    assert time.bands[0].half_widths == plain.bands[0].half_widths


def test_each_row_is_placed_by_its_own_iterations():
    # A call of 4 iterations in 3 ms: 0.75 ms each, half of the other's.
    assert drawn([solver("a"), solver("b", iterations=4)])["time"] == {"a": (0.0, 1.5, 3.0), "b": (0.0, 0.75, 1.5)}


@pytest.mark.parametrize(
    ("without", "told"),
    [
        (solver("b", iterations=None), {"time": ["b"], "MACs": ["b"]}),
        (solver("b", costs={"macs": cost(8.0, "MAC")}), {"time": ["b"], "MACs": []}),
        (solver("b", costs=profile(3.0, 8.0) | {"macs": cost(None, "MAC", "no formula")}), {"time": [], "MACs": ["b"]}),
        (solver("b", stages=("fit", "evaluate"), costs={}, iterations=None), {"time": ["b"], "MACs": ["b"]}),
    ],
)
def test_a_row_without_the_cost_of_an_iteration_is_left_out_and_named(without, told):
    records = [solver("a"), without]
    found = {one.against: one for one in charts_of(records) if one.against}
    assert {name: list(one.left_out) for name, one in found.items()} == told
    for name, one in found.items():
        assert [band.label for band in one.bands] == (["a"] if told[name] else ["a", "b"])
        assert plots_of(records)[name].description.endswith("so not drawn: b.") == bool(told[name])


def test_seeds_that_disagree_on_their_iterations_have_no_cost_of_one():
    assert [one.against for one in charts_of([solver(seed=0), solver(seed=1, iterations=4)])] == [""]


def test_a_curve_along_another_axis_or_of_a_fit_has_no_cost_of_an_iteration():
    for other in (curve([1.0, 2.0], "evaluate", "threshold"), curve([1.0, 2.0], "fit", "iteration")):
        assert [one.against for one in charts_of([solver(curves={"nmse_db": other})])] == [""]


def test_only_the_ranking_metrics_curve_is_drawn_against_costs_else_the_first():
    one, two = curve([0.0, -1.0], "evaluate", "iteration"), curve([0.0, -2.0], "evaluate", "iteration")
    ranked = charts_of([solver(curves={"a_loss": one, "nmse_db": two})])
    assert [one.title for one in ranked if one.against] == ["nmse_db against time", "nmse_db against MACs"]
    others = charts_of([solver(curves={"b_loss": one, "a_loss": two, "nmse_db": curve([1.0])})])
    assert [one.title for one in others if one.against] == ["a_loss against time", "a_loss against MACs"]


def test_a_curve_of_the_fit_does_not_stand_in_for_one_of_the_evaluation():
    curves = {"nmse_db": curve([1.0], "fit", "iteration"), "b_loss": curve([0.0, -1.0], "evaluate", "iteration")}
    found = charts_of([solver(curves=curves)])
    assert [one.title for one in found if one.against] == ["b_loss against time", "b_loss against MACs"]


def test_hardware_groups_have_boards_of_their_own_and_so_charts():
    records = [solver("a", latency=3.0), solver("b", latency=9.0, hardware="another")]
    by_key = {one.key: one for one in records}
    found = [[one.bands for one in charts(board, by_key) if one.against == "time"] for board in boards_of(records)]
    assert sorted([(band.label, band.drawn_x) for bands in times for band in bands] for times in found) == [
        [("a", (0.0, 1.5, 3.0))],
        [("b", (0.0, 4.5, 9.0))],
    ]


def test_below_two_decades_the_axis_is_linear_and_starts_at_nothing():
    # 1.5 ms to 150 ms is a factor of just 100.
    (time,) = (one for one in charts_of([solver("a"), solver("b", latency=150.0)]) if one.against == "time")
    assert not time.log_x
    assert time.bands[0].x[0] == 0.0
    assert curve_plot(time, board_of([solver()]), "x").figure.axes[0].get_xscale() == "linear"


def test_beyond_two_decades_the_axis_is_logarithmic_and_starts_at_the_first_iteration():
    records = [solver("a"), solver("b", latency=151.0)]
    time = next(one for one in charts_of(records) if one.against == "time")
    assert time.log_x
    assert [band.x for band in time.bands] == [(1.0, 2.0), (1.0, 2.0)]
    assert [band.means for band in time.bands] == [(-4.0, -6.0), (-4.0, -6.0)]
    assert curve_plot(time, board_of(records), "x").figure.axes[0].get_xscale() == "log"


def test_along_a_logarithmic_axis_the_points_of_a_long_curve_keep_equal_ratios():
    values = [-float(i) for i in range(1001)]
    plain, time, _ = charts_of([solver(values=values, iterations=1000, latency=1000.0)])
    # An even choice of 50 points of 1001 has its second at 20.
    assert plain.bands[0].x[:2] == (0.0, 20.0)
    band = time.bands[0]
    assert len(band.x) <= 50
    assert (band.x[:3], band.x[-1]) == ((1.0, 2.0, 3.0), 1000.0)
    assert max(b / a for a, b in zip(band.x[9:], band.x[10:], strict=False)) < 1.25
    assert band.means == tuple(-x for x in band.x)
    # One millisecond an iteration.
    assert band.drawn_x == band.x


def test_macs_carry_the_prefix_of_the_dearest_iteration():
    plot = plots_of([solver(macs=3e9)])["MACs"]
    assert plot.figure.axes[0].get_xlabel() == "MACs an item (G), an even share of a call's"
    assert [row[1] for row in plot.rows] == ["0 at 0", "−4.00 at 1.50", "−6.00 at 3.00"]


def test_a_figure_against_time_says_what_its_axis_is_and_its_table_has_both():
    plot = plots_of([solver("a"), solver("b", latency=30.0)])["time"]
    assert plot.caption == "nmse at evaluation, against time"
    assert f"against {TIME}. " in plot.description
    assert plot.figure.axes[0].get_xlabel() == TIME
    assert plot.headers == ("iteration", "a", "b")
    assert plot.rows[1] == ("1", "−4.00 at 1.50", "−4.00 at 15.0")


def test_lines_end_where_their_last_iteration_is_paid():
    plot = plots_of([solver("a"), solver("b", latency=30.0)])["time"]
    assert sorted({line.get_xdata()[-1] for line in plot.figure.axes[0].lines}) == [3.0, 30.0]


def test_a_solver_that_starts_nowhere_but_at_its_start_is_not_drawn_against_costs():
    only = Curve(x=[0.0], y=[1.0], x_name="iteration", origin="evaluate")
    assert [one.against for one in charts_of([solver(curves={"nmse_db": only})])] == [""]


def test_the_figures_follow_the_plain_curve_under_names_that_say_the_cost():
    records = [solver("a"), solver("b", latency=9.0, macs=9.0)]
    ((plots, _),) = figures_of([board_of(records)], {one.key: one for one in records}, 20)
    assert [plot.name for plot in plots if "evaluate" in plot.name] == [
        "01-l2o-sparse-evaluate-nmse-db-0",
        "01-l2o-sparse-evaluate-nmse-db-against-time-1",
        "01-l2o-sparse-evaluate-nmse-db-against-macs-2",
    ]


def test_a_report_has_them_on_its_page_and_as_files(tmp_path):
    paths = write_report([solver("a"), solver("b", latency=9.0)], tmp_path, "Solvers", {})
    page = html.unescape(paths.index.read_text(encoding="utf-8"))
    assert "<figcaption>nmse at evaluation, against time</figcaption>" in page
    assert TIME in page
    names = {path.name for path in paths.figures}
    assert {f"01-l2o-sparse-evaluate-nmse-db-against-time-1.{ending}" for ending in ("svg", "pdf", "png")} <= names


def test_a_site_has_them_on_the_pages_of_task_and_method_variants_each_at_its_own_cost(tmp_path):
    records = [solver("ista"), solver("ista", latency=302.0, parameters={"lr": 0.5})]
    write_small_site(tmp_path, records)
    task = html.unescape((tmp_path / "tasks" / "l2o.html").read_text(encoding="utf-8"))
    assert "<figcaption>nmse at evaluation, against MACs</figcaption>" in task
    method = html.unescape((tmp_path / "methods" / "l2o-ista.html").read_text(encoding="utf-8"))
    assert "<figcaption>nmse (dB) at evaluation, against time, l2o on sparse</figcaption>" in method
    assert f"{TIME}</text>" in method
    assert ">log scale</text>" in method
    assert '<th scope="row">1</th><td class="number">−4.00 at 1.50</td><td class="number">−4.00 at 151</td>' in method


def test_an_oracles_curve_is_named_as_one():
    records = [solver("a"), solver("minimum", oracle=True, values=(-9.0, -9.0, -9.0))]
    plot = plots_of(records)["time"]
    assert plot.headers == ("iteration", "a", f"{ORACLE}: minimum")


def test_a_record_without_metrics_on_its_curves_still_has_them():
    assert [one.against for one in charts_of([solver(metrics={"error": percent(1.0)})])] == ["", "time", "MACs"]
