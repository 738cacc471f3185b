"""Search spaces: their texts, numbers, draws and neighbours."""

import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.nas.darts import DARTS, published
from tasks.nas.datasets import DIGITS_CELLS
from tasks.nas.spaces import Architecture, Edge, check, draw_sample, groups, parse
from tasks.nas.tabular import NAS_BENCH_201

SPACES = pytest.mark.parametrize("space", [NAS_BENCH_201, DIGITS_CELLS, DARTS], ids=lambda space: space.name)
TABULAR = pytest.mark.parametrize("space", [NAS_BENCH_201, DIGITS_CELLS], ids=lambda space: space.name)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Sizes and orders -----------------------------------------------------------------------------------------------------


def test_the_spaces_have_their_published_sizes():
    assert NAS_BENCH_201.size == 5**6 == 15_625
    assert DIGITS_CELLS.size == 5**3
    # For nodes with 2, 3, 4 and 5 possible inputs two of them, each with one of 7 operators; two cells.
    assert DARTS.size == (math.prod(math.comb(n, 2) * 7**2 for n in (2, 3, 4, 5))) ** 2


def test_the_edges_of_nas_bench_201_are_in_the_published_order():
    assert [(edge.target, edge.source) for edge in NAS_BENCH_201.edges] == [
        (1, 0),
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 1),
        (3, 2),
    ]


def test_a_cell_of_darts_has_14_edges_and_all_of_them_go_forward():
    assert [sum(edge.cell == kind for edge in DARTS.edges) for kind in ("normal", "reduction")] == [14, 14]
    assert all(edge.source < edge.target for edge in DARTS.edges)
    assert [len(group) for group in groups(DARTS)] == [2, 3, 4, 5, 2, 3, 4, 5]


def test_layers_are_the_published_ones():
    assert "".join(kind[0] for kind in NAS_BENCH_201.layers(5)) == "nnnnnrnnnnnrnnnnn"
    assert [place for place, kind in enumerate(DARTS.layers(20)) if kind == "reduction"] == [6, 13]
    assert [place for place, kind in enumerate(DARTS.layers(14)) if kind == "reduction"] == [4, 9]
    assert [place for place, kind in enumerate(DARTS.layers(8)) if kind == "reduction"] == [2, 5]


# Texts ----------------------------------------------------------------------------------------------------------------


def test_the_text_of_a_cell_is_the_published_one():
    # Edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2; operators none, skip, 1x1, 3x3, pool.
    architecture = Architecture(NAS_BENCH_201, (3, 0, 1, 2, 4, 1))
    assert str(architecture) == (
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|"
    )


def test_a_published_genotype_has_two_different_inputs_of_every_node():
    architecture = published("DARTS_V2")
    kept = [(DARTS.edges[i], name) for i, name in enumerate(architecture.operators) if name != "none"]
    assert len(kept) == 2 * 8
    assert [name for edge, name in kept if edge == Edge("normal", 2, 5)] == ["dil_conv_3x3"]
    assert [name for edge, name in kept if edge == Edge("reduction", 1, 3)] == ["max_pool_3x3"]
    assert str(architecture).startswith("normal:|sep_conv_3x3~0|sep_conv_3x3~1|+|")


@SPACES
@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_an_architecture_comes_back_from_its_text_and_from_a_file(space, seed):
    architecture = space.random(generator(seed))
    check(architecture)
    assert parse(space, str(architecture)) == architecture
    again = pickle.loads(pickle.dumps(architecture))
    assert again == architecture
    assert hash(again) == hash(architecture)


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (DIGITS_CELLS, "|none~0|+|none~0|"),  # an edge is missing
        (DIGITS_CELLS, "|none~0|+|none~0|none~0|"),  # one stands twice
        (DIGITS_CELLS, "|none~0|+|none~0|none~2|"),  # one comes from its own node
        (DIGITS_CELLS, "|none~0|+|none~0|sep_conv_3x3~1|"),  # an operator of another space
        (DIGITS_CELLS, "|none~0|"),
        (DIGITS_CELLS, "normal:|none~0|+|none~0|none~1|"),
        (DIGITS_CELLS, ""),
        (DARTS, str(published("DARTS_V2")).split()[0]),  # one cell only
        (DARTS, str(published("DARTS_V2")).replace("skip_connect~0|", "", 1)),  # a node keeps one edge
        (DARTS, str(published("DARTS_V2")).replace("skip_connect~0", "none~0", 1)),
    ],
)
def test_what_is_no_architecture_is_refused(space, text):
    with pytest.raises(ValueError, match=space.name):
        parse(space, text)


@pytest.mark.parametrize("choice", [(0, 0), (0, 0, 5), (0, 0, -1)])
def test_a_choice_outside_the_space_is_refused(choice):
    with pytest.raises(ValueError, match="one of 5 operators on each of 3 edges"):
        check(Architecture(DIGITS_CELLS, choice))


def test_an_unknown_genotype_is_refused():
    with pytest.raises(ValueError, match=r"no published genotype DARTS_V9; there are TENAS_cifar10"):
        published("DARTS_V9")


# Numbers --------------------------------------------------------------------------------------------------------------


@TABULAR
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_number_names_one_architecture(space, data):
    number = data.draw(st.integers(0, space.size - 1))
    assert space.number(space.architecture(number)) == number


