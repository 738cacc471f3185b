"""Verdicts on claims: each rule on differences worked out by hand."""

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from record_factory import cost, curve, percent, record

from bench import registry
from bench.claims import Finding, compare, findings, seeds_to_decide
from bench.errors import UserError
from bench.evidence import Ask, Evidence
from bench.papers import Claim, Paper, parse_paper
from bench.record import Failure, Record

KNOWN = registry.load()

# t(0.975) with 2 degrees of freedom is 4.30265. Three differences with deviation 0.1 have a mean that is known to
# within 4.30265 x 0.1 / sqrt(3) = 0.24841.
HALF_WIDTH = 0.24841


def around(mean: float) -> list[float]:
    """Three differences of deviation 0.1: squares 0.01 + 0 + 0.01, over 2."""
    return [mean - 0.1, mean, mean + 0.1]


NOTHING = [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("test", "differences", "minimum", "verdict"),
    [
        # The interval is 2.75 to 3.25.
        ("better", around(3.0), 2.7, "supported"),
        ("better", around(3.0), 2.8, "undecided"),
        ("better", around(3.0), 3.2, "undecided"),
        ("better", around(3.0), 3.3, "contradicted"),
        # Positive speaks for the claim.
        ("better", around(-3.0), 0.0, "contradicted"),
        # The interval is -0.248 to 0.248.
        ("better", around(0.0), 0.0, "undecided"),
        ("not-worse", around(0.0), 0.25, "supported"),
        ("not-worse", around(0.0), 0.24, "undecided"),
        ("not-worse", around(-1.0), 0.5, "contradicted"),
        # Without spread the interval is a point, and a point on the bar decides nothing.
        ("better", [1.0, 1.0, 1.0], 0.9, "supported"),
        ("better", [1.0, 1.0, 1.0], 1.0, "undecided"),
        ("better", [1.0, 1.0, 1.0], 1.1, "contradicted"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side_of_the_bar(
    test: str, differences: list[float], minimum: float, verdict: str
) -> None:
    found, effect, low, high, n, _ = compare(test, minimum, differences, NOTHING)
    assert (found, effect, n) == (verdict, pytest.approx(sum(differences) / 3), 3)
    if len(set(differences)) > 1:
        assert low is not None and high is not None
        assert (high - low) / 2 == pytest.approx(HALF_WIDTH, abs=1e-5)


def test_two_seeds_decide_nothing_however_far_apart() -> None:
    verdict, effect, low, _, n, why = compare("better", 0.0, [100.0, 101.0], [0.0, 0.0])
    assert (verdict, effect, n) == ("undecided", 100.5, 2)
    # t(0.975) with 1 degree of freedom is 12.7062, and 12.7062 x 0.70711 / sqrt(2) = 6.3531.
    assert low == pytest.approx(100.5 - 6.3531, abs=1e-4)
    assert why == "2 seeds, and fewer than 3 decide nothing; about 3 seeds would decide"


def test_one_seed_has_an_effect_and_no_interval() -> None:
    found = compare("better", 0.0, [2.0], [1.0])
    assert found == ("undecided", 1.0, None, None, 1, "one seed; how many would decide cannot be told from one")


def test_how_many_seeds_would_decide_is_the_first_whose_half_width_is_below_the_distance() -> None:
    # Mean 2, deviation 1. Three seeds: 4.30265 / sqrt(3) = 2.484; four: 3.18245 / 2 = 1.591, which is below 2.
    assert seeds_to_decide(2.0, 1.0, 0.0) == 4
    # The bar at 0.5 is 1.5 away; five: 2.77645 / sqrt(5) = 1.242.
    assert seeds_to_decide(2.0, 1.0, 0.5) == 5
    assert compare("better", 0.0, [1.0, 2.0, 3.0], NOTHING)[5] == "the interval holds 0; about 4 seeds would decide"


def test_more_than_a_thousand_seeds_are_not_counted() -> None:
    # 1.96234 / sqrt(1000) = 0.062055, and 0.062086 with one seed fewer.
    assert seeds_to_decide(0.06206, 1.0, 0.0) == 1000
    assert seeds_to_decide(0.06205, 1.0, 0.0) is None
    assert compare("better", 1.0, [1.0, 1.0, 1.0], NOTHING)[5].endswith("more than 1,000 seeds would decide")


SEEDS = st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=6)


@given(SEEDS)
def test_swapped_sides_turn_the_effect_and_its_interval_round(pairs: list[tuple[float, float]]) -> None:
    first, second = [list(side) for side in zip(*pairs, strict=True)]
    _, effect, low, high, n, _ = compare("better", 0.0, first, second)
    _, swapped, low_swapped, high_swapped, n_swapped, _ = compare("better", 0.0, second, first)
    assert (swapped, n_swapped) == (-effect, n)  # type: ignore[operator]
    assert low == pytest.approx(-high_swapped, abs=1e-9)  # type: ignore[operator]
    assert high == pytest.approx(-low_swapped, abs=1e-9)  # type: ignore[operator]


@given(SEEDS, st.floats(-50, 50), st.floats(-50, 50))
def test_asking_for_more_never_turns_a_verdict_for_the_better(
    pairs: list[tuple[float, float]], one: float, other: float
) -> None:
    assume(one != other)
    first, second = [list(side) for side in zip(*pairs, strict=True)]
    order = ["contradicted", "undecided", "supported"]
    less, more = (order.index(compare("better", bar, first, second)[0]) for bar in sorted((one, other)))
    assert more <= less


# From records ---------------------------------------------------------------------------------------------------------

CLAIM = {
    "id": "mean-beats-descent",
    "statement": "The mean is nearer.",
    "place": "section 1",
    "certainty": "paper",
    "task": "toy",
    "quantity": "metric.distance",
    "test": "better",
    "first": {"method": "sample-mean"},
    "second": {"method": "descent"},
    "at": {"smoke": {"datasets": ["normal"], "seeds": 3}, "paper": {"datasets": ["normal"], "seeds": 3}},
}


def paper_of(**changes: Any) -> Paper:
    head = {"title": "Means", "authors": "Gauss", "venue": "1809", "reference": "none"}
    return parse_paper(head | {"tables": [], "claims": [CLAIM | changes]}, "means", "means.yaml")


def found(records: list[Record], **changes: Any) -> Finding:
    (one,) = findings(paper_of(**changes), "smoke", Evidence(KNOWN, records))
    return one


def standing(
    method: str, distances: list[float], dataset: str = "normal", macs: list[float] | None = None, **words: Any
) -> list[Record]:
    """One ok record a seed, of the spec that a claim with these words asks for."""
    ask = Ask(task="toy", method=method, quantity="metric.distance", seeds=len(distances), dataset=dataset, **words)
    cells = Evidence(KNOWN, []).measured(ask, "smoke").cells
    assert len(cells) == len(distances)
    return [
        record(metrics={"distance": percent(distance)}, costs={"macs": cost(count, "MAC")}).model_copy(
            update={"key": cell.key, "parts": cell.parts, "spec": cell.spec}
        )
        for cell, distance, count in zip(cells, distances, macs or [0.0] * len(distances), strict=True)
    ]


def test_where_low_is_good_the_effect_is_second_minus_first() -> None:
    # Differences 2.9, 3 and 3.1, seed by seed.
    one = found(standing("sample-mean", [1.0, 2.0, 5.0]) + standing("descent", [3.9, 5.0, 8.1]))
    assert (one.verdict, one.n) == ("supported", 3)
    assert one.effect == pytest.approx(3.0)
    assert one.low == pytest.approx(3.0 - HALF_WIDTH, abs=1e-5)
    assert one.high == pytest.approx(3.0 + HALF_WIDTH, abs=1e-5)


def test_the_claim_may_say_which_way_is_good() -> None:
    records = standing("sample-mean", [1.0, 2.0, 5.0]) + standing("descent", [3.9, 5.0, 8.1])
    one = found(records, better="high")
    assert (one.verdict, one.effect) == ("contradicted", pytest.approx(-3.0))


def test_a_claim_about_a_cost_must_say_which_way_is_good() -> None:
    with pytest.raises(UserError, match=r"which way is cost\.macs good"):
        paper_of(quantity="cost.macs")


def at_step_2(records: list[Record], name: str) -> list[Record]:
    """The distances of these records as the last of three points of a curve, and other metrics."""
    return [
        one.model_copy(
            update={
                "curves": {name: curve([50.0, 0.0, one.metrics["distance"].value], "evaluate")},
                "metrics": {"distance": percent(7.0)},
            }
        )
        for one in records
    ]


def test_a_claim_about_a_point_of_a_metrics_curve_takes_the_metrics_direction() -> None:
    records = standing("sample-mean", [1.0, 2.0, 5.0]) + standing("descent", [3.9, 5.0, 8.1])
    one = found(at_step_2(records, "distance"), quantity="curve.distance@2")
    # Low is good, so second minus first: 2.9, 3 and 3.1.
    assert (one.verdict, one.effect) == ("supported", pytest.approx(3.0))


def test_a_claim_about_a_curve_of_no_metric_must_say_which_way_is_good() -> None:
    records = standing("sample-mean", [1.0, 2.0, 5.0]) + standing("descent", [3.9, 5.0, 8.1])
    for made in (at_step_2(records, "risk"), []):
        one = found(made, quantity="curve.risk@2")
        # Nothing is run for it, since no run would decide.
        assert (one.verdict, one.effect, one.cells) == ("not run", None, ())
        assert one.why == "which way is curve.risk@2 good? task toy does not say; say so in `better`"
    one = found(at_step_2(records, "risk"), quantity="curve.risk@2", better="high")
    assert (one.verdict, one.effect) == ("contradicted", pytest.approx(-3.0))


def test_a_name_that_is_not_here_is_told_before_a_direction_that_nothing_says() -> None:
    assert found([], task="guessing", quantity="curve.risk@2").why == "no task guessing here yet"


def test_data_sets_are_averaged_within_each_seed_with_the_same_weight() -> None:
    # On one the differences are 1, 2, 3, on the other 4.8, 4.0, 3.2: within a seed their means are 2.9, 3.0 and 3.1.
    records = (
        standing("sample-mean", NOTHING)
        + standing("descent", [1.0, 2.0, 3.0])
        + standing("sample-mean", NOTHING, "absent")
        + standing("descent", [4.8, 4.0, 3.2], "absent")
    )
    one = found(records, at={"smoke": {"datasets": ["normal", "absent"], "seeds": 3}})
    assert (one.effect, one.n) == (pytest.approx(3.0), 3)
    assert one.low == pytest.approx(3.0 - HALF_WIDTH, abs=1e-5)


def test_a_data_set_without_records_leaves_the_claim_not_run() -> None:
    records = standing("sample-mean", NOTHING) + standing("descent", [1.0, 2.0, 3.0])
    one = found(records, at={"smoke": {"datasets": ["normal", "absent"], "seeds": 3}})
    assert (one.verdict, one.effect, one.n) == ("not run", None, 0)
    assert one.why.startswith("sample-mean on absent: missing-data: absent is not under")


def test_sides_may_differ_in_their_data_set() -> None:
    records = standing("sample-mean", NOTHING) + standing("sample-mean", around(3.0), "absent")
    one = found(
        records,
        first={"method": "sample-mean", "dataset": "normal"},
        second={"method": "sample-mean", "dataset": "absent"},
        at={"smoke": {"datasets": ["normal", "absent"], "seeds": 3}},
    )
    assert (one.verdict, one.effect, len(one.cells)) == ("supported", pytest.approx(3.0), 6)


def test_what_tells_the_sides_apart_wins_over_what_they_share() -> None:
    records = standing("descent", NOTHING, parameters={"steps": 5, "lr": 0.5}, settings={"draws": 7})
    records += standing("descent", around(3.0), parameters={"steps": 5, "lr": 0.2}, settings={"draws": 8})
    shared = {"datasets": ["normal"], "seeds": 3, "parameters": {"steps": 5, "lr": 0.5}, "settings": {"draws": 7}}
    one = found(
        records,
        first={"method": "descent"},
        second={"method": "descent", "parameters": {"lr": 0.2}, "settings": {"draws": 8}},
        at={"smoke": shared},
    )
    assert one.effect == pytest.approx(3.0)


def test_a_claim_about_a_cost_may_ask_for_profiles_alone() -> None:
    words: dict[str, Any] = {"stages": ("profile",)}
    records = standing("sample-mean", NOTHING, macs=around(2.0), **words)
    records += standing("descent", NOTHING, macs=around(5.0), **words)
    where = {"datasets": ["normal"], "seeds": 3}
    changes: dict[str, Any] = {"quantity": "cost.macs", "better": "low"}
    one = found(records, **changes, at={"smoke": where | {"stages": ["profile"]}})
    assert (one.verdict, one.effect) == ("supported", pytest.approx(3.0))
    assert found(records, **changes, at={"smoke": where}).verdict == "not run"


def test_a_claim_is_not_run_until_every_seed_of_both_sides_stands() -> None:
    one = found(standing("sample-mean", NOTHING) + standing("descent", [1.0, 2.0, 3.0])[:2])
    assert (one.verdict, one.effect, one.n) == ("not run", None, 2)
    assert one.why == "descent on normal: 1 of 3 seeds: not run yet; `allwin claims means --budget smoke --run` runs it"
    assert len(one.cells) == 6


def test_a_failure_is_told_before_what_a_run_would_fill() -> None:
    (bad, *rest) = standing("descent", [1.0, 2.0, 3.0])
    told = Failure(cause="oom", message="it\nbroke", stage="fit")
    broken = bad.model_copy(update={"status": "failed", "failure": told, "metrics": {}})
    one = found([broken, *rest])
    assert (one.verdict, one.why) == ("not run", "descent on normal: 1 of 3 seeds: oom: it broke")


def test_one_side_is_not_run_while_there_is_no_code_of_the_other() -> None:
    one = found([], second={"method": "fasterseg"})
    assert (one.verdict, one.why, one.cells) == ("not run", "no method fasterseg of task toy here yet", ())


def test_a_claim_says_at_which_budgets_it_stands() -> None:
    paper = paper_of()
    (one,) = findings(paper, "gpu", Evidence(KNOWN, []))
    assert (one.verdict, one.why) == ("not run", "nothing at gpu budget; it has smoke, paper")
    assert [one.budget for one in findings(paper, None, Evidence(KNOWN, []))] == ["smoke", "paper"]


# Correlations ---------------------------------------------------------------------------------------------------------


def correlation(
    distances: list[list[float]], macs: list[list[float]], minimum: float = 0.0, datasets: tuple[str, ...] = ("normal",)
) -> Finding:
    """Of settings of one method, whose values are given by method and seed."""
    factors = [(number + 1) / 10 for number in range(len(distances))]
    records = [
        made
        for dataset in datasets
        for factor, theirs, counts in zip(factors, distances, macs, strict=True)
        for made in standing("shrunk(descent)", theirs, dataset, counts, parameters={"factor": factor})
    ]
    return found(
        records,
        test="correlation",
        other="cost.macs",
        minimum_effect=minimum,
        methods=[{"method": "shrunk(descent)", "parameters": {"factor": factor}} for factor in factors],
        at={"smoke": {"datasets": list(datasets), "seeds": len(distances[0])}},
    )


def same(values: list[float], seeds: int = 3) -> list[list[float]]:
    return [[value] * seeds for value in values]


def test_a_correlation_is_spearmans_over_the_methods_means() -> None:
    # Ranks 1 2 3 4 against 2 1 3 4: 1 - 6 x (1 + 1) / (4 x 15) = 0.8, which values far apart do not change.
    one = correlation(same([1.0, 2.0, 3.0, 100.0]), same([20.0, 10.0, 30.0, 31.0]))
    assert (one.effect, one.n) == (pytest.approx(0.8), 3)
    # Every seed says the same, so every resample does.
    assert (one.low, one.high) == (pytest.approx(0.8), pytest.approx(0.8))
    assert one.verdict == "supported"
    assert correlation(same([1.0, 2.0, 3.0, 4.0]), same([4.0, 3.0, 2.0, 1.0])).verdict == "contradicted"


def test_a_correlation_ranks_means_over_seeds_and_resamples_them_together() -> None:
    # The sums are 6, 11, 16, 21 against 1, 2, 3, 4, although the first seed alone says the reverse.
    distances = [[5.0, 0.0, 1.0], [4.0, 3.0, 4.0], [3.0, 6.0, 7.0], [2.0, 9.0, 10.0]]
    one = correlation(distances, same([1.0, 2.0, 3.0, 4.0]), minimum=0.5)
    assert one.effect == pytest.approx(1.0)
    # A resample of the first seed alone has -1; that is one in 27, more than the 2.5 % that are cut off.
    assert (one.low, one.high) == (pytest.approx(-1.0), pytest.approx(1.0))
    assert (one.verdict, one.why) == (
        "undecided",
        "the interval holds 0.5; how many seeds would decide cannot be told from a bootstrap",
    )
    assert one == correlation(distances, same([1.0, 2.0, 3.0, 4.0]), minimum=0.5)


def test_the_interval_of_a_correlation_is_drawn_alike_each_time() -> None:
    # With eight methods and eight seeds there are so many resamples that two draws of 999 would not end alike.
    values = [[math.sin(7 * m + 3 * s) + m / 4 for s in range(8)] for m in range(8)]
    counts = [[math.cos(5 * m + 2 * s) + m / 4 for s in range(8)] for m in range(8)]
    one, other = correlation(values, counts), correlation(values, counts)
    assert one.low is not None and one.low < one.high  # type: ignore[operator]
    assert (one.low, one.high) == (other.low, other.high)


def test_where_a_resample_leaves_no_ranks_there_is_no_interval() -> None:
    # The first seed twice and the second once give 10 for every method.
    distances = [[5.0, 0.0, 1.0], [4.0, 2.0, 3.0], [3.0, 4.0, 5.0], [2.0, 6.0, 7.0]]
    one = correlation(distances, same([1.0, 2.0, 3.0, 4.0]))
    assert (one.verdict, one.effect, one.low) == ("undecided", pytest.approx(1.0), None)


def test_correlations_of_several_data_sets_are_averaged() -> None:
    # The same records stand on both: the mean of 0.8 and 0.8.
    values = same([1.0, 2.0, 3.0, 4.0]), same([20.0, 10.0, 30.0, 31.0])
    assert correlation(*values, datasets=("normal", "absent")).effect == pytest.approx(0.8)


def test_methods_that_do_not_differ_have_no_ranks() -> None:
    one = correlation(same([1.0] * 4), same([1.0, 2.0, 3.0, 4.0]))
    assert (one.verdict, one.effect, one.low) == ("undecided", None, None)


def test_one_seed_gives_a_coefficient_and_two_decide_nothing() -> None:
    one = correlation(same([1.0, 2.0, 3.0, 4.0], 1), same([1.0, 2.0, 3.0, 4.0], 1))
    assert (one.verdict, one.effect, one.low) == ("undecided", pytest.approx(1.0), None)
    two = correlation(same([1.0, 2.0, 3.0, 4.0], 2), same([1.0, 2.0, 3.0, 4.0], 2))
    assert (two.verdict, two.low) == ("undecided", pytest.approx(1.0))


def test_a_claim_of_a_comparison_names_both_sides() -> None:
    with pytest.raises(ValueError, match="better needs `first` and `second`"):
        Claim.model_validate({name: value for name, value in CLAIM.items() if name != "second"})
