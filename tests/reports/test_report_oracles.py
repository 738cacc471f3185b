"""An oracle on a board: shown with its values and its mark, and outside of every rank, test and front."""

import csv
import html
import io
import re

import pytest
from record_factory import board_of, boards_of, cost, curve, failed, profile, record
from rich.console import Console
from site_factory import write_small_site

from allwin.boards import leaders
from bench.store import frame_of
from reports.build import illustrate, write_report
from reports.curves import charts
from reports.export import as_json, csv_table, latex, markdown, markdown_overall
from reports.leaderboard import leaderboard
from reports.overall import overall
from reports.pairs import pairs
from reports.plots import ablation_plot, agreement_plot, cost_plot, curve_plot, energy_plot, order_plot
from reports.sections import sections
from reports.sheet import sheet
from reports.terminal import plain, rich_table

TOLD = "A row marked oracle uses what no method may use: it is a reference, in no rank, test or front."


def trials(method, mean, seeds=5, step=0.1, **fields):
    """One a seed; `step` is what a seed adds to the error, in turns up and down."""
    return [record(method, seed, error=mean + step * (-1) ** seed * seed, **fields) for seed in range(seeds)]


def small_set(**fields):
    """Two methods that the test tells apart, and an oracle that is better and cheaper than both."""
    return [
        *trials("nnpu", 10.0, costs=profile(2.0, 1e6)),
        *trials("upu", 20.0, step=0.2, costs=profile(1.0, 2e6)),
        *trials("pn", 5.0, step=0.3, costs=profile(0.5, 5e5), **({"oracle": True} | fields)),
    ]


def without(records, method="pn"):
    return [one for one in records if one.spec.method != method]


def row_of(board, method):
    return next(row for row in board.rows if row.method == method)


def test_an_oracle_stands_below_what_is_ranked_and_above_what_has_no_result():
    board = board_of([*small_set(), failed("broken", 0), failed("hidden", 0, oracle=True)])
    assert [(row.method, row.rank) for row in board.rows] == [
        ("nnpu", 1),
        ("upu", 2),
        ("pn", None),
        ("broken", None),
        ("hidden", None),
    ]
    assert [line.rank for line in sheet(board).lines] == ["1", "2", "oracle", "–", "oracle"]


def test_oracles_among_themselves_are_ordered_by_value():
    board = board_of([*trials("a", 9.0, oracle=True), *trials("b", 3.0, oracle=True), *trials("c", 5.0)])
    assert [row.method for row in board.rows] == ["c", "b", "a"]


def test_ranks_tests_fronts_and_noise_are_as_if_the_oracle_were_not_there():
    board, bare = board_of(small_set()), board_of(without(small_set()))
    for method in ("nnpu", "upu"):
        ours, theirs = row_of(board, method), row_of(bare, method)
        for name in ("rank", "standing", "difference", "p", "fronts"):
            assert getattr(ours, name) == getattr(theirs, name)
    assert board.noise == bare.noise
    # As a method it would lead, and change all of these.
    as_method = board_of(small_set(oracle=False))
    assert row_of(as_method, "pn").standing == "best"
    assert row_of(as_method, "nnpu").p != row_of(board, "nnpu").p
    assert not row_of(as_method, "nnpu").fronts["cost.macs"]
    assert row_of(board, "nnpu").fronts["cost.macs"]
    assert as_method.noise != board.noise


def test_an_oracle_has_its_values_and_nothing_of_a_comparison():
    row = row_of(board_of(small_set()), "pn")
    # Seeds add 0, -0.3, 0.6, -0.9 and 1.2 to 5: their mean is 0.12.
    assert row.cells["metric.error"].mean == pytest.approx(5.12)
    assert row.cells["cost.latency_ms"].mean == 0.5
    assert (row.oracle, row.rank, row.standing, row.difference, row.p, row.fronts) == (True, None, None, None, None, {})


def test_an_oracle_that_ties_with_the_best_shares_no_rank():
    board = board_of([*trials("a", 5.0), *trials("pn", 5.0, oracle=True), *trials("b", 7.0)])
    assert [(row.method, row.rank) for row in board.rows] == [("a", 1), ("b", 2), ("pn", None)]


def test_the_rule_explains_the_mark_only_where_there_is_one():
    assert TOLD in board_of(small_set()).rule
    assert "oracle" not in board_of(without(small_set())).rule


def test_a_board_of_oracles_alone_ranks_nothing_and_says_so():
    board = board_of(trials("pn", 5.0, oracle=True))
    assert [row.rank for row in board.rows] == [None]
    assert board.rule == f"No trial but those of oracles gave a result, so nothing is ranked. {TOLD}"
    for printed in (markdown(board), latex([board]), csv_table([board]), plain(board)):
        assert "oracle" in printed


