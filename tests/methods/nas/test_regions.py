"""Linear regions by hand, and the inputs they are counted on."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from methods.nas._initial import initialise
from methods.nas._regions import crops, different, packed, patterns, regions
from tasks.nas.tabular import NAS_BENCH_201


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_by_one(weights: list[list[float]], biases: list[float]) -> nn.Module:
    """A 1x1 convolution and a ReLU on images of one pixel."""
    net = nn.Sequential(nn.Conv2d(len(weights[0]), len(weights), 1), nn.ReLU())
    net[0].weight.data = torch.tensor(weights)[:, :, None, None]
    net[0].bias.data = torch.tensor(biases)
    return net


def pixels(*values: list[float]) -> Tensor:
    return torch.tensor(values)[:, :, None, None]


def proxy() -> tuple[nn.Module, Tensor]:
    net = NAS_BENCH_201.proxy(NAS_BENCH_201.region_proxy, 10)
    initialise(net, "kaiming", "fan_in", generator())
    weights = torch.full((6, 5), 0.25)
    weights[:, 0] = 0
    return net, weights


def test_one_relu_on_inputs_of_both_signs_has_two_regions():
    assert regions(one_by_one([[1.0]], [0.0]), [pixels([-2.0], [-0.5], [0.5], [3.0])]) == 2


def test_lines_cut_the_plane():
    # ReLUs of x, y and x + y - 1: of the 7 regions of three lines in general position these points hit 4.
    net = one_by_one([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, -1.0])
    points = pixels([0.2, 0.2], [2.0, 2.0], [-1.0, -1.0], [-1.0, 0.5], [-2.0, 0.5], [0.3, 0.3])
    assert regions(net, [points]) == 4


def test_a_network_without_relus_or_a_batch_of_one_input_repeated_has_one_region():
    inputs = torch.randn(20, 1, 1, 1, generator=generator())
    assert regions(nn.Conv2d(1, 3, 1), [inputs]) == 1
    assert regions(one_by_one([[1.0], [-1.0]], [0.3, 0.3]), [inputs[:1].expand(20, 1, 1, 1)]) == 1


def test_there_are_no_more_regions_than_inputs_and_repeated_inputs_raise_nothing():
    net = one_by_one(torch.randn(40, 2, generator=generator()).tolist(), [0.1] * 40)
    inputs = torch.randn(9, 2, 1, 1, generator=generator(1))
    once = regions(net, [inputs])
    assert once == 9
    assert regions(net, [inputs, inputs]) == once


def test_the_count_is_that_of_a_set_of_rows_over_all_batches():
    net, weights = proxy()
    batches = torch.randn(90, 1, 3, 3, generator=generator()).split(30)
    rows = [tuple(row.tolist()) for batch in batches for row in patterns(net, batch, weights)]
    assert 1 < len(set(rows)) == regions(net, batches, weights)
    apart = [regions(net, [batch], weights) for batch in batches]
    assert max(apart) <= len(set(rows)) <= sum(apart)


def test_packing_keeps_every_unit():
    rows = torch.rand(50, 13, generator=generator()) > 0.5
    rows[1] = rows[0]
    rows[2] = rows[0]
    rows[2, 12] ^= True
    bytes_ = packed(rows)
    assert bytes_.shape == (50, 2)
    np.testing.assert_array_equal(np.unpackbits(bytes_, axis=1)[:, :13], rows.numpy())
    assert different([bytes_]) == len(np.unique(rows.numpy(), axis=0))
    assert different([bytes_[:3]]) == 2


def test_the_patterns_of_nas_bench_201s_proxy_are_of_all_relus_on_maps():
    # 12 convolutions with a ReLU of 1 x 3 x 3 each, and the last ReLU.
    net, weights = proxy()
    assert patterns(net, torch.randn(5, 1, 3, 3, generator=generator()), weights).shape == (5, 13 * 9)


def test_relus_on_vectors_do_not_count():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(18, 7), nn.ReLU())
    assert patterns(net, torch.randn(5, 1, 3, 3, generator=generator())).shape == (5, 2 * 9)


def test_a_cell_that_lets_nothing_through_has_the_last_relu_alone_and_one_region():
    net, weights = proxy()
    found = patterns(net, torch.randn(5, 1, 3, 3, generator=generator()), torch.zeros_like(weights))
    assert found.shape == (5, 9)
    assert len(np.unique(found.numpy(), axis=0)) == 1


def test_batch_norm_takes_the_statistics_of_the_batch_also_after_eval():
    net, weights = proxy()
    inputs = torch.randn(40, 1, 3, 3, generator=generator()) + 5
    expected = patterns(net, inputs, weights)
    assert torch.equal(patterns(net.eval(), inputs, weights), expected)
    assert net.training


def test_hooks_are_gone_and_no_graph_is_kept_afterwards():
    net, weights = proxy()
    patterns(net, torch.randn(5, 1, 3, 3, generator=generator()), weights)
    assert not any(module._forward_hooks for module in net.modules())
    with pytest.raises(RuntimeError, match="shape|channels|size"):
        patterns(net, torch.zeros(5, 2, 3, 3), weights)
    assert not any(module._forward_hooks for module in net.modules())


def test_crops_are_squares_of_one_channel_of_an_image():
    # Pixel (image, channel, row, column) holds its own place.
    places = torch.arange(7 * 3 * 6 * 5, dtype=torch.float32).reshape(7, 3, 6, 5)
    found = crops(places, 300, 3, generator())
    assert found.shape == (300, 1, 3, 3)
    first = found[:, 0, 0, 0].long()
    steps = torch.arange(3)[:, None] * 5 + torch.arange(3)
    assert torch.equal(found[:, 0].long(), first[:, None, None] + steps)
    image, channel, row, column = torch.unravel_index(first, places.shape)
    assert set(channel.tolist()) == {0, 1, 2}
    assert set(row.tolist()) == {0, 1, 2, 3}
    assert set(column.tolist()) == {0, 1, 2}
    # 300 of 7 images: each stands 42 or 43 times.
    assert set(torch.bincount(image, minlength=7).tolist()) == {42, 43}


def test_no_image_is_taken_twice_as_long_as_there_are_others():
    places = torch.arange(50, dtype=torch.float32)[:, None, None, None].expand(50, 1, 4, 4)
    assert len(crops(places, 50, 3, generator())[:, 0, 0, 0].unique()) == 50


def test_crops_are_those_of_their_generator():
    images = torch.randn(9, 3, 8, 8, generator=generator())
    assert torch.equal(crops(images, 12, 3, generator(4)), crops(images, 12, 3, generator(4)))
    assert not torch.equal(crops(images, 12, 3, generator(4)), crops(images, 12, 3, generator(5)))
