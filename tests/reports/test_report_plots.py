import re
import struct
import xml.etree.ElementTree as ET

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from record_factory import board_of, boards_of, cost, curve, percent, profile, record

from bench.record import Curve, MetricValue
from reports.curves import charts
from reports.house_style import THEME, printed, themed
from reports.overall import overall
from reports.plots import ablation_plot, agreement_plot, cost_plot, curve_plot, energy_plot, figures_of, order_plot
from reports.plots.variants import brief_names

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


# The critical-difference diagram --------------------------------------------------------------------------------------


def over_data_sets(*names):
    """Ranks 1, 2, 3, … of these methods on each of three data sets."""
    records = [
        record(name, error=float(place), dataset=f"data-{number}")
        for number in range(3)
        for place, name in enumerate(names)
    ]
    return overall(boards_of(records))[0], records


def test_the_diagram_names_every_method_with_its_rank_the_critical_difference_and_the_test():
    # Three methods on three data sets: 2.343 sqrt(3 * 4 / 18) = 1.91; chi-squared 6, p 0.0498.
    plot = order_plot(over_data_sets("a", "b", "c")[0], "x")
    # The better half at the left, name first; the other at the right.
    assert {"a  1.00", "b  2.00", "3.00  c", "CD = 1.91"} <= set(texts(plot.svg))
    assert "Friedman's test p = 0.050" in plot.description
    assert plot.description.endswith("Not to be told from the best: a, b.")
    assert plot.rows[0] == ("a", "1.00", "1", "1", "1")


def test_a_bar_joins_just_those_that_cannot_be_told_apart():
    over, _ = over_data_sets("a", "b", "c")
    bars = [line for line in order_plot(over, "x").figure.axes[0].lines if line.get_linewidth() == 3.2]
    ends = [tuple(bar.get_xdata()) for bar in bars]
    dots = [line.get_xdata()[0] for line in order_plot(over, "x").figure.axes[0].lines if line.get_marker() == "o"]
    assert [tuple(sum(low <= x <= high for x in [dot]) for dot in sorted(dots)) for low, high in ends] == [
        (1, 1, 0),
        (0, 1, 1),
    ]


def test_the_ruler_is_as_long_as_the_critical_difference_on_the_axis():
    over, _ = over_data_sets("a", "b", "c", "d")
    lines = order_plot(over, "x").figure.axes[0].lines
    axis, ruler = lines[0].get_xdata(), next(line.get_xdata() for line in lines if set(line.get_ydata()) == {18})
    # The axis spans ranks 1 to 4.
    assert (ruler[1] - ruler[0]) / ((axis[1] - axis[0]) / 3) == pytest.approx(over.test.critical)


def test_two_methods_have_no_diagram():
    assert order_plot(over_data_sets("a", "b")[0], "x") is None


# Ablation -------------------------------------------------------------------------------------------------------------


def variants(errors, **fields):
    """Variants of `m` by their parameters, five seeds each, which move all of them alike."""
    return [
        record("m", seed, parameters=dict(told), error=mean + seed + shift * (seed % 2) / 10, **fields)
        for told, (mean, shift) in errors.items()
        for seed in range(5)
    ]


DEFAULT, BETA, BOTH = (("beta", 0), ("gamma", 1)), (("beta", 2), ("gamma", 1)), (("beta", 0), ("gamma", 3))


def test_variants_are_held_against_the_one_that_all_others_vary():
    board, records = board_and_records(variants({BETA: (11.0, 1), DEFAULT: (10.0, 0), BOTH: (8.0, 1)}))
    plot = ablation_plot(board, "m", records, "x")
    # Shifts of 0, 0.1, 0, 0.1, 0 have the mean 0.04 and the deviation 0.0548: +- 2.776 * 0.0548 / sqrt(5) = 0.068.
    assert plot.rows == (
        ("gamma=3", "−1.960", "−2.028 to −1.892", "5"),
        ("beta=2", "+1.040", "0.972 to 1.108", "5"),
    )
    assert "minus that of m (beta=0, gamma=1)" in plot.description