def test_one_record_that_says_so_makes_its_row_an_oracles():
    # The older seeds were written before the method was declared.
    older = trials("pn", 5.0)
    board = board_of([*trials("nnpu", 10.0), *older[:4], older[4].model_copy(update={"oracle": True})])
    assert (row_of(board, "pn").oracle, row_of(board, "nnpu").rank) == (True, 1)


def test_a_frame_kept_before_there_were_oracles_is_read():
    records = trials("pn", 5.0)
    frame = frame_of(records)
    frame["account"] = frame["account"].str.replace('"oracle":false,', "")
    assert not frame["account"].str.contains("oracle").any()
    (board,) = leaderboard(frame, {one.key: one for one in records})
    assert [(row.oracle, row.rank) for row in board.rows] == [(False, 1)]


# In print -------------------------------------------------------------------------------------------------------------


def test_markdown_marks_it_in_words_and_never_bold():
    text = markdown(board_of(small_set()))
    (line,) = re.findall(r"(?m)^\|.*\| pn \|.*$", text)
    assert line.startswith("| oracle | pn | 5 / 5 | 5.")
    assert "**" not in line
    assert "| 1 | **nnpu** |" in text
    assert TOLD in text


def test_latex_marks_it_in_words_and_never_bold():
    text = latex([board_of(small_set())])
    assert re.search(r"(?m)^    oracle & pn & 5 / 5 & 5\.", text)
    assert r"1 & \textbf{nnpu}" in text
    assert TOLD in text


def test_csv_and_json_say_of_each_row_whether_it_is_an_oracles():
    board = board_of(small_set())
    lines = list(csv.DictReader(io.StringIO(csv_table([board]))))
    assert [(line["method"], line["rank"], line["oracle"], line["standing"]) for line in lines] == [
        ("nnpu", "1", "no", "best"),
        ("upu", "2", "no", "behind"),
        ("pn", "", "yes", ""),
    ]
    (document,) = as_json([board])
    assert [(row["method"], row["rank"], row["oracle"]) for row in document["rows"]] == [
        ("nnpu", 1, False),
        ("upu", 2, False),
        ("pn", None, True),
    ]


def test_the_terminal_marks_it_in_words_and_never_bold():
    board = board_of(small_set())
    assert re.search(r"(?m)^oracle +pn +5 / 5 +5\.", plain(board))
    assert TOLD in plain(board)
    console = Console(width=200, force_terminal=True, color_system="standard", record=True)
    console.print(rich_table(board, 200))
    printed = console.export_text(styles=True).splitlines()
    bare = [re.sub(r"\x1b\[\d+m", "", line) for line in printed]
    (first,) = (line for line, text in zip(printed, bare, strict=True) if re.match(r" +1  +nnpu ", text))
    (line,) = (line for line, text in zip(printed, bare, strict=True) if re.match(r" oracle  +pn ", text))
    assert "\x1b[1m" in first
    assert "\x1b[1m" not in line


def test_a_page_marks_it_in_words_offers_no_comparison_with_it_and_names_another_leader(tmp_path):
    page = write_report(small_set(), tmp_path, "Oracles", {}).index.read_text(encoding="utf-8")
    rows = re.findall(r"(?s)<tr( class=\"[^\"]*\")?( data-pick=\"\d\")?>\s*<td class=\"number\" [^>]*>(.*?)</td>", page)
    assert rows == [
        (' class="leading"', ' data-pick="0"', "1"),
        ("", ' data-pick="1"', "2"),
        (' class="unranked"', "", "oracle"),
    ]
    assert TOLD in html.unescape(page)


def test_a_board_in_one_line_names_the_best_of_what_is_ranked(tmp_path):
    records = [*small_set(), *trials("pn", 5.0, dataset="alone", oracle=True)]
    write_small_site(tmp_path, records)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.search(r"pu on mnist5k</a></th>\s*<td><a [^>]*>nnpu</a></td>", page)
    assert re.search(r"pu on alone</a></th>\s*<td>none is ranked</td>", page)


def test_a_site_says_so_of_the_method_and_counts_no_first_place(tmp_path):
    write_small_site(tmp_path, small_set())
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    (line,) = re.findall(r'<tr><th scope="row"><a href="methods/pu-pn\.html">.*', index)
    assert 'pu/pn</a> <span class="quiet">(oracle)</span>' in line
    # First on no board, five trials ok.
    assert '<td class="number zero">0</td><td class="number">5</td>' in line
    assert index.count("(oracle)") == 1
    page = (tmp_path / "methods" / "pu-pn.html").read_text(encoding="utf-8")
    assert "<span>oracle: uses what no method may use</span>" in page
    assert '<td class="number">oracle</td>' in page
    assert "1 of 2" in (tmp_path / "methods" / "pu-nnpu.html").read_text(encoding="utf-8")


