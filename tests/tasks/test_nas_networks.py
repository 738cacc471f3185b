"""Networks of architecture search: their published counts, and what a supernet computes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.measure.macs import MacsCounter
from tasks.nas.darts import DARTS, DARTS_IMAGENET, DropPath, published
from tasks.nas.datasets import DIGITS_CELLS
from tasks.nas.operators import OPERATORS, FactorizedReduce
from tasks.nas.scoring import costs
from tasks.nas.spaces import Architecture, Norms
from tasks.nas.tabular import NAS_BENCH_201

SPACES = pytest.mark.parametrize("space", [NAS_BENCH_201, DARTS], ids=lambda space: space.name)


def on_meta(space, architecture, *sizes, **words):
    with torch.device("meta"):
        return space.network(architecture, *sizes, **words)


# Published counts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cifar", "imagenet"),
    [
        ("TENAS_cifar10", (4_137_526, 637.57), (5_868_640, 641.42)),
        ("TENAS_imagenet", (3_779_398, 580.25), (5_420_416, 590.41)),
        ("DARTS_V1", (3_169_414, 500.99), (4_510_432, 505.86)),
        ("DARTS_V2", (3_349_342, 528.36), (4_718_752, 529.91)),
    ],
)
def test_the_published_networks_of_darts_have_their_parameters_and_macs(name, cifar, imagenet):
    architecture = published(name)
    parameters, macs = costs(on_meta(DARTS, architecture, 36, DARTS.layers(20), 10), (3, 32, 32))
    assert (parameters, round(macs / 1e6, 2)) == cifar
    parameters, macs = costs(on_meta(DARTS_IMAGENET, architecture, 48, DARTS.layers(14), 1000), (3, 224, 224))
    assert (parameters, round(macs / 1e6, 2)) == imagenet


def test_the_macs_of_the_imagenet_genotype_are_exact():
    network = on_meta(DARTS_IMAGENET, published("TENAS_imagenet"), 48, DARTS.layers(14), 1000)
    assert costs(network, (3, 224, 224))[1] == 590_414_400


@pytest.mark.parametrize(
    ("index", "parameters", "macs"),
    [
        (6111, 1_073_466, 153_272_960),
        (1462, 1_531_546, 220_119_680),
        (9930, 1_288_506, 184_730_240),
        (857, 858_426, 121_815_680),
        (1835, 73_306, 7_783_040),
    ],
)
def test_reference_cells_of_nas_bench_201_have_their_parameters_and_macs(index, parameters, macs):
    network = on_meta(NAS_BENCH_201, NAS_BENCH_201.from_published_index(index), 16, NAS_BENCH_201.layers(5), 10)
    assert costs(network, (3, 32, 32)) == (parameters, macs)


def test_a_cell_of_none_alone_has_the_rest_of_the_network():
    network = on_meta(NAS_BENCH_201, Architecture(NAS_BENCH_201, (0,) * 6), 16, NAS_BENCH_201.layers(5), 10)
    assert costs(network, (3, 32, 32)) == (73_306, 7_783_040)


def test_imagenet16_has_a_quarter_of_the_convolutions():
    cell = NAS_BENCH_201.from_published_index(857)
    # 120 classes have 65 x 110 parameters more, and 64 x 120 multiply-adds in the classifier.
    network = on_meta(NAS_BENCH_201, cell, 16, NAS_BENCH_201.layers(5), 120)
    assert costs(network, (3, 16, 16)) == (858_426 + 65 * 110, (121_815_680 - 640) // 4 + 7_680)
    assert round(costs(network, (3, 16, 16))[1] / 1e6, 3) == 30.461


@given(choice=st.lists(st.integers(0, 4), min_size=6, max_size=6), classes=st.sampled_from([10, 100, 120]))
@settings(max_examples=8, deadline=None)
def test_the_published_formula_is_the_count_of_any_cell(choice, classes):
    cell = Architecture(NAS_BENCH_201, tuple(choice))
    ones, threes = choice.count(2), choice.count(3)
    parameters = 73_306 + 243_040 * threes + 28_000 * ones + 65 * (classes - 10)
    macs = 7_783_040 + 35_389_440 * threes + 3_932_160 * ones + 64 * (classes - 10)
    assert NAS_BENCH_201.parameters(cell, 16, 5, classes) == parameters
    assert NAS_BENCH_201.macs(cell, 16, 5, classes, 32) == macs
    assert costs(on_meta(NAS_BENCH_201, cell, 16, NAS_BENCH_201.layers(5), classes), (3, 32, 32)) == (parameters, macs)


@given(choice=st.lists(st.integers(0, 4), min_size=3, max_size=3), side=st.integers(3, 15))
@settings(max_examples=8, deadline=None)
def test_the_closed_forms_hold_for_small_networks_on_any_image(choice, side):
    cell = Architecture(DIGITS_CELLS, tuple(choice))
    network = on_meta(DIGITS_CELLS, cell, 4, DIGITS_CELLS.layers(2), 7, inputs=1)
    counted = costs(network, (1, side, side))
    assert counted == (DIGITS_CELLS.parameters(cell, 4, 2, 7, 1), DIGITS_CELLS.macs(cell, 4, 2, 7, side, 1))


# Operators ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [8, 3])
def test_an_operator_keeps_channels_and_divides_the_side_by_its_stride(name, stride, side):
    output = OPERATORS[name](6, stride, Norms())(torch.randn(2, 6, side, side))
    assert output.shape == (2, 6, -(-side // stride), -(-side // stride))


def test_average_pooling_does_not_count_what_lies_outside():
    pool = OPERATORS["avg_pool_3x3"](1, 1, Norms())
    # Of ones every average is one, at the corners too; with zeros counted a corner would be 4/9.
    assert pool(torch.ones(1, 1, 4, 4)).unique().tolist() == [1.0]


def test_a_factorised_reduction_sees_even_pixels_by_one_half_and_odd_ones_by_the_other():
    reduce = FactorizedReduce(1, 2, Norms()).eval()
    nn.init.ones_(reduce.even.weight)
    nn.init.ones_(reduce.odd.weight)
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    even, odd = reduce(image)[0] * (1 + 1e-5) ** 0.5
    torch.testing.assert_close(even, torch.tensor([[0.0, 2.0], [8.0, 10.0]]))
    torch.testing.assert_close(odd, torch.tensor([[5.0, 7.0], [13.0, 15.0]]))


def test_every_relu_can_be_hooked_and_none_is_in_place():
    for net in (DARTS.proxy(DARTS.region_proxy, 10), NAS_BENCH_201.proxy(NAS_BENCH_201.region_proxy, 10)):
        relus = [module for module in net.modules() if isinstance(module, nn.ReLU)]
        assert relus
        assert not any(relu.inplace for relu in relus)
    # One stem-less cell: 2 convolutions on each of 6 edges, and the last ReLU.
    net = NAS_BENCH_201.proxy(NAS_BENCH_201.region_proxy, 10)
    assert sum(isinstance(module, nn.ReLU) for module in net.modules()) == 2 * 6 + 1


# Supernets ------------------------------------------------------------------------------------------------------------


@SPACES
@given(seed=st.integers(0, 1000))
@settings(max_examples=4, deadline=None)
def test_one_hot_weights_make_a_supernet_the_network_of_that_architecture(space, seed):
    architecture = space.random(torch.Generator().manual_seed(seed))
    layers = ("normal", "reduction", "normal")
    # Pools of trained networks have a norm in the space of DARTS only.
    supernet = space.supernet(4, layers, 5, norms=Norms(pool=space is DARTS))
    network = space.network(architecture, 4, layers, 5)
    weights = supernet.state_dict()
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    images = torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(supernet(images, architecture.weights()), network(images))


@SPACES
def test_a_sparse_choice_costs_what_it_costs(space):
    layers = ("normal", "reduction", "normal")
    architecture = space.random(torch.Generator().manual_seed(3))
    supernet = space.supernet(4, layers, 5).to("meta")
    images = torch.empty(1, 3, 16, 16, device="meta")
    with torch.no_grad(), MacsCounter() as sparse:
        supernet(images, architecture.weights())
    assert sparse.macs == costs(space.network(architecture, 4, layers, 5), (3, 16, 16))[1]
    everything = torch.ones(len(space.edges), len(space.operators))
    with torch.no_grad(), MacsCounter() as dense:
        supernet(images, everything)
    assert dense.macs > sparse.macs


@SPACES
def test_an_edge_is_the_sum_of_its_operators_by_weight(space):
    net = space.supernet(4, ("normal",), 5).eval()
    seen: dict[str, torch.Tensor] = {}
    layer = net.layers[0] if space is NAS_BENCH_201 else net.cells[0]
    first = layer.edges[0]
    for name, operator in first.operators.items():
        operator.register_forward_hook(lambda _, inputs, output, name=name: seen.__setitem__(name, output))
    total = []
    first.register_forward_hook(lambda _, inputs, output: total.append(output))
    weights = torch.rand(len(space.edges), len(space.operators))
    net(torch.randn(2, 3, 8, 8), weights)
    assert set(seen) == {str(index) for index in range(1, len(space.operators))}
    expected = sum(weights[0, int(name)] * output for name, output in seen.items())
    torch.testing.assert_close(total[0], expected)


@SPACES
def test_gradients_reach_the_weights_that_are_not_zero(space):
    net = space.supernet(4, ("normal", "reduction"), 5)
    images = torch.randn(4, 3, 8, 8)
    weights = torch.full((len(space.edges), len(space.operators)), 0.3)
    weights[0, 1] = 0
    weights.requires_grad_()
    net(images, weights).square().sum().backward()
    assert weights.grad[0, 1] == 0
    # `none` brings nothing, so that its weight does not matter.
    assert not weights.grad[:, 0].any()
    used = torch.ones_like(weights, dtype=torch.bool)
    used[0, 1] = False
    used[:, 0] = False
    assert (weights.grad[used] != 0).double().mean() > 0.9


def test_zeros_that_are_added_change_nothing_but_their_gradient():
    architecture = NAS_BENCH_201.from_published_index(6111)
    images = torch.randn(4, 3, 8, 8)
    results = []
    for add_zeros in (False, True):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = NAS_BENCH_201.supernet(4, ("normal",), 5, add_zeros=add_zeros)
        weights = architecture.weights().requires_grad_()
        logits = net(images, weights)
        logits.square().sum().backward()
        results.append((logits.detach(), weights.grad))
    (plain, without), (added, with_zeros) = results
    assert torch.equal(plain, added)
    chosen = architecture.weights().bool()
    assert not without[~chosen].any()
    torch.testing.assert_close(without[chosen], with_zeros[chosen])
    # The last edge, into the output: what is added to it is added to every pixel, whichever operator it belongs to.
    assert with_zeros[5][~chosen[5]].unique().numel() == 1
    assert with_zeros[5, 0] != 0


@SPACES
def test_masked_edges_bring_nothing(space):
    net = space.supernet(4, ("normal", "reduction"), 5).eval()
    nothing = torch.zeros(len(space.edges), len(space.operators))
    logits = net(torch.randn(3, 3, 8, 8), nothing)
    assert logits.shape == (3, 5)
    assert torch.equal(logits[0], logits[1]) or space is NAS_BENCH_201
    # In both, what comes out no longer depends on the image.
    torch.testing.assert_close(logits[0], logits[2])


def test_norms_are_made_as_asked():
    def norms(net):
        return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]

    with torch.device("meta"):
        searched = DARTS.supernet(4, ("normal",), 5, norms=Norms(affine=False, track=False, pool=True))
        scored = DARTS.supernet(4, ("normal",), 5)
        trained = DARTS.network(published("DARTS_V2"), 4, ("normal", "reduction"), 5)
    # 14 edges: two pools with a norm more in one than in the other.
    assert len(norms(searched)) - len(norms(scored)) == 2 * 14
    # The stem's norm alone keeps its scale.
    assert [norm.affine for norm in norms(searched)] == [True] + [False] * (len(norms(searched)) - 1)
    assert not any(norm.track_running_stats for norm in norms(searched))
    assert all(norm.affine and norm.track_running_stats for norm in norms(scored))
    # Pools of a network that is trained have a norm without scale: DARTS_V2 has 5 in its reduction cell, and no other.
    assert sum(not norm.affine for norm in norms(trained)) == 5


# Proxies --------------------------------------------------------------------------------------------------------------


@SPACES
@pytest.mark.parametrize("which", ["kappa_proxy", "region_proxy"])
def test_proxies_take_their_images_and_end_in_a_relu(space, which):
    sizes = getattr(space, which)
    net = space.proxy(sizes, 10)
    ends = []
    net.last[-1].register_forward_hook(lambda _, inputs, output: ends.append(output))
    active = torch.full((len(space.edges), len(space.operators)), 1 / (len(space.operators) - 1))
    active[:, 0] = 0
    logits = net(torch.randn(5, sizes.inputs, sizes.side, sizes.side), active)
    assert logits.shape == (5, 10)
    assert isinstance(net.last[-1], nn.ReLU)
    assert ends[0].ndim == 4


def test_the_kappa_proxy_of_nas_bench_201_has_three_cells_and_two_blocks():
    net = NAS_BENCH_201.proxy(NAS_BENCH_201.kappa_proxy, 10)
    assert [type(layer).__name__ for layer in net.layers] == ["Cell", "ResidualBlock"] * 2 + ["Cell"]
    assert net.classifier.in_features == 3 * 2 * 2


def test_a_network_without_stem_needs_images_of_its_width():
    with pytest.raises(ValueError, match="without a stem"):
        NAS_BENCH_201.supernet(4, ("normal",), 5, inputs=3, stem=False)
    with pytest.raises(ValueError, match="without a stem"):
        DARTS.supernet(4, ("normal",), 5, inputs=3, stem=False)


# What networks of DARTS have besides ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("space", "side", "extra"), [(DARTS, 32, 1_536), (DARTS_IMAGENET, 224, 0)])
def test_the_auxiliary_head_sits_two_thirds_down(space, side, extra):
    cells = 4
    plain = on_meta(space, published("DARTS_V2"), 8, DARTS.layers(cells), 10)
    net = on_meta(space, published("DARTS_V2"), 8, DARTS.layers(cells), 10, auxiliary=True)
    logits, early = net.train().with_auxiliary(torch.empty(2, 3, side, side, device="meta"))
    assert logits.shape == early.shape == (2, 10)
    # 8 channels, doubled twice, four nodes side by side. 1x1 to 128, norm; 2x2 to 768, norm but for ImageNet; linear.
    features = 8 * 4 * 4
    head = features * 128 + 2 * 128 + 4 * 128 * 768 + extra + 769 * 10
    assert costs(net, (3, side, side))[0] - costs(plain, (3, side, side))[0] == head
    # The head is not run where it is not asked for.
    assert costs(net, (3, side, side))[1] == costs(plain, (3, side, side))[1]


def test_dropped_paths_are_dropped_image_by_image_and_keep_the_mean():
    drop = DropPath()
    features = torch.ones(4000, 2, 2, 2)
    dropped = drop(features, 0.3, torch.Generator().manual_seed(0))
    by_image = dropped.flatten(1)
    assert (by_image == by_image[:, :1]).all()
    assert sorted(by_image.unique().tolist()) == pytest.approx([0, 1 / 0.7])
    # The mean of 4,000 values of deviation sqrt(0.3 / 0.7) = 0.65; five deviations.
    assert dropped.mean().item() == pytest.approx(1, abs=0.052)
    assert torch.equal(drop.eval()(features, 0.3, None), features)


def test_skips_are_never_dropped():
    # All edges skip: with dropped paths and without, the same.
    skips = DARTS.operators.index("skip_connect")
    choice = [0] * len(DARTS.edges)
    for index, edge in enumerate(DARTS.edges):
        if edge.source < 2:
            choice[index] = skips
    net = DARTS.network(Architecture(DARTS, tuple(choice)), 4, ("normal", "normal"), 5)
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(net(images, drop_path=0.9, generator=torch.Generator()), net(images))
    sep = [DARTS.operators.index("sep_conv_3x3") if operator else 0 for operator in choice]
    net = DARTS.network(Architecture(DARTS, tuple(sep)), 4, ("normal", "normal"), 5)
    assert not torch.allclose(net(images, drop_path=0.9, generator=torch.Generator()), net(images))
