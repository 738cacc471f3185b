"""Families of curves, `rate[stem]` and `rate[head]`: one figure with a panel each."""

import xml.etree.ElementTree as ET

import pytest
from record_factory import board_of, curve, percent, record

from bench.record import MetricValue
from reports.curves import charts, families
from reports.house_style import INK, MUTED, OTHERS
from reports.plots import figures_of, panel_plot

SVG = "{http://www.w3.org/2000/svg}"


def a_policy(parts, value=0.5, length=4, **others):
    return {f"rate[{part}]": curve([1.0, *[value] * (length - 1)]) for part in parts} | others


def drawn(records):
    ((plots, told),) = figures_of([board_of(records)], {one.key: one for one in records}, 10)
    return plots, told


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_the_members_of_a_family_share_a_figure_and_its_place():
    plots, told = drawn([record(curves=a_policy(["stem", "blocks", "head"], loss=curve([1.0, 2.0])))])
    assert [plot.caption for plot in plots] == ["loss during fit", "rate of each of 3 during fit"]
    assert not told


def test_each_member_has_a_panel_under_its_name_and_all_have_the_same_axes():
    records = [record("a", curves=a_policy(["stem", "new_head"])), record("b", curves=a_policy(["stem"], 0.1))]
    (plot,), _ = drawn(records)
    assert {"stem", "new head", "a", "b", "step"} <= set(texts(plot.svg))
    assert len(plot.figure.axes) == 2
    assert (
        len({axes.get_ylim() for axes in plot.figure.axes}) == len({axes.get_xlim() for axes in plot.figure.axes}) == 1
    )
    assert plot.figure.axes[0].get_ylim()[0] < 0.1


def test_the_table_has_the_first_the_mean_and_the_last_of_each_row_in_each_panel_as_they_were_logged():
    # 1, 0.2, 0.2 and 0.2 have a mean of 0.4.
    (plot,), _ = drawn([record("a", curves=a_policy(["stem", "head"], 0.2))])
    assert plot.headers == ("method", "of", "first", "mean", "last")
    assert plot.rows == (("a", "stem", "1.00", "0.400", "0.200"), ("a", "head", "1.00", "0.400", "0.200"))


def test_seeds_are_averaged_with_a_band():
    records = [record(seed=seed, curves=a_policy(["stem", "head"], 0.2 + seed / 10)) for seed in range(2)]
    (plot,), _ = drawn(records)
    assert plot.rows[0][-1] == "0.250"
    assert plot.description.startswith("Mean and 95 % band over 2 seeds, by step")


def test_curves_of_another_phase_or_another_axis_are_another_family():
    curves = {
        "rate[stem]": curve([1.0]),
        "policy/rate[stem]": curve([1.0]),
        "policy/rate[head]": curve([1.0]),
        "rate[head]": curve([1.0], x_name="epoch"),
    }
    records = [record(curves=curves)]
    groups = families(charts(board_of(records), {one.key: one for one in records}))
    assert [[chart.name for chart in group] for group in groups] == [
        ["policy/rate[stem]", "policy/rate[head]"],
        ["rate[stem]"],
        ["rate[head]"],
    ]


def test_a_family_comes_before_all_curves_but_the_first():
    plots, _ = drawn([record(curves=a_policy(["stem", "head"], alpha=curve([1.0]), loss=curve([1.0])))])
    assert [plot.caption for plot in plots] == [
        "alpha during fit",
        "rate of each of 2 during fit",
        "loss during fit",
    ]


def test_a_family_that_has_no_room_is_told_by_its_name():
    records = [record(curves=a_policy(["stem", "head"], loss=curve([1.0])))]
    ((plots, told),) = figures_of([board_of(records)], {one.key: one for one in records}, 1)
    assert len(plots) == 1 and told == "Curves not drawn: rate."


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_panels_lie_inside_the_figure_and_apart(count):
    records = [record("m" * 60, curves=a_policy([f"part{number}" for number in range(count)]))]
    board = board_of(records)
    plot = panel_plot(charts(board, {one.key: one for one in records}), board, "x")
    boxes = [axes.get_position() for axes in plot.figure.axes]
    assert len(boxes) == count
    for place, box in enumerate(boxes):
        assert 0 < box.x0 < box.x1 < 1 and 0 < box.y0 < box.y1 < 1
        assert not any(box.overlaps(other) for other in boxes[:place])


def test_rows_beyond_the_palette_differ_from_their_neighbours_and_from_an_oracle():
    records = [record(f"m{place:02d}", error=float(place), curves=a_policy(["stem", "head"])) for place in range(12)]
    board = board_of(records)
    plot = panel_plot(charts(board, {one.key: one for one in records}), board, "x")
    # Drawn last to first, a mean and its end each.
    colours = [line.get_color() for line in plot.figure.axes[0].lines[::2]][::-1]
    assert colours[8:] == [OTHERS, INK, OTHERS, INK]
    assert MUTED not in colours


def test_the_ranking_metric_of_another_network_has_no_scatter():
    orders = {"error_of_best": [2.0, 1.0, 3.0, 4.0, 5.0], "spread": [0.2, 0.1, 0.4, 0.3, 0.5]}
    records = [
        record(
            f"m{place}",
            metrics={"error": percent(place + 1.0)}
            | {
                name: MetricValue(value=values[place], unit="", better="low", items=10)
                for name, values in orders.items()
            },
        )
        for place in range(5)
    ]
    plots, _ = drawn(records)
    captions = [plot.caption.partition(",")[0] for plot in plots if "agreement" in plot.name]
    assert captions == ["error against spread"]
