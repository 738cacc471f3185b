"""Operators and published networks of FasterSeg against the counts of the released code, and limits worked by hand."""

import hashlib
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.measure.macs import MacsCounter
from methods.segmentation._recipe import drawn
from methods.segmentation.fasterseg import genotype as genotypes
from methods.segmentation.fasterseg.genotype import Genotype, from_json, student, teacher
from methods.segmentation.fasterseg.network import DerivedNetwork
from methods.segmentation.fasterseg.operators import OPS, Op, operator, resized

PUBLISHED = {"student": student(), "teacher": teacher()}


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(name: str, classes: int = 19, deployed: bool = False) -> DerivedNetwork:
    with torch.device("meta"):
        return DerivedNetwork(PUBLISHED[name], classes, auxiliary=not deployed, attention=not deployed).eval()


def macs(module: nn.Module, *size: int, training: bool = False) -> int:
    images = torch.empty(1, *size, device="meta")
    with torch.no_grad(), MacsCounter() as counter:
        module.with_auxiliary(images) if training else module(images)
    return counter.macs


# Published counts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "classes", "total", "deployed"),
    [
        ("student", 19, 4_385_689, 3_421_875),
        ("teacher", 19, 23_524_137, 22_115_203),
        ("student", 11, 4_381_057, 3_420_843),
        ("teacher", 11, 23_519_505, 22_113_659),
    ],
)
def test_parameters_are_the_published_ones(name: str, classes: int, total: int, deployed: int) -> None:
    assert parameters(on_meta(name, classes)) == total
    assert parameters(on_meta(name, classes, deployed=True)) == deployed


@pytest.mark.parametrize(
    ("name", "stem", "cells", "arms32", "refine32", "arm16", "refine16", "fusion", "head", "auxiliary", "attention"),
    [
        ("student", 130_464, 2_742_656, 41_344, 276_864, 8_320, 55_424, 49_408, 150_163, 931_046, 32_768),
        ("teacher", 292_464, 20_342_208, 92_736, 830_016, 18_624, 166_080, 110_976, 335_827, 1_335_206, 73_728),
    ],
)
def test_parameters_of_each_part_are_the_released_ones(
    name: str,
    stem: int,
    cells: int,
    arms32: int,
    refine32: int,
    arm16: int,
    refine16: int,
    fusion: int,
    head: int,
    auxiliary: int,
    attention: int,
) -> None:
    net = on_meta(name)
    assert parameters(net.stem) == stem
    assert parameters(net.shared) + parameters(net.cells) == cells
    assert [sum(parameters(part.arm) for part in refinement) for refinement in (net.refine32, net.refine16)] == [
        arms32,
        arm16,
    ]
    assert [sum(parameters(part.refine) for part in refinement) for refinement in (net.refine32, net.refine16)] == [
        refine32,
        refine16,
    ]
    assert parameters(net.fusion) == fusion
    assert parameters(net.fusion.unused_attention) == attention
    assert parameters(net.head) == head
    assert parameters(net.auxiliary) == auxiliary


@pytest.mark.parametrize(
    ("name", "classes", "height", "width", "expected"),
    [
        ("student", 19, 1024, 2048, 27_770_486_784),
        ("teacher", 19, 1024, 2048, 107_778_932_736),
        ("student", 11, 384, 480, 2_434_277_376),
        ("teacher", 11, 384, 480, 9_468_334_080),
        ("student", 11, 720, 960, 9_116_436_480),
        ("teacher", 11, 720, 960, 35_236_408_320),
        ("student", 19, 384, 480, 2_437_226_496),
        ("teacher", 19, 384, 480, 9_472_757_760),
        ("student", 19, 736, 1280, 12_463_226_880),
        ("teacher", 19, 736, 1280, 48_416_317_440),
    ],
)
def test_multiply_adds_are_the_released_ones(name: str, classes: int, height: int, width: int, expected: int) -> None:
    assert macs(on_meta(name, classes), 3, height, width) == expected