def test_better_worse_and_undecided_variants_have_bars_of_their_own_colour():
    unsure = (("beta", 5), ("gamma", 1))
    board, records = board_and_records(
        variants({DEFAULT: (10.0, 0), BETA: (11.0, 1), BOTH: (8.0, 1), unsure: (9.96, 1)})
    )
    bars = ablation_plot(board, "m", records, "x").figure.axes[0].patches
    colours = [matplotlib.colors.to_hex(bar.get_facecolor()) for bar in bars]
    better, worse, others = list(THEME)[5], list(THEME)[6], list(THEME)[4]
    assert colours == [better, worse, others]
    assert [round(bar.get_width(), 2) for bar in bars] == [-1.96, 1.04, 0.0]


def test_a_method_without_variants_has_no_ablation():
    board, records = board_and_records([record("a", error=1.0), record("b", error=2.0)])
    assert ablation_plot(board, "a", records, "x") is None


# Rank correlation -----------------------------------------------------------------------------------------------------


def two_metrics(pairs):
    records = []
    for number, (error, auc) in enumerate(pairs):
        metrics = {"error": percent(error), "auc": MetricValue(value=auc, unit="", better="high", items=10)}
        records.append(record(f"m{number}", metrics=metrics))
    board = board_of(records)
    return board, next(quantity for quantity in board.quantities if quantity.name == "auc")


def test_the_title_of_a_scatter_tells_the_rank_correlation_with_its_interval():
    # As for the correlation worked by hand in test_stats_noise: 0.8.
    plot = agreement_plot(*two_metrics([(1, 0.2), (2, 0.1), (3, 0.4), (4, 0.3), (5, 0.5)]), "x")
    (told,) = [text for text in texts(plot.svg) if text and text.startswith("ρ")]
    assert re.fullmatch(r"ρ = 0\.80 \[−?\d\.\d\d, 1\.00\], n = 5", told)
    assert plot.caption == f"error against auc, rank correlation {told}"


def test_a_metric_that_orders_the_methods_alike_leaves_its_scatter_to_the_next_one():
    orders = {"accuracy": [5, 4, 3, 2, 1], "auc": [0.2, 0.1, 0.4, 0.3, 0.5], "f1": [0.3, 0.1, 0.4, 0.2, 0.5]}
    records = []
    for place in range(5):
        metrics = {
            name: MetricValue(value=values[place], unit="", better="high", items=10) for name, values in orders.items()
        }
        records.append(record(f"m{place}", metrics={"error": percent(place + 1.0)} | metrics))
    board, by_key = board_and_records(records)
    ((plots, _),) = figures_of([board], by_key, 10)
    scatters = [plot.caption for plot in plots if "agreement" in plot.name]
    assert [caption.partition(",")[0] for caption in scatters] == ["error against auc", "error against f1"]


def test_four_methods_or_a_constant_metric_have_no_scatter():
    assert agreement_plot(*two_metrics([(1, 0.2), (2, 0.1), (3, 0.4), (4, 0.3)]), "x") is None
    assert agreement_plot(*two_metrics([(1, 0.2), (2, 0.2), (3, 0.2), (4, 0.2), (5, 0.2)]), "x") is None


# Energy ---------------------------------------------------------------------------------------------------------------


def joules(value, items=None, **domains):
    detail = {"joules_by_domain": domains} if domains else {}
    return cost(value, "J", **detail, **({"items": items} if items else {}))


