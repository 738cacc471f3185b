"""TE-NAS's ranks and rules by hand, its counts, and searches with planted indicators."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bench.run import Run
from methods.nas._indicators import Place, indicators
from methods.nas._initial import initialise
from methods.nas.te_nas import TENAS, rounds
from methods.nas.te_nas.pruning import (
    WHOLE,
    Candidate,
    contestants,
    dense_ranks,
    drop,
    everything,
    importances,
    operator_weights,
    order_of,
    pruned,
    significant,
    without,
)
from tasks.nas import NASProblem
from tasks.nas.darts import DARTS
from tasks.nas.datasets import DIGITS_CELLS
from tasks.nas.spaces import groups
from tasks.nas.tabular import NAS_BENCH_201


@pytest.fixture(scope="module")
def problem() -> NASProblem:
    """The space of the embedded table on 40 images of noise; nothing was trained."""
    draw = torch.Generator().manual_seed(0)
    return NASProblem(
        space=DIGITS_CELLS,
        images=torch.randn(40, 1, 14, 14, generator=draw),
        labels=torch.randint(10, (40,), generator=draw),
        search_images=torch.zeros(2, 1, 14, 14),
        search_labels=torch.zeros(2, dtype=torch.int64),
        classes=10,
        background=torch.zeros(1),
        padding=1,
        flips=False,
        sample=(),
        channels=4,
        cells=1,
        network_channels=8,
        network_cells=1,
        validations=None,
        seed=0,
    )


# Ranks and rules ------------------------------------------------------------------------------------------------------


def test_equal_values_share_a_rank_and_the_next_has_one_more():
    assert dense_ranks([0.5, 0.1, 0.5, 0.3], descending=False) == [2, 0, 2, 1]
    assert dense_ranks([0.5, 0.1, 0.5, 0.3], descending=True) == [0, 2, 0, 1]
    assert dense_ranks([0.0, 0.0], descending=True) == [0, 0]


def test_order_is_by_three_digits_and_equality_by_all():
    # 0.12341 and 0.12344 are both 0.123: they keep their order, but do not share a rank.
    assert dense_ranks([0.12344, 0.12341, 0.2], descending=False) == [0, 1, 2]
    assert dense_ranks([0.12341, 0.12344, 0.2], descending=False) == [0, 1, 2]
    # A value that is equal to the first but stands behind a third of the same digits has a rank of its own.
    assert dense_ranks([0.12344, 0.12341, 0.12344], descending=False) == [0, 1, 2]


@pytest.mark.parametrize(
    ("value", "digits"), [(0.0, 0.0), (0.0123456, 0.0123), (-1234.5, -1230.0), (0.9996, 1.0), (2e-9, 2e-9)]
)
def test_significant_digits(value, digits):
    assert significant(value, 3) == pytest.approx(digits)


def test_a_drop_is_the_share_that_is_lost_rounded():
    assert drop(200.0, 150.0, 3) == 0.25
    assert drop(3.0, 4.0, 3) == -0.333
    assert drop(3.0, 4.0, 1) == -0.3


KAPPA = [0.4, -0.2, 0.1, 0.1]
"""Ranks by kappa, most lowered first: 0, 2, 1, 1."""
REGIONS = [0.3, 0.05, 0.05, -0.1]
"""Ranks by regions, fewest lost first: 2, 1, 1, 0."""


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("rank-sum", [2, 3, 2, 1]),
        ("rank-min", [0, 1, 1, 0]),
        ("rank-max", [2, 2, 1, 1]),
        ("raw", [0.3 - 0.4, 0.05 + 0.2, 0.05 - 0.1, -0.1 - 0.1]),
    ],
)
def test_four_rules_of_combining(rule, expected):
    assert importances(KAPPA, REGIONS, rule) == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["rank-sum", "rank-min", "rank-max"])
def test_one_indicator_is_its_own_rank_by_every_rule(rule):
    assert importances(KAPPA, None, rule) == [0, 2, 1, 1]
    assert importances(None, REGIONS, rule) == [2, 1, 1, 0]


def test_one_indicator_raw():
    assert importances(KAPPA, None, "raw") == [-0.4, 0.2, -0.1, -0.1]
    assert importances(None, REGIONS, "raw") == REGIONS


def test_among_equals_what_lowers_kappa_more_goes_first_then_the_first():
    assert order_of([2.0, 1.0, 1.0, 1.0], [0.1, 0.2, 0.9, 0.2]) == [2, 1, 3, 0]
    assert order_of([1.0, 0.0, 1.0], None) == [1, 0, 2]


def test_each_edge_loses_its_least_important_but_never_the_last():
    alive = [[1, 2, 3], [1, 2], [4]]
    candidates = contestants(alive)
    assert candidates == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
    order = [3, 1, 4, 0, 2]  # Edge 1 loses operator 1, edge 0 operator 2, then 1.
    assert pruned(alive, candidates, order, 1) == [[1, 3], [2], [4]]
    assert pruned(alive, candidates, order, 2) == [[3], [2], [4]]
    assert pruned(alive, candidates, order, 9) == [[3], [2], [4]]
    assert alive == [[1, 2, 3], [1, 2], [4]]


def test_weights_are_the_mean_over_what_is_there_and_nothing_on_an_empty_edge():
    weights = operator_weights([[1, 3], [4], []], 5)
    assert weights.tolist() == [[0, 0.5, 0, 0.5, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    assert without([[1, 3], [4]], Candidate(0, 3)) == [[1], [4]]
    assert without([[1, 3], [4]], Candidate(0, WHOLE)) == [[], [4]]


@pytest.mark.parametrize(("space", "number", "expected"), [(NAS_BENCH_201, 1, 3), (DARTS, 3, 2), (DARTS, 2, 3)])
def test_published_numbers_of_rounds(space, number, expected):
    # 4 -> 3 -> 2 -> 1; 7 -> 4 -> 1; 7 -> 5 -> 3 -> 1
    assert rounds(everything(space), number) == expected


# Searches with planted indicators -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Planted:
    """Every operator of every edge has a worth: regions are the sum of those that are there, and kappa falls by it."""

    worth: Tensor
    seen: list[tuple[str, Place, Place]] = dataclasses.field(default_factory=list)

    def kappa(self, weights: Tensor, weights_at: Place, images_at: Place) -> float:
        self.seen.append(("kappa", weights_at, images_at))
        return 1000.0 - self.worth[weights > 0].sum().item()

    def regions(self, weights: Tensor, weights_at: Place, images_at: Place) -> float:
        self.seen.append(("regions", weights_at, images_at))
        return 1.0 + self.worth[weights > 0].sum().item()


def planted(space, seed: int) -> Planted:
    """Worths whose best operator differs from edge to edge; `none` has none."""
    edges, operators = len(space.edges), len(space.operators)
    worth = torch.rand(edges, operators, generator=torch.Generator().manual_seed(seed))
    worth[:, 0] = 0
    return Planted(worth)


@pytest.mark.parametrize("score", ["both", "kappa", "regions"])
@pytest.mark.parametrize("rule", ["rank-sum", "rank-min", "rank-max", "raw"])
@pytest.mark.parametrize("seed", range(3))
def test_the_planted_best_operator_survives_on_every_edge(score, rule, seed):
    measure = planted(NAS_BENCH_201, seed)
    search = TENAS(score=score, rule=rule, repeats=1, decimals=9)
    found = search.find(NAS_BENCH_201, measure, Run(seed=0))
    assert list(found.choice) == measure.worth.argmax(dim=1).tolist()


@pytest.mark.parametrize("number", [3, 2])
def test_in_the_darts_space_the_two_best_edges_of_every_node_are_kept(number):
    measure = planted(DARTS, 5)
    search = TENAS(prune_number_darts=number, repeats=1, decimals=9)
    found = search.find(DARTS, measure, Run(seed=0))
    best, operator = measure.worth.max(dim=1)
    for group in groups(DARTS):
        kept = sorted(group, key=lambda edge: best[edge])[-2:]
        assert {edge for edge in group if found.choice[edge]} == set(kept)
        assert all(found.choice[edge] == operator[edge] for edge in kept)


@pytest.mark.parametrize(
    ("space", "settings", "candidates", "base"),
    [
        (NAS_BENCH_201, {}, 6 * (4 + 3 + 2), 3),
        (DARTS, {}, 2 * 14 * (7 + 4) + 24, 2 + 6),
        (DARTS, {"prune_number_darts": 2}, 2 * 14 * (7 + 5 + 3) + 24, 3 + 6),
    ],
    ids=["54", "332", "444"],
)
@pytest.mark.parametrize(("common", "repeats"), [(False, 1), (True, 3)])
def test_published_numbers_of_evaluated_candidates(space, settings, candidates, base, common, repeats):
    measure = planted(space, 0)
    run = Run(seed=0)
    TENAS(common_random_numbers=common, repeats=repeats, **settings).find(space, measure, run)
    assert run.artefacts["candidates"] == candidates
    # Each is measured without it and, unless all share one, before; by both indicators.
    expected = repeats * (candidates + base) if common else repeats * 2 * candidates
    assert sum(name == "kappa" for name, *_ in measure.seen) == expected
    assert sum(name == "regions" for name, *_ in measure.seen) == expected


def test_one_score_never_asks_for_the_other():
    for score, other in (("kappa", "regions"), ("regions", "kappa")):
        measure = planted(NAS_BENCH_201, 0)
        run = Run(seed=0)
        TENAS(score=score).find(NAS_BENCH_201, measure, run)
        assert {name for name, *_ in measure.seen} == {score}
        assert f"prune/{other}" not in run.curves()


def test_ranks_are_over_all_edges():
    # By its own edge, operator 1 is first by kappa and last by regions on both edges: sums 0 + 1 and 1 + 0 are equal.
    # Over all edges, kappa ranks 0 3 and 1 2, regions 3 2 and 1 0: sums 3 5 and 2 2.
    candidates = [Candidate(0, 1), Candidate(0, 2), Candidate(1, 1), Candidate(1, 2)]
    kappa, lost = [0.9, 0.1, 0.8, 0.2], [0.4, 0.3, 0.2, 0.1]
    importance = importances(kappa, lost, "rank-sum")
    assert importance == [3, 5, 2, 2]
    assert pruned([[1, 2], [1, 2]], candidates, order_of(importance, kappa), 1) == [[2], [2]]


def test_after_each_round_every_edge_with_several_operators_has_lost_the_number():
    run = Run(seed=0)
    TENAS(prune_number_darts=2, repeats=1, score="regions").find(DARTS, planted(DARTS, 0), run)
    assert run.curves()["prune/alive"].y == [28 * 7, 28 * 5, 28 * 3]
    assert run.curves()["edges/alive"].y == [28] * 6


def places(**settings) -> list[tuple[str, Place, Place]]:
    measure = planted(NAS_BENCH_201, 0)
    TENAS(repeats=2, **settings).find(NAS_BENCH_201, measure, Run(seed=0))
    return measure.seen


def test_a_candidate_is_compared_at_the_very_same_draws():
    for one, other in zip(*[iter(places())] * 2, strict=True):
        assert one == other


def test_draws_are_a_candidates_own_or_common_to_a_round_and_repeat():
    assert len(set(places())) == 2 * 2 * 54
    assert len(set(places(common_random_numbers=True))) == 2 * 2 * 3


def test_by_default_initialisation_kappa_has_one_draw_of_weights_and_regions_one_a_candidate():
    seen = places(init="default")
    assert len({weights for name, weights, _ in seen if name == "kappa"}) == 1
    assert len({weights for name, weights, _ in seen if name == "regions"}) == 54
    assert len({inputs for _, _, inputs in seen}) == 2 * 54


# Real indicators ------------------------------------------------------------------------------------------------------

SMALL = TENAS(repeats=1, batch=4, region_batches=1, region_batch=32)


def test_a_seed_gives_a_cell_and_another_may_give_another(problem: NASProblem):
    first, again = (SMALL.fit(problem, Run(seed=3)).architecture for _ in range(2))
    assert first == again
    others = {SMALL.fit(problem, Run(seed=seed)).architecture for seed in (4, 5, 6)}
    assert others != {first}


@pytest.mark.parametrize("common", [False, True])
def test_no_cell_has_none_and_curves_tell_each_round(problem: NASProblem, common: bool):
    run = Run(seed=0)
    found = dataclasses.replace(SMALL, common_random_numbers=common).fit(problem, run).architecture
    assert found.count("none") == 0
    assert run.artefacts["architecture"] == str(found)
    curves = run.curves()
    edges = len(problem.space.edges)
    assert curves["prune/alive"].y == [4 * edges, 3 * edges, 2 * edges]
    assert all(value is not None and value >= 1 for name in ("kappa", "regions") for value in curves[f"prune/{name}"].y)


def measure(problem: NASProblem, init="kaiming", batch=5):
    return indicators(problem, Run(seed=0), init=init, batch=batch, region_batches=2, region_batch=20)


def test_indicators_are_functions_of_their_place(problem: NASProblem):
    weights = operator_weights(everything(problem.space), len(problem.space.operators))
    one, other = measure(problem), measure(problem)
    for name in ("kappa", "regions"):
        first = getattr(one, name)(weights, ("a", 1), ("b", 2))
        getattr(one, name)(weights, ("a", 2), ("b", 3))
        assert getattr(other, name)(weights, ("a", 1), ("b", 2)) == first
    assert one.kappa(weights, ("a", 1), ("b", 2)) != one.kappa(weights, ("a", 2), ("b", 2))
    assert one.kappa(weights, ("a", 1), ("b", 2)) != one.kappa(weights, ("a", 1), ("b", 3))


def test_a_batch_is_never_larger_than_the_images_there_are(problem: NASProblem):
    weights = operator_weights(everything(problem.space), len(problem.space.operators))
    few = dataclasses.replace(problem, images=problem.images[:6], labels=problem.labels[:6])
    assert measure(few, batch=99).kappa(weights, (), ()) == measure(few, batch=6).kappa(weights, (), ()) < 1e5


@pytest.mark.parametrize(
    ("scheme", "fan", "variance"),
    [
        # Kaiming normal: 2 / fan; fan in of a 3x3 of 4 to 8 channels is 36, fan out 72.
        ("kaiming", "fan_in", 2 / 36),
        ("kaiming", "fan_out", 2 / 72),
        # torch's own: uniform between +-1 / sqrt(fan in), of variance 1 / (3 fan in).
        ("default", "fan_out", 1 / (3 * 36)),
    ],
)
def test_initial_weights_have_the_variance_that_is_published(scheme, fan, variance):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(4, 8, 3) for _ in range(40)]
    net = torch.nn.Sequential(*layers, torch.nn.BatchNorm2d(8))
    net[-1].weight.data.fill_(3)
    net[-1].bias.data.fill_(3)
    initialise(net, scheme, fan, torch.Generator().manual_seed(0))
    drawn = torch.cat([layer.weight.flatten() for layer in layers])
    # 11,520 draws: the variance of the estimate is 2 / 11,520 of its square, so 5 % are four deviations.
    assert drawn.var().item() == pytest.approx(variance, rel=0.05)
    biases = torch.cat([layer.bias for layer in layers])
    assert (biases == 0).all() if scheme == "kaiming" else (biases.abs() <= 1 / 6).all() and biases.abs().max() > 0.15
    assert net[-1].weight.tolist() == [1] * 8
    assert net[-1].bias.tolist() == [0] * 8


def test_a_default_draw_is_what_torch_draws_itself():
    layer, linear = torch.nn.Conv2d(3, 5, 3), torch.nn.Linear(7, 4)
    for module in (layer, linear):
        torch.manual_seed(11)
        module.reset_parameters()
        expected = [parameter.clone() for parameter in module.parameters()]
        initialise(module, "default", "fan_in", torch.Generator().manual_seed(11))
        for ours, theirs in zip(module.parameters(), expected, strict=True):
            assert torch.equal(ours, theirs)


def test_killed_at_any_round_it_finds_the_same(tmp_path, problem: NASProblem):
    class Killed(Exception):
        pass

    whole = SMALL.fit(problem, Run(seed=1))

    def die_at(step: int) -> Callable[[str, int], None]:
        def on_step(name: str, done: int) -> None:
            if done == step:
                raise Killed

        return on_step

    for step in (1, 2, 3):
        with pytest.raises(Killed):
            SMALL.fit(problem, Run(seed=1, checkpoints=tmp_path / "c", save_every_s=0, on_step=die_at(step)))
    run = Run(seed=1, checkpoints=tmp_path / "c", save_every_s=0)
    assert SMALL.fit(problem, run).architecture == whole.architecture
    assert run.artefacts["candidates"] == len(problem.space.edges) * 9
