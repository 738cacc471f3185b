"""Small drawings, and docstrings as blocks."""

import re
import xml.etree.ElementTree as ET

import pytest

from reports.prose import Block, blocks
from reports.sketch import BOTTOM, LEFT, POINTS, RIGHT, TOP, Trace, sketch


def drawn(*traces):
    return sketch("curve-1", "risk", "step", "nnpu", traces)


def lines(found):
    return re.findall(r'class="line[^>]* d="([^"]+)"', found.svg)


def test_a_line_runs_from_corner_to_corner_of_its_frame():
    (line,) = lines(drawn(Trace("risk", [0, 10], [5.0, 1.0])))
    assert line == f"M{LEFT:.1f} {TOP:.1f}L{RIGHT:.1f} {BOTTOM:.1f}"


def test_a_point_that_is_not_finite_is_a_gap_and_a_point_between_gaps_a_dot():
    found = drawn(Trace("risk", [0, 1, 2, 3, 4], [5.0, 4.0, None, 3.0, None]))
    first, dot = lines(found)
    assert first.count("L") == 1
    assert len(set(dot[1:].split("L"))) == 1
    assert found.rows[2] == ("2", "·")


def test_a_curve_without_any_value_is_not_drawn():
    assert drawn(Trace("risk", [0.0, 1.0], [None, None])) is None
    assert drawn() is None


def test_values_over_more_than_three_powers_of_ten_are_drawn_by_their_logarithms():
    # 100 lies half way between 1 and 10,000.
    found = drawn(Trace("loss", [0, 1, 2], [10_000.0, 100.0, 1.0]))
    middle = re.search(r"L\S+ (\S+?)L", lines(found)[0])
    assert float(middle[1]) == (TOP + BOTTOM) / 2
    assert "log scale" in found.svg
    assert "log scale" not in drawn(Trace("loss", [0, 1], [1000.0, 1.0])).svg


def test_along_a_cost_each_line_has_its_own_places_and_the_table_says_them():
    traces = [Trace("slow", [1.0, 2.0], [5.0, 1.0], None, 50.0), Trace("fast", [1.0, 2.0], [5.0, 1.0], None, 1.0)]
    found = sketch("curve-1", "risk", "iteration", "both", traces, "time (ms)")
    # From 1 to 100: 2 lies at 1/99 of the way, 50 at 49/99.
    slow, fast = lines(found)
    assert slow == f"M{LEFT + 276 * 49 / 99:.1f} {TOP:.1f}L{RIGHT:.1f} {BOTTOM:.1f}"
    assert fast == f"M{LEFT:.1f} {TOP:.1f}L{LEFT + 276 / 99:.1f} {BOTTOM:.1f}"
    assert found.headers == ("iteration", "slow", "fast")
    assert found.rows == (("1", "5.00 at 50.0", "5.00 at 1.00"), ("2", "1.00 at 100", "1.00 at 2.00"))
    assert found.description.startswith("Against time (ms). ")


def test_an_axis_may_be_logarithmic():
    traces = [Trace("risk", [1.0, 10.0, 100.0], [1.0, 2.0, 3.0])]
    (line,) = lines(sketch("curve-1", "risk", "iteration", "nnpu", traces, "time (ms)", log_x=True))
    middle = re.search(r"L(\S+) ", line)
    # 10 lies half way between 1 and 100.
    assert float(middle[1]) == (LEFT + RIGHT) / 2


def test_the_band_lies_inside_the_frame():
    found = drawn(Trace("risk", [0, 1], [1.0, 2.0], [0.5, 3.0]))
    (band,) = re.findall(r'class="band"[^>]* d="M([^"]+)Z"', found.svg)
    heights = [float(point.split(" ")[1]) for point in band.split("L")]
    # From 2 - 3 to 2 + 3.
    assert (min(heights), max(heights)) == (TOP, BOTTOM)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e150, 5e-324])
def test_a_curve_that_never_moves_is_drawn_in_the_middle(value):
    (line,) = lines(drawn(Trace("risk", [0, 1], [value, value])))
    assert {point.split(" ")[1] for point in line[1:].split("L")} == {f"{(TOP + BOTTOM) / 2:.1f}"}


def test_the_widest_span_of_numbers_has_finite_places():
    found = drawn(Trace("risk", [-1e150, 1e150], [5e-324, 1e150]), Trace("other", [0.0, 1.0], [-1e150, 1e150]))
    assert "nan" not in found.svg
    assert "inf" not in found.svg


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    found = drawn(Trace("risk", list(range(10_000)), [float(x) for x in range(10_000)]))
    assert lines(found)[0].count("L") == POINTS - 1
    assert lines(found)[0].endswith(f"L{RIGHT:.1f} {TOP:.1f}")
    assert len(found.rows) == 13


def test_markup_in_names_stays_text():
    found = sketch('"><script>', "<b>", "<i>", "<u>", [Trace("<s>", [0.0], [1.0])])
    root = ET.fromstring(found.svg)
    assert {element.tag for element in root.iter()} == {"svg", "title", "desc", "path", "text"}


# Docstrings -----------------------------------------------------------------------------------------------------------


def test_a_docstring_has_paragraphs_tables_and_numbered_lists():
    doc = "First line\nsecond line.\n\n    risk   `nnpu`\n      more\n\nDiffers:\n1. One\n   thing.\n2. Another."
    assert blocks(doc) == [
        Block("text", ("First line", "second line.")),
        Block("code", ("risk   `nnpu`", "  more")),
        Block("text", ("Differs:",)),
        Block("list", ("One thing.", "Another.")),
    ]


def test_an_empty_docstring_has_no_blocks():
    assert blocks("") == []
    assert blocks(" \n\n  \n") == []