def test_no_pairs_with_an_oracle_are_on_the_page():
    records = small_set()
    found = pairs(sheet(board_of(records)), {one.key: one for one in records}, 1000)
    assert (found.rows, "pn" in found.script) == (2, False)


# Leaders and ranks over data sets -------------------------------------------------------------------------------------


def test_an_oracle_is_no_leader():
    assert leaders(small_set(), "pu") == ["nnpu"]
    assert leaders(trials("pn", 5.0, oracle=True), None) == []


def over_data_sets(oracle):
    methods = {"a": 1.0, "b": 2.0, "c": 3.0}
    found = [
        one
        for number in range(3)
        for name, mean in methods.items()
        for one in trials(name, mean, 1, dataset=f"data-{number}")
    ]
    marked = [trials("pn", 0.5, 1, dataset=f"data-{number}", oracle=number in oracle) for number in range(3)]
    return found, [*found, *(one for group in marked for one in group)]


@pytest.mark.parametrize("oracle", [(0, 1, 2), (2,)])
def test_average_ranks_leave_an_oracle_out_and_say_why(oracle):
    # On one data set it may have been run before it was declared: it is the same method.
    bare, full = (overall(boards_of(records))[0] for records in over_data_sets(oracle))
    assert full.standings == bare.standings
    assert full.test == bare.test
    assert full.left_out == ("pn (oracle)",)
    assert "pn" not in order_plot(full, "x").svg
    assert "Left out: pn (oracle)." in markdown_overall(full)


# Figures --------------------------------------------------------------------------------------------------------------


def test_beside_the_front_an_oracle_is_a_star_outside_of_it():
    board = board_of(small_set())
    plot, bare = (cost_plot(one, "cost.latency_ms", "x") for one in (board, board_of(without(small_set()))))
    assert plot.rows == (*bare.rows, ("pn", "5.120", "0.5000", "oracle"))
    assert [row[-1] for row in plot.rows] == ["yes", "yes", "oracle"]
    assert "oracle: pn" in plot.svg
    assert plot.description.startswith("2 methods; ")
    assert plot.description.endswith("Beside it, as a star, what uses what no method may use: pn.")
    stars = [line for line in plot.figure.axes[0].lines if line.get_marker() == "*"]
    assert [tuple(line.get_xydata()[0]) for line in stars] == [(0.5, pytest.approx(5.12))]


def test_an_oracle_alone_beside_one_method_makes_no_figure_of_costs():
    assert cost_plot(board_of(without(small_set(), "upu")), "cost.latency_ms", "x") is None


def test_an_oracle_is_in_no_rank_correlation_and_no_ablation():
    metric = record().metrics["error"]

    def two(method, first, second, **fields):
        values = {"error": first, "auc": second}
        metrics = {name: metric.model_copy(update={"value": value}) for name, value in values.items()}
        return record(method, metrics=metrics, **fields)

    records = [two(f"m{place}", place, place) for place in range(5)]
    board = board_of([*records, two("pn", 9.0, -9.0, oracle=True)])
    auc = next(quantity for quantity in board.quantities if quantity.name == "auc")
    assert "ρ = 1.00" in agreement_plot(board, auc, "x").caption
    variants = [*trials("pn", 5.0, oracle=True), *trials("pn", 6.0, oracle=True, parameters={"lr": 0.5})]
    board = board_of([*small_set(), *variants])
    assert ablation_plot(board, "pn", {one.key: one for one in [*small_set(), *variants]}, "x") is None


def test_figures_of_energies_and_curves_name_it_as_one():
    fields = {"costs": {"energy_j": cost(2.0, "J")}, "curves": {"risk": curve([1.0, 0.5])}}
    records = [*trials("a", 1.0, 1, **fields), *trials("pn", 0.5, 1, oracle=True, **fields)]
    board, by_key = board_of(records), {one.key: one for one in records}
    assert [row[0] for row in energy_plot(board, by_key, "x").rows] == ["a", "oracle: pn"]
    (chart,) = charts(board, by_key)
    plot = curve_plot(chart, board, "x")
    assert plot.headers == ("step", "a", "oracle: pn")
    assert "*" in [line.get_marker() for line in plot.figure.axes[0].lines]


def test_the_section_of_a_board_of_oracles_compares_nothing():
    records = trials("pn", 5.0, oracle=True)
    boards = boards_of(records)
    (found,) = sections(illustrate(boards, {one.key: one for one in records}), {}, {})
    assert (found.compared, found.pairs.rows) == (False, 0)
