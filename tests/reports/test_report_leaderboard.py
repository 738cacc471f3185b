import pytest
from record_factory import board_of, boards_of, cost, failed, percent, profile, record, skipped

from bench.record import MetricValue
from bench.store import frame_of
from reports.leaderboard import leaderboard


def trials(method, errors, **fields):
    return [record(method, seed, error=error, **fields) for seed, error in enumerate(errors)]


def rows_of(records):
    return {row.label: row for row in board_of(records).rows}


def test_an_empty_store_has_no_boards():
    assert leaderboard(frame_of([]), {}) == []


def test_lower_error_ranks_first_and_higher_auc_ranks_first():
    assert [row.label for row in board_of(trials("bad", [20.0]) + trials("good", [10.0])).rows] == ["good", "bad"]

    def auc(value):
        return {"auc": MetricValue(value=value, unit="", better="high", items=10)}

    by_auc = [record("bad", metrics=auc(0.7)), record("good", metrics=auc(0.9))]
    assert [row.label for row in board_of(by_auc).rows] == ["good", "bad"]


def test_the_first_metric_ranks_even_if_a_later_one_disagrees():
    def both(error, auc):
        return {"error": percent(error), "auc": MetricValue(value=auc, unit="", better="high", items=10)}

    board = board_of([record("a", metrics=both(10.0, 0.5)), record("b", metrics=both(11.0, 0.9))])
    assert [row.label for row in board.rows] == ["a", "b"]


def test_a_cell_is_the_mean_over_seeds_with_a_t_interval():
    # 9, 10, 11: mean 10, deviation 1, half width 4.303 / sqrt(3) = 2.484.
    cell = board_of(trials("nnpu", [9.0, 10.0, 11.0])).rows[0].cells["metric.error"]
    assert (cell.mean, cell.n) == (10.0, 3)
    assert cell.half_width == pytest.approx(2.484, rel=1e-3)


def test_one_seed_has_no_interval_and_the_rule_says_so():
    board = board_of(trials("nnpu", [10.0]) + trials("upu", [12.0]))
    assert board.rows[0].cells["metric.error"].half_width is None
    assert "there is no interval" in board.rule


def test_equal_means_share_a_rank_and_the_next_rank_is_skipped():
    rows = rows_of(trials("a", [10.0]) + trials("b", [10.0]) + trials("c", [11.0]))
    assert [rows[name].rank for name in "abc"] == [1, 1, 3]


def test_five_pairs_tell_a_clear_loser_from_a_near_equal():
    # near: differences 0.1, -0.1, 0.05, -0.05, 0.02 about zero; far: about +5 each.
    best = trials("best", [10.0, 10.5, 11.0, 11.5, 12.0])
    near = trials("near", [10.1, 10.4, 11.05, 11.45, 12.02])
    far = trials("far", [15.1, 15.4, 16.05, 16.45, 17.02])
    rows = rows_of(best + near + far)
    assert (rows["best"].standing, rows["near"].standing, rows["far"].standing) == (
        "best",
        "not distinguishable",
        "behind",
    )
    assert rows["far"].difference.mean == pytest.approx(5.004)


def test_holm_is_taken_over_all_comparisons_of_the_board():
    best = trials("best", [10.0, 10.5, 11.0, 11.5, 12.0])
    near = trials("near", [10.1, 10.4, 11.05, 11.45, 12.02])
    far = trials("far", [15.1, 15.4, 16.05, 16.45, 17.02])
    alone = rows_of(best + far)["far"].p
    assert rows_of(best + near + far)["far"].p == pytest.approx(2 * alone)


def test_fewer_than_five_pairs_give_a_plain_order_and_never_a_p():
    board = board_of(trials("a", [10.0, 10.1, 10.2, 10.3]) + trials("b", [20.0, 20.2, 20.1, 20.3]))
    assert [row.standing for row in board.rows] == ["untested", "untested"]
    assert board.rows[1].p is None
    assert board.rows[1].difference.low > 9
    assert "n < 5: no test" in board.rule


def test_a_lucky_single_seed_is_not_what_the_others_are_held_against():
    full = trials("full", [10.0, 10.5, 11.0, 11.5, 12.0])
    other = trials("other", [15.1, 15.4, 16.05, 16.45, 17.02])
    board = board_of(full + other + trials("lucky", [9.0]))
    rows = {row.label: row for row in board.rows}
    assert rows["lucky"].rank == 1
    assert rows["lucky"].standing == "untested"
    assert rows["full"].standing == "best"
    assert rows["other"].standing == "behind"
    assert any("lucky: means over 1 of 5 seeds" in note for note in board.notes)


def test_a_row_that_beats_the_reference_on_shared_seeds_is_ahead():
    full = trials("full", [10.0, 10.5, 11.0, 11.5, 12.0, 12.5])
    short = trials("short", [5.1, 5.4, 6.05, 6.45, 7.02])
    assert rows_of(full + short)["short"].standing == "ahead"