def test_numbers_count_with_the_last_edge_fastest():
    # 3 x 25 + 1 x 5 + 4
    assert DIGITS_CELLS.number(Architecture(DIGITS_CELLS, (3, 1, 4))) == 84
    assert [str(architecture) for architecture in DIGITS_CELLS.all()] == [
        str(DIGITS_CELLS.architecture(number)) for number in range(125)
    ]
    with pytest.raises(ValueError, match="from 0 to 124, got 125"):
        DIGITS_CELLS.architecture(125)


@pytest.mark.parametrize(
    ("index", "operators"),
    [
        # The reference cells of the published table.
        (6111, "3x3 3x3 3x3 skip 3x3 1x1"),
        (9930, "3x3 3x3 3x3 skip 3x3 3x3"),
        (857, "1x1 1x1 3x3 skip 3x3 3x3"),
        (1462, "3x3 3x3 3x3 3x3 3x3 3x3"),
        (1835, "skip skip skip skip skip skip"),
    ],
)
def test_a_published_index_is_found_in_closed_form(index, operators):
    architecture = NAS_BENCH_201.from_published_index(index)
    names = {"3x3": "nor_conv_3x3", "1x1": "nor_conv_1x1", "skip": "skip_connect"}
    assert architecture.operators == tuple(names[short] for short in operators.split())
    assert NAS_BENCH_201.published_index(architecture) == index


# Draws ----------------------------------------------------------------------------------------------------------------


@SPACES
@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_a_mutant_is_a_neighbour(space, seed):
    architecture = space.random(generator(seed))
    mutant = space.mutate(architecture, generator(seed + 1))
    check(mutant)
    changed = [i for i, (old, new) in enumerate(zip(architecture.choice, mutant.choice, strict=True)) if old != new]
    # A kept edge of DARTS may move to another input of its node: two places change, and one of each pair is `none`.
    assert len(changed) == 1 or (space is DARTS and len(changed) == 2)
    assert len({(space.edges[i].cell, space.edges[i].target) for i in changed}) == 1
    if len(changed) == 2:
        assert sorted(architecture.choice[i] for i in changed) == sorted(mutant.choice[i] for i in changed)


def test_mutants_reach_every_neighbour_alike():
    start, rng = Architecture(DIGITS_CELLS, (0, 1, 2)), generator()
    seen: dict[Architecture, int] = {}
    for _ in range(3000):
        mutant = DIGITS_CELLS.mutate(start, rng)
        seen[mutant] = seen.get(mutant, 0) + 1
    assert len(seen) == 3 * 4
    # Binomial of 3,000 with 1/12: 250 with deviation 15.1; five deviations.
    assert all(abs(count - 250) < 76 for count in seen.values())


def test_random_architectures_of_darts_use_every_edge_and_operator():
    rng = generator()
    drawn = torch.tensor([DARTS.random(rng).choice for _ in range(2000)])
    # A node with n inputs keeps each with probability 2 / n, and then each of 7 operators alike.
    for group in groups(DARTS):
        kept = (drawn[:, list(group)] != 0).double().mean(dim=0)
        # Five deviations of a share of 2,000 draws are at most 0.056.
        assert (kept - 2 / len(group)).abs().max() < 0.056
    used = drawn[drawn != 0].bincount(minlength=8)[1:] / (2000 * 16)
    assert (used - 1 / 7).abs().max() < 0.01


@SPACES
def test_a_sample_has_no_repeats_and_depends_on_its_seed_alone(space):
    sample = draw_sample(space, 40, 7)
    assert len(set(sample)) == 40
    assert sample == draw_sample(space, 40, 7)
    assert sample != draw_sample(space, 40, 8)


def test_a_sample_as_large_as_its_space_is_the_space():
    assert set(draw_sample(DIGITS_CELLS, 1000, 0)) == set(DIGITS_CELLS.all())


# Graphs ---------------------------------------------------------------------------------------------------------------


def test_a_cell_is_connected_if_a_path_leads_through():
    assert DIGITS_CELLS.connected(Architecture(DIGITS_CELLS, (0, 1, 0)))  # 0 -> 2
    assert DIGITS_CELLS.connected(Architecture(DIGITS_CELLS, (1, 0, 4)))  # 0 -> 1 -> 2
    assert not DIGITS_CELLS.connected(Architecture(DIGITS_CELLS, (1, 0, 0)))  # 0 -> 1
    assert not DIGITS_CELLS.connected(Architecture(DIGITS_CELLS, (0, 0, 3)))  # 1 -> 2
    # Of 125: no 0 -> 2, and not both of 0 -> 1 and 1 -> 2: 25 - 16.
    assert sum(not DIGITS_CELLS.connected(cell) for cell in DIGITS_CELLS.all()) == 9
    assert sum(not NAS_BENCH_201.connected(cell) for cell in NAS_BENCH_201.all()) == 341


def test_isomorphic_cells_have_one_signature():
    # Node 1 is the input itself, so that the output is conv3(in) + conv1(in) either way.
    one_way = Architecture(NAS_BENCH_201, (1, 0, 0, 3, 2, 0))
    other_way = Architecture(NAS_BENCH_201, (1, 0, 0, 2, 3, 0))
    assert NAS_BENCH_201.signature(one_way) == NAS_BENCH_201.signature(other_way)
    assert NAS_BENCH_201.signature(one_way) != NAS_BENCH_201.signature(Architecture(NAS_BENCH_201, (3, 0, 0, 1, 2, 0)))
    assert len({NAS_BENCH_201.signature(cell) for cell in NAS_BENCH_201.all()}) == 6_466