@pytest.mark.parametrize(("name", "expected"), [("student", 31_736_201_216), ("teacher", 114_611_060_736)])
def test_training_adds_the_auxiliary_heads(name: str, expected: int) -> None:
    assert macs(on_meta(name), 3, 1024, 2048, training=True) == expected


@pytest.mark.parametrize(
    ("name", "convolutions", "expected"),
    [("student", 27_770_486_784, 27_901_919_232), ("teacher", 107_778_932_736, 108_005_261_312)],
)
def test_multiply_adds_in_the_convention_of_thop(name: str, convolutions: int, expected: int) -> None:
    """thop adds a bias's addition and two operations for each element that a batch norm gives."""
    net, extra = on_meta(name), 0

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal extra
        extra += output.numel() * (2 if isinstance(module, nn.BatchNorm2d) else 1)

    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) or (isinstance(module, nn.Conv2d) and module.bias is not None):
            module.register_forward_hook(count)
    with torch.no_grad():
        net(torch.empty(1, 3, 1024, 2048, device="meta"))
    assert convolutions + extra == expected


@pytest.mark.parametrize(
    ("name", "layers"), [("student", ({9, 13}, {12})), ("teacher", ({5, 13}, {4}))], ids=["student", "teacher"]
)
def test_layers_of_stride_two_are_the_published_ones(name: str, layers: tuple[set[int], set[int]]) -> None:
    found = [{layer.layer for layer in PUBLISHED[name].path(stride) if layer.stride == 2} for stride in (32, 16)]
    assert tuple(found) == layers


# Shapes and modes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 96), (90, 120), (75, 101)], ids=str)
def test_logits_have_the_size_of_the_image_whatever_it_is(size: tuple[int, int]) -> None:
    net = DerivedNetwork(small(), 5)
    images = torch.rand(2, 3, *size)
    assert net.eval()(images).shape == (2, 5, *size)
    assert [logits.shape for logits in net.with_auxiliary(images)] == [(2, 5, *size)] * 3


def test_the_first_of_the_training_maps_is_what_the_network_gives() -> None:
    net = DerivedNetwork(small(), 5).eval()
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(net.with_auxiliary(images)[0], net(images))


def test_a_network_with_exits_32_and_8_has_three_heads_too() -> None:
    """Its auxiliary head on a sixteenth then looks at the tap of the 32-branch alone."""
    value = small().to_json()
    value["branches"]["8"] = [{"layer": 2, "op": "conv", "inputs": 8, "outputs": 8, "stride": 1}]
    del value["branches"]["16"]
    net = DerivedNetwork(from_json(value), 5)
    assert [logits.shape for logits in net.with_auxiliary(torch.rand(2, 3, 64, 64))] == [(2, 5, 64, 64)] * 3
    assert net.auxiliary[0][0][0].in_channels == 16


def small() -> Genotype:
    """8 channels at an eighth, 16 at a sixteenth, 32 at a 32nd."""
    return from_json(
        {
            "stem": [4, 8, 8],
            "shared": [{"layer": 0, "op": "zconv", "inputs": 8, "outputs": 8, "stride": 1}],
            "branches": {
                "32": [
                    {"layer": 1, "op": "conv", "inputs": 8, "outputs": 16, "stride": 2},
                    {"layer": 2, "op": "zconv2", "inputs": 16, "outputs": 32, "stride": 2},
                    {"layer": 3, "op": "conv2", "inputs": 32, "outputs": 32, "stride": 1},
                ],
                "16": [{"layer": 2, "op": "zconv2", "inputs": 8, "outputs": 16, "stride": 2}],
            },
        }
    )


def test_a_genotype_survives_json() -> None:
    for genotype in PUBLISHED.values():
        assert from_json(genotype.to_json()) == genotype


