"""Dense networks of synthetic to real: their counts, frames, and what they start from."""

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import deeplabv3_resnet50, deeplabv3_resnet101
from torchvision.models.vgg import make_layers

from tasks.syn2real.backbones import CENTRED, Backbone, freeze_affine, freeze_statistics
from tasks.syn2real.backbones.dense import FCN8s, bilinear_kernel, build_dense
from tasks.syn2real.backbones.large import VGGNeck, VGGTrunk


def on_meta(name, classes, **words):
    with torch.device("meta"):
        return build_dense(name, classes, pretrained=None, **words)


def count(net):
    return sum(parameter.numel() for parameter in net.parameters())


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "theirs"), [("resnet50", deeplabv3_resnet50), ("resnet101", deeplabv3_resnet101)])
def test_deeplab_has_as_many_parameters_as_torchvisions(name, theirs):
    with torch.device("meta"):
        reference = count(theirs(weights=None, weights_backbone=None, num_classes=19))
    # The old head is kept beside it.
    assert count(on_meta(name, 19)) == reference + 1000 * 2049


def test_fcn_has_the_parameters_of_its_layers():
    features, fc6, fc7, old_head = 14_714_688, 512 * 49 * 4096 + 4096, 4096 * 4096 + 4096, 1000 * 4097
    scores = (4096 + 512 + 256) * 19 + 3 * 19
    enlarging = 19 * 19 * (4 * 4 + 4 * 4 + 16 * 16)
    assert count(on_meta("vgg16", 19)) == features + fc6 + fc7 + old_head + scores + enlarging


@pytest.mark.parametrize("name", ["efficientnet-lite0", "resnet50", "vgg16"])
@pytest.mark.parametrize("size", [(64, 96), (70, 101)])
def test_logits_have_the_size_of_the_image(name, size):
    assert on_meta(name, 5)(torch.empty(2, 3, *size, device="meta")).shape == (2, 5, *size)


def test_maps_of_a_crop_at_output_stride_8():
    maps = on_meta("resnet50", 19).backbone.maps(torch.empty(1, 3, 512, 512, device="meta"))
    assert {layer: tuple(one.shape[2:]) for layer, one in maps.items()} == {3: (64, 64), 4: (64, 64)}


def test_a_crop_of_fcn_stands_in_a_frame_of_zeros():
    # 512 + 198 = 710, halved five times and rounded up: 355, 178, 89, 45, 23.
    net = on_meta("vgg16", 19)
    images = torch.empty(1, 3, 512, 512, device="meta")
    assert net.backbone.trunk.conv1[0](images).shape[2:] == (710, 710)
    maps = net.backbone.maps(images)
    assert {layer: one.shape[2] for layer, one in maps.items()} == {2: 89, 3: 45, 4: 23}
    # What ASG asks of the old head: 7 x 7 averages, then fc6 to fc8.
    assert net.backbone.old_head(net.backbone.embed(maps[4])).shape == (1, 1000)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "vgg16"])
def test_groups_are_those_of_the_backbone_and_the_new_head(name):
    net = on_meta(name, 19)
    assert list(net.groups()) == [*net.backbone.groups(), "new_head"]
    assert len(net.groups()) == 7
    grouped = sum(parameter.numel() for group in net.groups().values() for parameter in group)
    assert grouped == count(net) - count(net.backbone.old_head)


def test_what_trains_in_deeplab_is_convolutions_and_the_head():
    net = build_dense("efficientnet-lite0", 4, pretrained=None)
    freeze_affine(net.backbone)
    net.train()
    freeze_statistics(net.backbone)
    before = {name: buffer.clone() for name, buffer in net.named_buffers() if "running" in name}
    net(noise(2, 3, 64, 64)).sum().backward()
    moved = {name for name, buffer in before.items() if not torch.equal(buffer, dict(net.named_buffers())[name])}
    assert moved == {name for name in before if name.startswith("head.")}
    learning = {name for name, parameter in net.backbone.named_parameters() if parameter.grad is not None}
    assert learning
    assert all(name.endswith("convolution.weight") for name in learning)


