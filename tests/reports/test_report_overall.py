import pytest
from record_factory import boards_of, failed, record

from reports.export import markdown_overall
from reports.overall import overall


def grid(errors, seeds=3, **fields):
    """Records of methods x data sets, from mean errors by method; the same spread for all."""
    return [
        record(method, seed, error=mean + seed / 10, dataset=f"data-{place}", **fields)
        for method, means in errors.items()
        for place, mean in enumerate(means)
        for seed in range(seeds)
        if mean is not None
    ]


def one(records):
    (found,) = overall(boards_of(records))
    return found


def test_average_ranks_worked_by_hand():
    # Ranks on three data sets: a 1 2 1, b 2 1 2.5, c 3 3 2.5.
    found = one(grid({"a": [1, 5, 1], "b": [2, 4, 7], "c": [9, 9, 7]}))
    assert [(s.label, s.average_rank) for s in found.standings] == [
        ("a", pytest.approx(4 / 3)),
        ("b", pytest.approx(5.5 / 3)),
        ("c", pytest.approx(8.5 / 3)),
    ]
    assert found.standings[1].ranks == (2, 1, 2.5)
    assert found.left_out == ()


def test_three_data_sets_tell_the_first_from_the_third_of_three_methods_and_no_neighbours_apart():
    # Ranks 1 2 3 thrice: chi-squared 6, p 0.0498, so they differ; critical difference 2.343 sqrt(12 / 18) = 1.913.
    found = one(grid({"a": [1, 1, 1], "b": [2, 2, 2], "c": [3, 3, 3]}))
    assert found.test.statistic == pytest.approx(6.0)
    assert found.test.p == pytest.approx(0.0498, abs=1e-4)
    assert found.test.critical == pytest.approx(1.913, abs=2e-3)
    assert [s.level for s in found.standings] == [True, True, False]
    assert found.cliques == ((0, 1), (1, 2))


def test_where_friedmans_test_finds_nothing_no_method_is_told_from_the_best():
    found = one(grid({"a": [1, 3, 2], "b": [2, 1, 3], "c": [3, 2, 1]}))
    assert found.test.p == pytest.approx(1.0)
    assert [s.level for s in found.standings] == [True, True, True]
    assert found.cliques == ((0, 1, 2),)
    assert "no method is told from another" in found.rule


def test_ranks_beyond_the_critical_difference_do_not_count_where_friedmans_test_finds_nothing():
    # Ten methods, three data sets: one always first, one always last, 9 ranks apart, which is more than 3.164
    # sqrt(110 / 18) = 7.82; the eight between them change places, so that chi-squared stays below its 16.9 at 5 %.
    between = [[2, 3, 4, 5, 6, 7, 8, 9], [9, 8, 7, 6, 5, 4, 3, 2], [5, 7, 3, 9, 2, 8, 4, 6]]
    errors = {"first": [1, 1, 1], "last": [10, 10, 10]}
    errors |= {f"m{place}": [ranks[place] for ranks in between] for place in range(8)}
    found = one(grid(errors))
    assert found.test.critical == pytest.approx(7.82, abs=0.01)
    assert found.standings[-1].average_rank - found.standings[0].average_rank == 9
    assert found.test.p > 0.05
    assert all(s.level for s in found.standings)
    assert found.cliques == (tuple(range(10)),)


def test_two_methods_have_average_ranks_and_no_test():
    found = one(grid({"a": [1, 1], "b": [2, 2]}))
    assert found.test.p is None
    assert found.cliques == ()
    assert [s.level for s in found.standings] == [True, False]
    assert "no test over data sets" in found.rule


def test_a_method_with_a_gap_is_left_out_with_its_reason_and_the_others_stay():
    records = grid({"a": [1, 1, 1], "b": [2, 2, 2], "gap": [0, None, 0]})
    found = one(records)
    assert [s.label for s in found.standings] == ["a", "b"]
    assert found.left_out == ("gap (no trial on data-1)",)


def test_a_data_set_that_hardly_any_method_finished_is_left_out_rather_than_the_methods():
    found = one(grid({"a": [1, 1, 1], "b": [2, 2, None], "c": [3, 3, None]}))
    assert [board.dataset for board in found.boards] == ["data-0", "data-1"]
    assert found.left_out == ("data set data-2 (not every method compared finished it)",)


def test_many_data_sets_of_one_method_alone_do_not_push_out_what_can_be_compared():
    found = one(grid({"a": [1] * 7, "b": [2, 2] + [None] * 5}))
    assert [board.dataset for board in found.boards] == ["data-0", "data-1"]


def test_a_data_set_under_two_protocols_is_left_out_since_neither_is_the_data_sets():
    records = grid({"a": [1, 1, 1], "b": [2, 2, 2]})
    records += [record(method, 9, dataset="data-1", task_source="v2 bb") for method in "ab"]
    found = one(records)
    assert [board.dataset for board in found.boards] == ["data-0", "data-2"]
    assert found.left_out == ("data set data-1 (2 protocols)",)


def test_a_failed_seed_is_a_gap_since_the_others_would_flatter():
    records = grid({"a": [1, 1], "b": [2, 2], "c": [3, 3]}, seeds=2)
    records += [record("d", 0, error=0.1, dataset=f"data-{n}") for n in range(2)]
    records += [record("d", 1, error=0.1, dataset="data-0"), failed("d", 1, "oom", dataset="data-1")]
    found = one(records)
    assert [s.label for s in found.standings] == ["a", "b", "c"]
    assert found.left_out == ("d (1 of 2 seeds on data-1)",)


def test_one_data_set_and_methods_that_share_none_make_no_overall_board():
    assert overall(boards_of(grid({"a": [1], "b": [2]}))) == []
    assert overall(boards_of(grid({"a": [1, None], "b": [None, 2]}))) == []


@pytest.mark.parametrize("other", [{"budget": "smoke"}, {"hardware": "H200"}, {"settings": {"positives": 9}}])
def test_data_sets_under_other_circumstances_are_not_averaged_together(other):
    records = grid({"a": [1, 1], "b": [2, 2]})
    records += [record(m, 0, error=9.0, dataset="far", **other) for m in "ab"]
    (found,) = overall(boards_of(records))
    assert [board.dataset for board in found.boards] == ["data-0", "data-1"]


def test_directions_are_those_of_each_data_sets_ranking_metric():
    from bench.record import MetricValue

    def accuracy(value):
        return {"accuracy": MetricValue(value=value, unit="%", better="high", items=10)}

    records = grid({"a": [1], "b": [2]}, seeds=1)
    records += [record("a", 0, dataset="other", metrics=accuracy(90.0))]
    records += [record("b", 0, dataset="other", metrics=accuracy(80.0))]
    assert [s.ranks for s in one(records).standings] == [(1, 1), (2, 2)]


def test_the_markdown_names_the_policy_the_test_and_what_was_left_out():
    text = markdown_overall(one(grid({"a": [1, 1, 1], "b": [2, 2, 2], "c|d": [3, 3, 3], "gap": [0, None, None]})))
    assert "| **a** | 1.00 | 1 | 1 | 1 |" in text
    assert "| **b** | 2.00 ≈ |" in text
    assert "| c\\|d | 3.00 |" in text
    assert "Friedman's test: p = 0.050 (chi-squared 6.00, rough below 10 data sets)." in text
    assert "Nothing is filled in." in text
    assert "- Left out: gap (no trial on data-1; no trial on data-2)." in text
