import re
import xml.etree.ElementTree as ET

import pytest
from record_factory import board_of, curve, profile, record

from bench.record import Curve
from reports.curves import charts
from reports.house_style import THEME, themed
from reports.plots import cost_plot, curve_plot

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</text><script>alert(1)</script>$\\frac{$"&'


def board_and_records(records):
    return board_of(records), {record.key: record for record in records}


def cost_board(*names):
    return board_of(
        [
            record(name, error=10.0 + index, costs=profile(9.0 - 2 * index, 1e6 * (5 - index)))
            for index, name in enumerate(names)
        ]
    )


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_a_band_is_the_mean_over_seeds_with_a_t_interval_at_each_point():
    # At the last point the seeds have 3 and 5: mean 4, deviation 1.4142, half width 12.706 x 1.4142 / 1.4142.
    board, records = board_and_records(
        [record(seed=0, curves={"risk": curve([1.0, 3.0])}), record(seed=1, curves={"risk": curve([1.0, 5.0])})]
    )
    (chart,) = charts(board, records)
    (band,) = chart.bands
    assert band.means == (1.0, 4.0)
    assert band.half_widths == (0.0, pytest.approx(12.706, rel=1e-4))


def test_one_seed_has_a_curve_and_no_band():
    board, records = board_and_records([record(curves={"risk": curve([1.0, 3.0])})])
    assert charts(board, records)[0].bands[0].half_widths is None


def test_points_that_one_seed_lacks_are_left_out_so_that_no_mean_jumps():
    board, records = board_and_records(
        [
            record(seed=0, curves={"risk": curve([1.0, 2.0, 3.0, 4.0])}),
            record(seed=1, curves={"risk": curve([1.0, None, 3.0])}),
        ]
    )
    assert charts(board, records)[0].bands[0].x == (0.0, 2.0)


def test_a_curve_without_one_finite_point_is_not_drawn():
    board, records = board_and_records([record(curves={"risk": curve([None, None])})])
    assert charts(board, records) == []


def test_curves_of_fit_and_of_evaluation_with_one_name_stay_apart():
    board, records = board_and_records(
        [record("a", curves={"x": curve([1.0])}), record("b", curves={"x": curve([2.0], origin="evaluate")})]
    )
    assert [(chart.origin, len(chart.bands)) for chart in charts(board, records)] == [("evaluate", 1), ("fit", 1)]


def test_the_ends_of_a_long_curve_are_kept():
    board, records = board_and_records([record(curves={"risk": curve([float(i) for i in range(200)])})])
    band = charts(board, records)[0].bands[0]
    assert len(band.x) <= 50
    assert (band.means[0], band.means[-1]) == (0.0, 199.0)


def test_a_method_has_the_same_colour_in_every_figure_of_its_board():
    # `a` leads and has no curve: `b`, second, keeps the second colour all the same.
    board, records = board_and_records(
        [
            record("a", error=1.0, costs=profile(1.0, 1e6)),
            record("b", error=2.0, costs=profile(0.5, 1e6), curves={"risk": curve([1.0, 2.0])}),
        ]
    )
    second = list(THEME)[6]
    assert second in curve_plot(charts(board, records)[0], board, "c").svg
    assert list(THEME)[5] not in curve_plot(charts(board, records)[0], board, "c").svg
    assert second in cost_plot(board, "cost.latency_ms", "p").svg


def test_the_same_board_gives_the_same_bytes():
    first = cost_plot(cost_board("a", "b", "c"), "cost.latency_ms", "x").svg
    assert first == cost_plot(cost_board("a", "b", "c"), "cost.latency_ms", "x").svg
    assert not re.search(r"20\d\d-\d\d-\d\d", first)


def test_names_and_axes_are_text_that_can_be_read_and_searched():
    assert {"a", "b", "latency (ms), less is better", "error (%), less is better"} <= set(
        texts(cost_plot(cost_board("a", "b"), "cost.latency_ms", "x").svg)
    )


def test_a_figure_has_a_title_and_a_description_that_name_the_front():
    # Each step is better and dearer than the next, so all three stand on the front.
    plot = cost_plot(cost_board("a", "b", "c"), "cost.latency_ms", "x")
    root = ET.fromstring(plot.svg)
    ids = {element.get("id"): element.text for element in root}
    title, description = (ids[name] for name in root.get("aria-labelledby").split())
    assert title == "error against latency, pu on mnist5k"
    assert description.endswith("a, b, c.")
    assert [row[-1] for row in plot.rows] == ["yes", "yes", "yes"]


def test_all_references_inside_a_figure_resolve_and_no_id_is_shared_by_two_figures():
    figures = [themed(cost_plot(cost_board("a", "b"), "cost.latency_ms", name).svg) for name in ("01-x", "02-x")]
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in figures]
    for svg, own in zip(figures, ids, strict=True):
        references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
        assert references
        assert references <= own
    assert not ids[0] & ids[1]


def test_a_figure_inside_a_page_names_no_address_and_takes_the_colours_of_the_page():
    svg = themed(cost_plot(cost_board("a", "b"), "cost.latency_ms", "x").svg)
    assert "://" not in svg
    assert "<style" not in svg
    assert "var(--ink)" in svg
    assert not re.search(r"(fill|stroke): #", svg)


def test_markup_and_formulas_in_names_stay_text():
    board, records = board_and_records(
        [
            record(HOSTILE, error=1.0, costs=profile(1.0, 1e6), curves={HOSTILE: curve([1.0, 2.0])}),
            record("日本\x00", error=2.0, costs=profile(2.0, 1e6)),
        ]
    )
    for plot in (cost_plot(board, "cost.latency_ms", "x"), curve_plot(charts(board, records)[0], board, "y")):
        ET.fromstring(plot.svg)
        assert "<script" not in plot.svg
        assert any(text and text.startswith("</text><script>") for text in texts(plot.svg))


def test_nothing_is_plotted_where_all_cost_the_same():
    assert (
        cost_plot(
            board_of([record("a", costs=profile(1.0, 1e6)), record("b", costs=profile(2.0, 1e6))]), "cost.macs", "x"
        )
        is None
    )


def test_a_curve_over_decades_gets_powers_of_ten():
    board, records = board_and_records(
        [record(curves={"loss": Curve(x=[0, 1, 2], y=[1.0, 1e-3, 1e-6], x_name="step", origin="fit")})]
    )
    assert any(
        text and text.startswith("1") and "e−" in text
        for text in texts(curve_plot(charts(board, records)[0], board, "x").svg)
    )
