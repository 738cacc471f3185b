"""FasterSeg's latency: the released table, the expectation along the grid, the regularisers and their weight.

What the released code gives is known from its full-precision table; ours has three decimals, and some
entries count 45 times.
"""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from methods.segmentation.fasterseg.architecture import Architecture, Mixture, Widths, gumbel_one_hot
from methods.segmentation.fasterseg.derivation import FULL, Scale, derive, entering, logits_from
from methods.segmentation.fasterseg.genotype import released, student, teacher
from methods.segmentation.fasterseg.latency import Accumulation, expected_ms, next_weight, regulariser
from methods.segmentation.fasterseg.operators import OPS
from methods.segmentation.fasterseg.prices import Zconv2Price, latency_ms, parts_ms, released_prices

PRICES = released_prices()
RELEASED = PRICES.tensor("conv2")
STEM, TEACHERS_STEM = PRICES.fixed["student"].stem, PRICES.fixed["teacher"].stem
THIN, FULLY = Scale(12, 2, 2), Scale(12, FULL, FULL)
COUNTED_45_TIMES = 0.025


def of_student(layers: int = 16) -> Architecture:
    return Architecture(layers, 2, 2, widths=True)


def of_teacher() -> Architecture:
    return Architecture(16, FULL, FULL, widths=False)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# The table ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exits", "zconv2", "expected"),
    [((32, 16), "conv2", 6.4124), ((32, 8), "conv2", 6.2588), ((32, 16), "own", 5.7024)],
)
def test_the_tables_latency_of_the_student(exits: tuple[int, int], zconv2: Zconv2Price, expected: float) -> None:
    logits = logits_from(released("released_logits.json")["student"], 1e-5)
    genotype = derive(logits, exits, THIN, keying="released")
    assert latency_ms(genotype, PRICES, THIN, "student", zconv2) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("zconv2", "expected"), [("conv2", 25.225903), ("own", 17.943001)])
def test_the_tables_latency_of_the_teacher(zconv2: Zconv2Price, expected: float) -> None:
    """Its 34 cells are each off by at most half a thousandth."""
    assert latency_ms(teacher(), PRICES, FULLY, "teacher", zconv2) == pytest.approx(expected, abs=34 * 0.0005)


def test_the_parts_of_the_students_latency() -> None:
    parts = parts_ms(student(), PRICES, THIN, "student", "conv2")
    assert {name: round(ms, 2) for name, ms in parts.items()} == {
        "stem": 2.13,
        "shared": 0.41,
        "branch32": 0.87,
        "branch16": 1.28,
        "heads": 1.72,
    }


def test_a_scaled_table_scales_a_latency() -> None:
    assert latency_ms(student(), PRICES.scaled(3.0), THIN, "student") == pytest.approx(3 * 5.7024)


# The expectation ------------------------------------------------------------------------------------------------------


def all_of(architecture: Architecture, op: str) -> Mixture:
    """One operator everywhere; the ways even, the widths full."""
    even = architecture.uniform("full", generator())
    alpha = tuple(one_hot(torch.full((len(rows),), OPS.index(op)), len(OPS)).float() for rows in even.alpha)
    return Mixture(alpha, even.beta, even.widths)


def all_ways(architecture: Architecture, from_above: float) -> Mixture:
    even = architecture.uniform("full", generator())
    beta = tuple(torch.tensor([from_above, 1 - from_above]).expand_as(rows) for rows in even.beta)
    return Mixture(even.alpha, beta, even.widths)


@pytest.mark.parametrize("accumulation", ["in-place", "released"])
@pytest.mark.parametrize(
    ("mixture", "stem", "expected"),
    [
        (of_student().uniform("full", generator()), STEM, 27.712),
        (of_teacher().uniform("full", generator()), TEACHERS_STEM, 35.309),
        (of_student().uniform("thinnest", generator()), STEM, 11.282),
        (all_of(of_student(), "skip"), STEM, 10.885),
        (all_of(of_student(), "conv2"), STEM, 41.786),
        (all_ways(of_student(), 1.0), STEM, 27.047),
        (all_ways(of_student(), 0.0), STEM, 26.933),
    ],
    ids=["start", "start of the teacher", "thinnest", "all skip", "all conv2", "all down", "all keep"],
)
def test_the_expectation_of_the_released_code(
    mixture: Mixture, stem: float, expected: float, accumulation: Accumulation
) -> None:
    assert expected_ms(RELEASED, stem, mixture, accumulation).item() == pytest.approx(expected, abs=COUNTED_45_TIMES)


