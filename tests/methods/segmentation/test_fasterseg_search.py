"""FasterSeg's search: tables of the present device, what a term pulls at, and what the switches switch."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.measure.macs import MacsCounter
from bench.run import Run
from methods.segmentation.fasterseg import measuring
from methods.segmentation.fasterseg.architecture import Architecture
from methods.segmentation.fasterseg.derivation import FULL, Scale
from methods.segmentation.fasterseg.genotype import from_json, student, teacher
from methods.segmentation.fasterseg.latency import expected_ms, regulariser
from methods.segmentation.fasterseg.measuring import (
    MACS_A_MS,
    Geometry,
    clock,
    counted,
    group_prices,
    groups,
    rank_correlation,
    timing_rules,
)
from methods.segmentation.fasterseg.network import DerivedNetwork
from methods.segmentation.fasterseg.operators import operator
from methods.segmentation.fasterseg.prices import latency_ms, prices_from, released_prices
from methods.segmentation.fasterseg.searching import in_published_units, shares
from methods.segmentation.fasterseg_search import FasterSegSearch
from tasks.segmentation import Segmentation, SegmentationProblem

THIN, FULLY = Scale(12, 2, 2), Scale(12, FULL, FULL)
PUBLISHED = Geometry((1024, 2048), 19, (("student", THIN), ("teacher", FULLY)))
SMALL = Geometry((64, 128), 11, (("student", Scale(3, 2, 2)),))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def problem() -> SegmentationProblem:
    return Segmentation(**Segmentation.presets["smoke"]).load("streets", "smoke", 0)[0]


# Tables ---------------------------------------------------------------------------------------------------------------


def test_a_table_of_multiply_adds_adds_up_to_the_exact_counts_of_both_networks() -> None:
    """Every layer of the published networks is an entry, and nothing else computes."""
    table = counted(PUBLISHED)
    assert round(MACS_A_MS * latency_ms(student(), table, THIN, "student")) == 27_770_486_784
    assert round(MACS_A_MS * latency_ms(teacher(), table, FULLY, "teacher")) == 107_778_932_736


def test_the_groups_are_25_cells_and_the_networks() -> None:
    assert len(groups(PUBLISHED)) == 27
    assert len(set(groups(PUBLISHED))) == 27


def test_a_table_survives_json() -> None:
    table = released_prices()
    assert prices_from(table.to_json()) == table


def test_an_entry_is_priced_at_the_size_and_the_widths_that_it_has() -> None:
    """What is asked for, told by its weights: a stride of 2 at a sixteenth, with 16 x 3 x chi / 12 channels."""
    seen: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def meter(make: Any, shape: tuple[int, ...]) -> float:
        (conv,) = [part for part in make().modules() if isinstance(part, nn.Conv2d)]
        seen.append((shape, tuple(conv.weight.shape)))
        return 1.0

    group_prices("16/2/conv", SMALL, meter)
    assert seen[:2] == [((1, 16, 4, 8), (32, 16, 3, 3)), ((1, 16, 4, 8), (48, 16, 3, 3))]
    assert seen[-1] == ((1, 48, 4, 8), (96, 48, 3, 3))
    assert len(seen) == 25


def test_a_clock_is_not_slowed_by_the_counting_of_a_step_and_draws_nothing() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with MacsCounter() as counter:
        ms = clock(torch.device("cpu"), timing_rules(1, 0.01, 3))(lambda: operator("conv", 8, 8, 1), (1, 8, 16, 16))
    assert counter.macs == 0
    assert ms > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_a_clock_tells_an_operator_from_one_of_ten_thousand_times_its_multiply_adds() -> None:
    """Far enough apart that no neighbour on the machine can turn them round."""
    ms = clock(torch.device("cpu"), timing_rules(2, 0.05, 20))
    one = ms(lambda: operator("skip", 8, 8, 2), (1, 8, 16, 16))
    two = ms(lambda: operator("conv2", 96, 96, 1), (1, 96, 64, 64))
    assert two > 2 * one


def test_a_group_is_timed_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = dataclasses.replace(SMALL, size=(64, 96))
    rules = timing_rules(1, 1e-3, 1)
    first = measuring.timed("32/1/skip", geometry, "cpu", rules)
    monkeypatch.setattr(measuring, "clock", lambda *_: pytest.fail("timed again"))
    assert measuring.timed("32/1/skip", geometry, "cpu", rules) == first


def test_a_scaled_table_starts_where_the_published_one_does() -> None:
    architecture = Architecture(6, 2, 2, widths=True)
    table = in_published_units(released_prices().scaled(7.0), architecture)
    published = released_prices()
    assert table.fixed["student"].stem == pytest.approx(published.fixed["student"].stem)
    even = architecture.uniform("full", generator())
    found = [expected_ms(each.tensor(), each.fixed["student"].stem, even).item() for each in (table, published)]
    assert found[0] == pytest.approx(found[1])


def test_ranks_are_compared_not_values() -> None:
    assert rank_correlation([(1.0, 10.0), (2.0, 11.0), (3.0, 500.0)]) == pytest.approx(1)
    assert rank_correlation([(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]) == pytest.approx(-1)


# What a term does to an architecture ----------------------------------------------------------------------------------


@pytest.mark.parametrize("term", ["coupled", "decoupled"])
def test_the_coupled_term_alone_collapses_to_skips_and_the_decoupled_does_not(term: str) -> None:
    """60 steps of plain descent. Decoupled, the same pull goes to the ways, and operators and widths hardly move."""
    architecture = Architecture(16, 2, 2, widths=True)
    prices, stem = released_prices().tensor(), released_prices().fixed["student"].stem
    begun = shares(architecture)
    optimizer = torch.optim.SGD(architecture.parameters(), 5.0)
    draw = generator()
    for _ in range(60):
        optimizer.zero_grad()
        regulariser(term, architecture, prices, stem, draw).backward()
        optimizer.step()
    ended = shares(architecture)
    if term == "coupled":
        assert ended["share_skip"] > 0.5
    else:
        assert ended["share_skip"] == pytest.approx(begun["share_skip"], abs=0.05)
        assert ended["mean_width"] == pytest.approx(begun["mean_width"], abs=0.5)
        assert abs(ended["share_into_16"] - 0.5) > 0.1


# The method -----------------------------------------------------------------------------------------------------------


def searched(problem: SegmentationProblem, run: Run | None = None, **changes: Any) -> tuple[nn.Module, Run]:
    run = run or Run(seed=0)
    quick = {"table": "released", "search_epoch_steps": 1, "pretrain_epochs": 0}
    return FasterSegSearch(**{**FasterSegSearch.presets["smoke"], **quick, **changes}).fit(problem, run), run


def test_a_search_leaves_genotypes_table_and_curves(problem: SegmentationProblem) -> None:
    solution, run = searched(problem)
    genotype = from_json(run.artefacts["genotype_student"])
    assert solution.state_dict().keys() == DerivedNetwork(genotype, problem.classes).state_dict().keys()
    from_json(run.artefacts["genotype_teacher"])
    assert prices_from(run.artefacts["latency_table"]) == released_prices()
    assert {"search/student_loss", "search/latency_term_ms", "search/latency_weight", "search/student_entropy_gamma",
            "search/latency_exits_16_ms", "teacher/loss", "student/divergence"} <= run.curves().keys()  # fmt: skip
    for told in run.artefacts["architecture"].values():
        assert len(told["candidates"]) == 2


def test_without_a_teacher_none_is_searched_trained_or_followed(problem: SegmentationProblem) -> None:
    _, run = searched(problem, teacher=False)
    assert "genotype_teacher" not in run.artefacts
    assert not [name for name in run.curves() if "teacher" in name or "divergence" in name]


def test_without_a_term_the_table_pulls_at_nothing(problem: SegmentationProblem) -> None:
    """The same search with other prices of an operator ends in the same logits only where no term looks at them."""
    logits = {}
    for term in ("none", "coupled"):
        for price in ("own", "conv2"):
            _, run = searched(problem, regulariser=term, zconv2_price=price, teacher=False, latency_weight=100.0)
            logits[term, price] = run.artefacts["architecture"]["student"]["logits"]
    assert logits["none", "own"] == logits["none", "conv2"]
    assert logits["coupled", "own"] != logits["coupled", "conv2"]


@pytest.mark.parametrize(("bounds", "expected"), [((1.0, 2.0), [0.01, 0.005]), ((1e6, 1e7), [0.01, 0.02])])
def test_the_weight_of_the_term_follows_the_derived_networks(
    problem: SegmentationProblem, bounds: tuple[float, float], expected: list[float]
) -> None:
    """By the released table all networks give more than 2 frames a second, and fewer than a million."""
    low, high = bounds
    _, run = searched(problem, teacher=False, search_epochs=2, fps_low=low, fps_high=high)
    assert run.curves()["search/latency_weight"].y == pytest.approx(expected)


@pytest.mark.parametrize("lost", [False, True])
def test_a_resumed_search_goes_on_with_the_table_and_the_weight_that_it_had(
    problem: SegmentationProblem, tmp_path: Path, lost: bool
) -> None:
    """In another process the device is timed anew where that phase was too short to be saved, and never the same."""

    class Killed(BaseException):
        pass

    def kill(phase: str, _done: int) -> None:
        if phase == "search":
            raise Killed

    settings = {"table": "measured", "teacher": False, "search_epochs": 2, "fps_low": 1.0, "fps_high": 2.0}
    with pytest.raises(Killed):
        searched(problem, Run(seed=0, checkpoints=tmp_path, save_every_s=0.0, on_step=kill), **settings)
    begun = torch.load(tmp_path / "search.pt", weights_only=True)["state"]["memory"]
    measuring.timed.cache_clear()
    if lost:
        for phase in ("latency", "agreement"):
            (tmp_path / f"{phase}.pt").unlink()
    _, ended = searched(problem, Run(seed=0, checkpoints=tmp_path, save_every_s=0.0), **settings)
    assert ended.resumed
    assert (measuring.timed.cache_info().misses > 0) == lost
    assert ended.artefacts["latency_table"] == begun["table"]
    assert ended.curves()["search/latency_weight"].y == pytest.approx([0.01, 0.005])
    # The last epoch's, by the table in the loop, and the derivation's, by the one in the record.
    by_table = ended.artefacts["architecture"]["student"]["candidates"][0]["latency_ms"]
    assert ended.curves()["search/latency_exits_16_ms"].y[-1] == pytest.approx(by_table, rel=1e-6)