def test_a_genotype_that_is_no_network_is_refused() -> None:
    value = small().to_json()
    value["branches"]["16"][0]["inputs"] = 12
    with pytest.raises(ValueError, match="layer 2 of exit 16 takes 12 of 8 channels"):
        from_json(value)
    value = small().to_json()
    value["branches"]["32"][2]["stride"] = 2
    with pytest.raises(ValueError, match="end at 64"):
        from_json(value)


def test_the_data_beside_the_code_is_part_of_its_source() -> None:
    folder = Path(genotypes.__file__).parent
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.json")}
    assert found == genotypes.PINNED


# Operators ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("stride", [1, 2])
def test_an_operator_keeps_an_even_size_or_halves_it(op: Op, stride: int) -> None:
    outputs = 4 if op == "skip" and stride == 1 else 6
    shape = operator(op, 4, outputs, stride)(torch.rand(2, 4, 12, 20)).shape
    assert shape == (2, outputs, 12 // stride, 20 // stride)


def test_corners_are_aligned_when_a_map_is_resized() -> None:
    """Between 0 and 3 the three inner points of five are a quarter, a half and three quarters of the way."""
    row = torch.arange(4.0).expand(1, 1, 4, 4)
    torch.testing.assert_close(resized(row, (4, 5))[0, 0, 0], torch.tensor([0.0, 0.75, 1.5, 2.25, 3.0]))


def test_a_skip_is_the_identity() -> None:
    features = torch.randn(2, 4, 6, 6)
    assert operator("skip", 4, 4, 1)(features) is features


def test_a_skip_of_stride_two_looks_at_two_grids_of_pixels() -> None:
    """Its first half sees the even pixels, its second the odd ones."""
    skip = operator("skip", 1, 2, 2).eval()
    for weight in (skip.straight.weight, skip.shifted.weight):
        nn.init.ones_(weight)
    pixels = torch.arange(16.0).view(1, 1, 4, 4)
    expected = torch.tensor([[[0.0, 2.0], [8.0, 10.0]], [[5.0, 7.0], [13.0, 15.0]]])
    torch.testing.assert_close(skip(pixels)[0], expected, atol=1e-3, rtol=0)  # the norm divides by sqrt(1 + 1e-5)


@pytest.mark.parametrize(("zoomed", "plain"), [("zconv", "conv"), ("zconv2", "conv2")])
def test_a_zoomed_convolution_costs_a_quarter(zoomed: Op, plain: Op) -> None:
    with torch.device("meta"):
        costs = [macs(operator(op, 16, 24, 1), 16, 32, 64) for op in (zoomed, plain)]
    assert 4 * costs[0] == costs[1]


@pytest.mark.parametrize(
    ("op", "expected_macs", "weights"),
    [
        ("conv", 1_207_959_552, 589_824),
        ("conv2", 2_415_919_104, 1_179_648),
        ("zconv", 301_989_888, 589_824),
        ("zconv2", 603_979_776, 1_179_648),
    ],
)
def test_operators_cost_what_the_paper_prints(op: Op, expected_macs: int, weights: int) -> None:
    """256 channels at 32 x 64: 1.208, 2.416, 0.302 and 0.604 G multiply-adds, 0.590 and 1.180 M weights."""
    with torch.device("meta"):
        module = operator(op, 256, 256, 1)
    assert macs(module, 256, 32, 64) == expected_macs
    assert sum(p.numel() for p in module.parameters() if p.dim() == 4) == weights


def test_on_a_constant_map_zooming_changes_nothing_away_from_the_borders() -> None:
    """Both give relu(value x sum of the kernel) there; the batch norm in eval mode is the identity but for its eps."""
    conv, zconv = (drawn(partial(operator, op, 3, 5, 1), seed=0).eval() for op in ("conv", "zconv"))
    features = torch.tensor([0.5, 1.0, -2.0]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    inside = (slice(None), slice(None), slice(4, 12), slice(4, 12))
    assert conv(features)[inside].abs().sum() > 0
    torch.testing.assert_close(zconv(features)[inside], conv(features)[inside])
    assert not torch.allclose(zconv(features), conv(features))