@pytest.mark.parametrize(
    "other",
    [
        {"hardware": "H200"},
        {"dataset": "digits"},
        {"budget": "smoke"},
        {"settings": {"positives": 1000}},
        {"task": "l2o"},
        {"task_source": "v2 aa"},
        {"data": "v2"},
    ],
)
def test_what_differs_in_circumstance_is_never_ranked_together(other):
    boards = boards_of([record("a"), record("b", **other)])
    assert [len(board.rows) for board in boards] == [1, 1]
    assert all(board.rows[0].rank == 1 for board in boards)


def test_titles_name_what_tells_two_boards_apart():
    titles = [board.title for board in boards_of([record("a"), record("a", hardware="H200")])]
    assert titles == ["pu on mnist5k (hardware=H200)", "pu on mnist5k (hardware=Xeon 6973P, 2 cores)"]


def test_variants_of_a_method_are_labelled_by_what_differs_and_others_by_name():
    records = [
        record("nnpu", parameters={"beta": 0.0, "lr": 0.1}),
        record("nnpu", parameters={"beta": 0.1, "lr": 0.1}),
        record("upu", parameters={"lr": 0.5}),
    ]
    assert set(rows_of(records)) == {"nnpu (beta=0.0)", "nnpu (beta=0.1)", "upu"}


def test_variants_of_a_wrapped_method_are_labelled_by_its_own_setting():
    records = [record("dance(unet)", parameters={"base": {"lr": lr}}) for lr in (0.1, 0.2)]
    assert set(rows_of(records)) == {"dance(unet) (base.lr=0.1)", "dance(unet) (base.lr=0.2)"}


def test_of_two_records_of_one_cell_the_later_counts_and_the_board_says_so():
    old = record("nnpu", 0, error=90.0, source="old", ended="2026-11-22T06:00:00+00:00")
    new = record("nnpu", 0, error=10.0, source="new", ended="2026-11-23T06:00:00+00:00")
    for order in ([old, new], [new, old]):
        board = board_of(order)
        assert board.rows[0].cells["metric.error"].mean == 10.0
        assert board.notes[0] == "1 older record of the same cells, made with other code, left out."


def test_a_row_made_with_two_versions_of_its_code_is_told():
    board = board_of([record("nnpu", 0, source="old"), record("nnpu", 1, source="new")])
    assert "The trials of nnpu used 2 versions of its code." in board.notes


def test_the_numbers_of_a_failed_trial_are_not_used():
    broken = failed("nnpu", 1, metrics={"error": percent(90.0)})
    row = board_of([record("nnpu", 0, error=10.0), broken]).rows[0]
    assert (row.cells["metric.error"].mean, row.failed, row.causes) == (10.0, (1,), {"error": 1})


def test_a_method_whose_trials_all_failed_stays_unranked_with_its_causes():
    rows = rows_of([record("good"), failed("broken", 0, "oom"), failed("broken", 1, "timeout"), record("good", 1)])
    assert rows["broken"].rank is None
    assert rows["broken"].causes == {"oom": 1, "timeout": 1}
    assert rows["broken"].cells["metric.error"].mark == "failed"


def test_a_board_on_which_all_failed_ranks_nothing():
    board = board_of([failed("a"), failed("b")])
    assert board.ranking is None
    assert board.rule == "No trial gave a result, so nothing is ranked."


def test_the_four_blanks_are_told_apart():
    rows = rows_of(
        [
            record("measured", costs=profile(1.0, 1e6)),
            record("unprofiled", stages=("fit", "evaluate")),
            failed("broken"),
            skipped("absent"),
        ]
    )
    marks = {name: row.cells["cost.energy_j"].mark for name, row in rows.items()}
    assert marks == {
        "measured": "not measured",
        "unprofiled": "not run",
        "broken": "failed",
        "absent": "skipped",
    }
    assert rows["measured"].cells["cost.energy_j"].reasons == ("no RAPL zones here; run on bare metal",)


def test_a_zero_is_a_value_and_no_blank():
    cell = board_of([record(costs={"parameters": cost(0, "parameter")})]).rows[0].cells["cost.parameters"]
    assert (cell.mean, cell.mark) == (0.0, None)


def test_seeds_that_others_have_are_not_run():
    rows = rows_of(trials("all", [10.0, 11.0, 12.0]) + trials("one", [10.0]))
    assert rows["one"].not_run == (1, 2)


def test_a_cost_read_in_some_trials_only_keeps_its_mean_and_the_reason():
    records = [
        record(seed=0, costs={"energy_j": cost(2.0, "J")}),
        record(seed=1, costs={"energy_j": cost(None, "J", "a foreign process")}),
    ]
    cell = board_of(records).rows[0].cells["cost.energy_j"]
    assert (cell.mean, cell.n, cell.reasons) == (2.0, 1, ("a foreign process",))


def test_a_flag_of_a_measurement_is_told_below_the_board():
    board = board_of([record(costs={"latency_ms": cost(2.0, "ms", unstable=True)})])
    assert "latency_ms flagged unstable in 1 trial." in board.notes