def test_energy_is_told_by_domain_for_a_fit_and_for_one_item():
    records = [
        record(
            "a",
            seed,
            costs={"energy_j": joules(0.003, 1000, package=3.0 + seed, dram=1.0)},
            training={"fit_energy_j": joules(100.0, package=100.0, dram=20.0)},
        )
        for seed in (0, 2)
    ]
    plot = energy_plot(*board_and_records(records), "x")
    assert plot.headers[1:] == (
        "of one fit: dram (J)",
        "of one fit: package (J)",
        "of one item: dram (J)",
        "of one item: package (J)",
    )
    # Packages of 3 and 5 J for 1,000 items: 4 mJ on average.
    assert plot.rows == (("a", "20.0", "100", "0.00100", "0.00400"),)


def test_a_row_without_energy_says_so_beside_one_that_has_it():
    records = [record("a", training={"fit_energy_j": joules(5.0)}), record("b", error=11.0, costs=profile(1.0, 1e6))]
    records += [record("c", error=12.0, costs={"energy_j": joules(0.5)})]
    plot = energy_plot(*board_and_records(records), "x")
    assert [row[0] for row in plot.rows] == ["a", "c"]
    assert plot.rows[0] == ("a", "5.00", "∅")
    assert " not measured" in "".join(f" {text.strip()}" for text in texts(plot.svg) if text)


def test_where_no_energy_was_measured_none_is_drawn():
    assert energy_plot(*board_and_records([record("a", costs=profile(1.0, 1e6))]), "x") is None


@pytest.mark.parametrize("bad", [{"package": "much"}, {"package": -1.0}, {"package": True}, {}])
def test_a_detail_that_makes_no_sense_leaves_the_measured_value_whole(bad):
    board, records = board_and_records([record("a", costs={"energy_j": cost(0.5, "J", joules_by_domain=bad, items=9)})])
    plot = energy_plot(board, records, "x")
    assert (plot.headers[1], plot.rows[0][1]) == ("of one item: all domains (J)", "0.500")


# All of them ----------------------------------------------------------------------------------------------------------


def every_kind():
    """Boards whose records have something for every figure, their names hostile."""
    names = [HOSTILE, "日本\x00", "c" * 300, "d", "e"]
    records = []
    for number in range(3):
        for place, name in enumerate(names):
            for seed in range(2):
                costs = profile(9.0 - place, 1e6 * (5 - place)) | {"energy_j": joules(0.5 + place, 9, **{HOSTILE: 2.0})}
                auc = MetricValue(value=2 * place % 5 + seed / 9 + number, unit=HOSTILE, better="high", items=1)
                records.append(
                    record(
                        name,
                        seed,
                        dataset=f"{HOSTILE}{number}",
                        metrics={"error": percent(10.0 + place + seed / 10), HOSTILE: auc},
                        costs=costs,
                        curves={
                            HOSTILE: curve([1.0, 2.0 + seed]),
                            f"{HOSTILE}[{HOSTILE}]": curve([1.0, 2.0 + seed]),
                            f"{HOSTILE}[b]": curve([1.0]),
                        },
                    )
                )
    for seed in range(2):
        records += [
            record("v", seed, dataset=f"{HOSTILE}0", parameters={HOSTILE: value}, error=20.0 + seed + value)
            for value in range(3)
        ]
    return records


@pytest.fixture(scope="module")
def drawn():
    records = every_kind()
    boards = boards_of(records)
    return [plot for plots, _ in figures_of(boards, {one.key: one for one in records}, 40) for plot in plots]


def test_records_that_have_everything_get_every_kind_of_figure_under_names_of_their_own(drawn):
    kinds = {"latency-ms", "macs", "energy-j", "parameters", "critical-difference", "ablation-0", "agreement-0"}
    kinds |= {"energy-domains"}
    assert [kind for kind in kinds if not any(plot.name.endswith(kind) for plot in drawn)] == []
    assert any("-fit-" in plot.name for plot in drawn)
    assert len({plot.name for plot in drawn}) == len(drawn)


def test_foreign_names_stay_text_in_every_kind_of_figure(drawn):
    for plot in drawn:
        root = ET.fromstring(plot.svg)
        assert not list(root.iter(f"{SVG}script")), plot.name
        assert "\x00" not in plot.svg
        assert "://" not in themed(plot.svg)
        assert {len(row) for row in plot.rows} == {len(plot.headers)}, plot.name