def test_one_way_through_the_grid_costs_the_sum_of_its_cells() -> None:
    """Down from an eighth at layer 2, from a sixteenth at layer 4, of 6 columns; every operator and width is known."""
    layers, draw = 6, generator(3)
    ops = [torch.randint(5, (layers - scale,), generator=draw) for scale in range(3)]
    widths = [torch.randint(5, (rows,), generator=draw).tolist() for rows in (layers - 1, layers - 1, layers - 2)]
    chosen = Widths(tuple(tuple(rows) for rows in widths), None, 2, 3)
    beta = [torch.tensor([0.0, 1.0]).repeat(layers - 2, 1), torch.tensor([0.0, 1.0]).repeat(layers - 3, 1)]
    beta[0][3 - 2] = torch.tensor([1.0, 0.0])  # into layer 3 of a sixteenth from above
    beta[1][5 - 3] = torch.tensor([1.0, 0.0])  # into layer 5 of a 32nd from above
    alpha = tuple(one_hot(rows, 5).float() for rows in ops)
    prices = PRICES.tensor()

    def along(downs: tuple[int, ...]) -> float:
        total, width = STEM, 2
        for layer in range(layers):
            scale = sum(down < layer for down in downs)
            to = scale + (layer in downs)
            ahead = 3 if layer == layers - 1 else widths[to][entering(to, layer + 1)]
            total += prices[scale, to - scale, ops[scale][layer - scale], width, ahead].item()
            width = ahead
        return total

    expected = along(()) + along((2,)) + along((2, 4))
    assert expected_ms(prices, STEM, Mixture(alpha, tuple(beta), chosen)).item() == pytest.approx(expected, abs=1e-6)


def test_even_operators_cost_the_mean_over_operators() -> None:
    architecture = of_student()
    mean = sum(expected_ms(RELEASED, STEM, all_of(architecture, op)).item() for op in OPS) / len(OPS)
    assert expected_ms(RELEASED, STEM, architecture.uniform("full", generator())).item() == pytest.approx(mean)


def test_scores_of_widths_change_no_cost() -> None:
    mixture = of_student().mixture("sampled", generator())
    bare = Mixture(mixture.alpha, mixture.beta, Widths(mixture.widths.chosen, None, 2, 2))
    torch.testing.assert_close(expected_ms(RELEASED, STEM, mixture), expected_ms(RELEASED, STEM, bare))


# Decoupling, without training -----------------------------------------------------------------------------------------


def pulls(term: str, accumulation: Accumulation, seed: int = 1) -> list[float]:
    """Sums of |d latency / d logit|: operators at the three scales, ways at two, widths at three."""
    architecture = of_student()
    regulariser(term, architecture, RELEASED, STEM, generator(seed), accumulation).backward()
    return [0.0 if p.grad is None else p.grad.abs().sum().item() for p in architecture.parameters()]


def test_the_pulls_of_the_released_regularisers() -> None:
    """The published check has two or three digits. Its draw of widths is that of seed 1."""
    coupled = [4.442, 0.486, 0.338, 0, 0.720, 7.04, 0.83, 0.51]
    decoupled = [0.0206, 0.00125, 0.00071, 0, 0.694, 0.028, 0.0033, 0.0020]
    assert pulls("coupled", "released") == pytest.approx(coupled, rel=0.007)
    assert pulls("decoupled", "released") == pytest.approx(decoupled, rel=0.02)