def test_the_head_comes_from_the_seed():
    one, again, other = (build_dense("efficientnet-lite0", 3, pretrained=None, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.head[-1].weight, again.head[-1].weight)
    assert not torch.equal(one.head[-1].weight, other.head[-1].weight)


# A FCN-8s of few channels ---------------------------------------------------------------------------------------------

CHANNELS = 4


@pytest.fixture
def small():
    layers = [2 * [CHANNELS], 2 * [CHANNELS], 3 * [CHANNELS], 3 * [CHANNELS], 3 * [CHANNELS]]
    features = make_layers([entry for stage in layers for entry in (*stage, "M")])
    neck = VGGNeck(nn.Linear(49 * CHANNELS, 6), nn.Linear(6, 5))
    backbone = Backbone(
        VGGTrunk(features, framed=True), neck, nn.Linear(5, 1000), dict.fromkeys((2, 3, 4), CHANNELS), CENTRED
    )
    return FCN8s(backbone, 2)


def constant_maps(**values):
    # Of an image of 96 x 96: 96 + 198 = 294, then 147, 74, 37, 19, 10.
    return {
        layer: torch.full((1, CHANNELS, side, side), values[f"layer_{layer}"])
        for layer, side in ((2, 37), (3, 19), (4, 10))
    }


def test_fcn_starts_from_zero(small):
    assert torch.equal(small(noise(1, 3, 96, 96)), torch.zeros(1, 2, 96, 96))


def test_fcn_maps_have_the_sizes_worked_out_here(small):
    sides = {layer: one.shape[2] for layer, one in small.backbone.maps(noise(1, 3, 96, 96)).items()}
    assert sides == {2: 37, 3: 19, 4: 10}


@pytest.mark.parametrize(("layer", "scale"), [(3, 0.01), (2, 0.0001)])
def test_a_shallower_map_counts_little_at_first(small, layer, scale):
    with torch.no_grad():
        small.head[f"score_{layer}"].weight.fill_(1.0)
        logits = small.decode(
            constant_maps(**{f"layer_{other}": float(other == layer) for other in (2, 3, 4)}), (96, 96)
        )
    # Away from the border, where a kernel finds all its neighbours, interpolation keeps a constant.
    torch.testing.assert_close(logits[:, :, 32:64, 32:64], torch.full((1, 2, 32, 32), scale * CHANNELS))


def test_deeper_scores_are_doubled_twice_and_enlarged(small):
    with torch.no_grad():
        small.head["score_neck"].bias.copy_(torch.tensor([1.0, -2.0]))
        logits = small.decode(constant_maps(layer_2=0.0, layer_3=0.0, layer_4=0.0), (96, 96))
    torch.testing.assert_close(logits[0, :, 48, 48], torch.tensor([1.0, -2.0]))


@pytest.mark.parametrize(
    ("layer", "place", "pixel"), [(2, 18, 8 * 18 - 95.5), (3, 8, 16 * 8 - 91.5), (4, 4, 32 * 1 + 12.5)]
)
def test_what_a_map_sees_is_scored_where_it_lies(small, layer, place, pixel):
    # Pixel p of the image is row p + 99 of the first convolution, and place i of a map of stride s is the mean of rows
    # s i to s i + s - 1: its middle is pixel s i + (s - 1) / 2 - 99. fc6 sees three more places on each side.
    maps = constant_maps(layer_2=0.0, layer_3=0.0, layer_4=0.0)
    maps[layer][:, :, place, place] = 1.0
    neck = small.backbone.neck
    with torch.no_grad():
        neck.fc6.weight.unflatten(1, (CHANNELS, 7, 7)).zero_()[:, :, 3, 3] = 1.0
        neck.fc7.weight.fill_(1.0)
        for linear in (neck.fc6, neck.fc7):
            linear.bias.zero_()
        for name in ("score_neck", "score_3", "score_2"):
            small.head[name].weight.fill_(1.0)
        seen = small.decode(maps, (96, 96))[0, 0].double()
    pixels = torch.arange(96.0, dtype=torch.float64)
    assert ((seen.sum(1) / seen.sum()) @ pixels).item() == pytest.approx(pixel, abs=1e-3)
    assert ((seen.sum(0) / seen.sum()) @ pixels).item() == pytest.approx(pixel, abs=1e-3)


def test_fully_connected_layers_are_the_convolutions(small):
    last = noise(2, CHANNELS, 7, 8)
    everywhere = small.backbone.neck.at_each_place(last)
    assert everywhere.shape == (2, 5, 1, 2)
    torch.testing.assert_close(everywhere[:, :, 0, 0], small.backbone.embed(last[..., :7]))
    torch.testing.assert_close(everywhere[:, :, 0, 1], small.backbone.embed(last[..., 1:]))


def test_a_bilinear_kernel_by_hand():
    kernel = bilinear_kernel(2, 4)
    assert torch.equal(kernel[0, 1], torch.zeros(4, 4))
    edge = torch.tensor([0.25, 0.75, 0.75, 0.25])
    torch.testing.assert_close(kernel[0, 0], edge[:, None] * edge)