def test_the_front_holds_what_is_better_or_cheaper():
    rows = rows_of(
        [
            record("fast", error=20.0, costs=profile(1.0, 1e6)),
            record("good", error=10.0, costs=profile(5.0, 9e6)),
            record("neither", error=15.0, costs=profile(6.0, 2e6)),
        ]
    )
    assert {name: row.fronts["cost.latency_ms"] for name, row in rows.items()} == {
        "fast": True,
        "good": True,
        "neither": False,
    }
    assert rows["neither"].fronts["cost.macs"]


def test_versions_of_the_task_are_named_in_the_titles_that_they_tell_apart():
    titles = [board.title for board in boards_of([record("a"), record("b", task_source="v2 aa")])]
    assert titles == ["pu on mnist5k (protocol=v1, mnist5k v1)", "pu on mnist5k (protocol=v2, mnist5k v1)"]


def test_other_code_of_the_task_under_one_version_is_told_but_shares_the_board():
    board = board_of([record("a"), record("b", task_source="v1 bb")])
    assert any("The trials used 2 versions of the task's code" in note for note in board.notes)


def test_what_ran_again_under_a_new_protocol_is_not_shown_under_the_old_one_as_well():
    old = [record(method, task_source="v1 aa", ended="2026-11-22T06:00:00+00:00") for method in "ab"]
    new = record("a", task_source="v2 bb", ended="2026-11-23T06:00:00+00:00")
    first, second = boards_of([*old, new])
    assert [(board.protocol, [row.label for row in board.rows]) for board in (first, second)] == [
        ("v1, mnist5k v1", ["b"]),
        ("v2, mnist5k v1", ["a"]),
    ]
    assert second.notes[0].startswith("1 older record")
    assert not any("older" in note for note in first.notes)


def test_a_row_has_the_weakest_claim_level_of_the_records_that_it_is_made_of():
    levels = ["verified", "self-reported", "reproduced"]
    mixed = [record("mixed", seed, claim_level=level) for seed, level in enumerate(levels)]
    rows = rows_of([*mixed, record("printed", claim_level="paper"), record("checked", claim_level="verified")])
    assert {name: row.claim_level for name, row in rows.items()} == {
        "mixed": "self-reported",
        "printed": "paper",
        "checked": "verified",
    }


def test_the_noise_floor_of_a_board_is_pooled_over_rows_and_told_below_it():
    # Each row's errors have the variance 5/3 (3 degrees): t(0.975, 6) = 2.447 times sqrt(2 * 5/3 / 4) = 2.234.
    board = board_of(trials("a", [1.0, 2.0, 3.0, 4.0]) + trials("b", [14.0, 13.0, 12.0, 11.0]))
    assert board.noise.floor == pytest.approx(2.447 * (5 / 6) ** 0.5, rel=1e-3)
    assert board.notes == (
        "A/A noise floor: differences in error under 2.2 % are within the noise of one method against itself under "
        "4 other seeds (2 rows pooled); pairing by seed may resolve less.",
    )


def test_three_seeds_have_no_noise_floor_and_the_board_says_what_it_needs():
    board = board_of(trials("a", [1.0, 2.0, 3.0]))
    assert board.noise is None
    assert board.notes == ("A/A noise floor: not measured, since it needs 4 seeds of one method.",)


def test_a_board_without_a_metric_has_no_noise_to_tell():
    assert not any("noise" in note for note in board_of([failed("a")]).notes)


def test_a_missing_seed_is_named_as_not_filled_in():
    short = board_of(trials("a", [1.0, 2.0]) + trials("b", [3.0]))
    assert "Nothing is filled in for a missing seed" in short.rule
    assert "Nothing is filled in" not in board_of(trials("a", [1.0, 2.0])).rule


def test_a_front_is_found_for_every_cost_that_less_is_better_of():
    costs = [
        {"energy_j": cost(1.0, "J"), "parameters": cost(9, "parameter")},
        {"energy_j": cost(2.0, "J"), "parameters": cost(1, "parameter")},
    ]
    rows = rows_of([record("a", error=1.0, costs=costs[0]), record("b", error=2.0, costs=costs[1])])
    assert rows["b"].fronts == {"cost.energy_j": False, "cost.parameters": True}


def test_a_flag_is_counted_only_where_it_was_raised():
    records = [
        record(seed=seed, costs={"latency_ms": cost(2.0, "ms", unstable=raised)})
        for seed, raised in enumerate([False, True, True])
    ]
    assert "latency_ms flagged unstable in 2 trials." in board_of(records).notes


def test_a_quantity_of_one_name_is_a_cost_in_one_trial_and_of_training_in_another():
    energy = {"energy_j": cost(2.0, "J")}
    board = board_of([record(seed=0, costs=energy), record(seed=1, training=energy)])
    assert [quantity.key for quantity in board.quantities] == ["metric.error", "cost.energy_j", "training.energy_j"]


def test_a_metric_keeps_its_unit_on_each_board_even_if_its_name_is_the_same():
    share = {"error": MetricValue(value=0.1, unit="", better="low", items=10)}
    boards = boards_of([record("a", dataset="x"), record("a", dataset="x", metrics=share, budget="smoke")])
    assert [board.ranking.unit for board in boards] == ["%", ""]