@pytest.mark.filterwarnings("ignore:Glyph")
def test_no_two_names_beside_points_overlap_and_none_leaves_the_figure(drawn):
    for plot in drawn:
        if not plot.name.endswith(("latency-ms", "macs", "energy-j", "parameters", "agreement-0")):
            continue
        figure = plot.figure
        renderer = FigureCanvasAgg(figure).get_renderer()
        boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
        assert boxes
        for place, box in enumerate(boxes):
            assert not any(box.shrunk(0.9, 0.7).overlaps(other.shrunk(0.9, 0.7)) for other in boxes[:place]), plot.name
            assert box.x0 > 0
            assert box.x1 < figure.bbox.width + 1


def crowd():
    """Ten methods that hardly differ, in a figure whose width two far ones stretch."""
    places = [(10.0 + number / 50, 5.0 + number / 50) for number in range(10)] + [(30.0, 1.0), (1.0, 30.0)]
    records = [
        record(f"method-{place}", error=error, costs={"latency_ms": cost(latency, "ms")})
        for place, (error, latency) in enumerate(places)
    ]
    return cost_plot(board_of(records), "cost.latency_ms", "x").figure


def extents(figure):
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]


def test_names_in_a_crowd_go_further_out_and_never_lie_on_one_another():
    boxes = extents(crowd())
    # Around one point the nearest ring has room for no more than six.
    assert len(boxes) > 8
    for place, box in enumerate(boxes):
        assert not any(box.shrunk(0.9, 0.7).overlaps(other.shrunk(0.9, 0.7)) for other in boxes[:place])


def test_names_stand_where_they_stood_when_a_figure_is_printed_with_more_pixels():
    figure = crowd()
    once = [(box.x0, box.y0) for box in extents(figure)]
    figure.set_dpi(144)
    # Half a pixel of rounding each.
    twice = [(box.x0 / 2, box.y0 / 2) for box in extents(figure)]
    assert twice == [(pytest.approx(x, abs=1), pytest.approx(y, abs=1)) for x, y in once]


def test_pdf_and_png_are_the_same_bytes_each_time_and_hold_no_date(drawn):
    for plot, again in zip(drawn[:2], figures_again(2), strict=True):
        pdf, png = printed(plot.figure, plot.name)
        assert (pdf, png) == printed(again.figure, again.name)
        assert pdf.startswith(b"%PDF")
        assert not re.search(rb"CreationDate|Producer|Creator", pdf)
        # Letters as TrueType outlines that a reader can search and a publisher accepts: no Type 3 font.
        assert b"/Type3" not in pdf
        assert b"Software" not in png


def figures_again(number):
    records = every_kind()
    drawn = figures_of(boards_of(records), {one.key: one for one in records}, 40)
    return [plot for plots, _ in drawn for plot in plots][:number]


def test_a_png_has_two_pixels_a_point(drawn):
    _, png = printed(drawn[0].figure, drawn[0].name)
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == tuple(int(2 * side) for side in drawn[0].figure.bbox.size)


def test_few_figures_are_shared_out_and_what_is_not_drawn_is_told():
    records = every_kind()
    found = figures_of(boards_of(records), {one.key: one for one in records}, 4)
    assert [len(plots) for plots, _ in found] == [1, 1, 1]
    assert all("Curves not drawn" in told for _, told in found)


def test_a_name_that_is_too_long_for_a_figure_tells_what_a_variant_changes():
    long = {"first_setting": "as-it-was", "second_setting": "as-it-was"}
    board = board_of(
        [record("m", parameters=long)]
        + [record("m", parameters=long | {name: "new"}, error=11.0) for name in long]
        + [record("other", error=9.0)]
    )
    assert sorted(brief_names(board)) == ["m", "m, first_setting=new", "m, second_setting=new", "other"]