def test_with_the_index_mended_both_scales_are_pulled() -> None:
    assert pulls("coupled", "in-place")[3:5] == pytest.approx([0.382, 0.344], abs=0.001)
    assert pulls("decoupled", "in-place")[3:5] == pytest.approx([0.319, 0.375], abs=0.001)
    for term in ("coupled", "decoupled"):
        mended, as_released = pulls(term, "in-place"), pulls(term, "released")
        assert mended[:3] + mended[5:] == pytest.approx(as_released[:3] + as_released[5:])


@pytest.mark.parametrize("accumulation", ["grid", "in-place", "released"])
def test_decoupling_frees_operators_and_widths_and_leaves_the_ways(accumulation: Accumulation) -> None:
    """By 100 to 600 times over draws, where the ways' pull keeps its order of magnitude."""
    for seed in range(5):
        coupled, decoupled = (pulls(term, accumulation, seed) for term in ("coupled", "decoupled"))
        assert all(100 < before / after < 600 for before, after in zip(coupled[:3], decoupled[:3], strict=True))
        assert 200 < sum(coupled[5:]) / sum(decoupled[5:]) < 300  # 500 / 2, but for the draw
        assert 0.3 < sum(coupled[3:5]) / sum(decoupled[3:5]) < 3


def test_without_a_term_nothing_is_pulled() -> None:
    assert regulariser("none", of_student(), RELEASED, STEM, generator()).item() == 0


def test_without_widths_two_terms_are_weighted() -> None:
    # Even logits: both terms are the expectation itself, and 1/500 + 499/500 = 1.
    term = regulariser("decoupled", of_teacher(), RELEASED, TEACHERS_STEM, generator())
    even = expected_ms(RELEASED, TEACHERS_STEM, of_teacher().uniform("full", generator()))
    torch.testing.assert_close(term, even)


# The weight -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        ((150.0, 150.0), 0.02),
        ((180.0, 150.0), 0.005),
        ((150.0, 175.0), 0.005),
        ((160.0, 170.0), 0.01),
        ((160.0, 155.0), 0.02),
    ],
)
def test_the_weight_follows_the_speed(fps: tuple[float, float], expected: float) -> None:
    assert next_weight(0.01, fps, low=155.0, high=175.0) == expected


# Widths by Gumbel-softmax ---------------------------------------------------------------------------------------------


def test_a_draw_is_one_hot_and_its_score_is_one_with_a_gradient() -> None:
    architecture = of_student()
    widths = architecture.draw("sampled", generator())
    assert widths.scores is not None
    for scores in widths.scores:
        torch.testing.assert_close(scores, torch.ones_like(scores))
    torch.stack([scores.sum() for scores in widths.scores]).sum().backward()
    assert all(gamma.grad is not None and gamma.grad.abs().sum() > 0 for gamma in architecture.gamma)


def test_draws_come_as_often_as_the_softmax_says() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5])
    drawn = gumbel_one_hot(logits.expand(10_000, 5), generator())
    assert set(drawn.flatten().round(decimals=5).tolist()) == {0.0, 1.0}
    # Standard deviations of the shares are below 0.005.
    torch.testing.assert_close(drawn.mean(0), logits.softmax(-1), atol=0.02, rtol=0)


@pytest.mark.parametrize(("layers", "expected"), [(16, (499, 323))])
def test_numbers_of_architecture_parameters(layers: int, expected: tuple[int, int]) -> None:
    assert tuple(sum(p.numel() for p in net.parameters()) for net in (of_student(layers), of_teacher())) == expected


def test_entropies_start_at_their_largest_and_are_zero_when_all_is_decided() -> None:
    architecture = of_student()
    found = {name: value.item() for name, value in architecture.entropies().items()}
    assert found == pytest.approx({"alpha": 1.609438, "beta": 0.693147, "gamma": 1.609438})  # ln 5, ln 2
    with torch.no_grad():
        for rows in itertools.chain(architecture.alpha, architecture.beta, architecture.gamma):
            rows[:, 0] = 50.0
    decided: list[Tensor] = list(architecture.entropies().values())
    torch.testing.assert_close(torch.stack(decided), torch.zeros(3), atol=1e-6, rtol=0)
