"""Recipes of the baseline networks: schedules, groups of parameters, labels of smaller maps, and that they learn."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench.run import Run
from methods.segmentation._recipe import decayed, drawn, poly, shrunk
from methods.segmentation.bisenet_resnet18 import BiSeNetResNet18
from methods.segmentation.bisenet_xception39 import BiSeNetXception39
from methods.segmentation.deeplabv3plus_mobilenetv2 import DeepLabV3PlusMobileNetV2
from methods.segmentation.df1_seg_d8 import DF1SegD8
from methods.segmentation.enet import ENet, class_weights
from methods.segmentation.fast_scnn import FastSCNN
from methods.segmentation.icnet import ICNet
from tasks.segmentation import IGNORE, SegmentationProblem


@pytest.fixture
def problem() -> SegmentationProblem:
    """Four images of 64 x 64: the colour of a pixel tells its class, in blocks of 16 pixels; a margin is ignored."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, 3, (4, 4, 4), generator=generator)
    labels = blocks.repeat_interleave(16, 1).repeat_interleave(16, 2).to(torch.uint8)
    images = (functional.one_hot(labels.long(), 3) * 255).movedim(-1, 1).to(torch.uint8)
    labels[:, :4] = IGNORE
    return SegmentationProblem(
        images=images,
        labels=labels,
        validation_images=images[:1],
        validation_labels=labels[:1],
        class_names=("red", "green", "blue"),
        crop=(64, 64),
        scales=(1.0,),
        workload_size=(64, 64),
        seed=0,
    )


# Pieces ---------------------------------------------------------------------------------------------------------------


def test_the_polynomial_takes_the_step_size_to_zero():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 2.0)
    schedule = poly(optimizer, 4, 0.5)
    found = []
    for _ in range(6):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    # 2 * (1 - t/4) ** 0.5, and zero from the end on.
    assert found == pytest.approx([2, 2 * math.sqrt(0.75), 2 * math.sqrt(0.5), 1, 0, 0])


def test_only_the_weights_of_convolutions_decay():
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.PReLU(3))
    with_decay, without = decayed(net)
    assert [p.shape for p in with_decay] == [(3, 2, 1, 1)]
    assert [id(p) for p in without] == [id(p) for p in (net[0].bias, net[1].weight, net[1].bias, net[2].weight)]


@pytest.mark.parametrize("size", [(8, 8), (8, 12), (3, 5), (16, 24)])
def test_labels_of_smaller_maps_are_those_of_nearest_neighbours(size):
    labels = torch.randint(0, 19, (2, 16, 24), generator=torch.Generator().manual_seed(0))
    expected = functional.interpolate(labels[:, None].float(), size=size, mode="nearest")[:, 0].long()
    assert torch.equal(shrunk(labels, torch.empty(2, 7, *size)), expected)


def test_labels_at_an_eighth_are_every_eighth():
    labels = torch.arange(16 * 24).reshape(1, 16, 24)
    assert shrunk(labels, torch.empty(1, 2, 2, 3)).tolist() == [[[0, 8, 16], [192, 200, 208]]]


def test_weights_depend_on_seed_and_name_and_leave_the_random_state_alone():
    before = torch.get_rng_state()

    def weights(*words: Any) -> list[float]:
        return drawn(lambda: nn.Conv2d(2, 2, 3), *words).weight.flatten().tolist()

    assert weights(0) == weights(0, "network")
    assert len({tuple(weights(0)), tuple(weights(1)), tuple(weights(0, "auxiliary"))}) == 3
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_have_the_variance_of_he():
    net = drawn(lambda: nn.Sequential(nn.Conv2d(40, 400, 3), nn.Conv2d(400, 400, 3, groups=400)), 0)
    assert net[0].weight.var().item() == pytest.approx(2 / (40 * 9), rel=0.02)
    assert net[1].weight.var().item() == pytest.approx(2 / 9, rel=0.1)  # depthwise: each output has nine inputs
    assert not net[0].bias.any()


def test_rare_classes_weigh_more_and_ignored_pixels_nothing():
    labels = torch.tensor([0, 0, 0, 1] + [IGNORE] * 12, dtype=torch.uint8).reshape(1, 4, 4)
    expected = [1 / math.log(1.02 + 0.75), 1 / math.log(1.02 + 0.25), 50]  # the third is 50.5, above the bound
    assert class_weights(labels, 3, 1.02).tolist() == pytest.approx(expected)
    assert class_weights(torch.zeros(1, 2, 2, dtype=torch.uint8), 1, 2.0).tolist() == [1]  # 1 / ln 3 is below the bound


# Groups of parameters -------------------------------------------------------------------------------------------------


@pytest.fixture
def groups(monkeypatch) -> list[dict[str, Any]]:
    """Groups of parameters that torch's SGD was given."""
    given: list[dict[str, Any]] = []

    class Watched(torch.optim.SGD):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            given.extend(dict(group) for group in self.param_groups)

    monkeypatch.setattr(torch.optim, "SGD", Watched)
    return given


def test_bisenet_trains_all_but_its_backbone_ten_times_as_fast_and_decays_convolutions_alone(problem, groups):
    method = BiSeNetXception39(steps=1, batch=2)
    net = method.fit(problem, Run(seed=0))
    assert [(g["initial_lr"] if "initial_lr" in g else g["lr"], g["weight_decay"]) for g in groups] == [
        (0.01, 5e-4),
        (0.01, 0),
        (pytest.approx(0.1), 5e-4),
        (pytest.approx(0.1), 0),
    ]
    where = {id(p): index for index, g in enumerate(groups) for p in g["params"]}
    assert len(where) == sum(len(g["params"]) for g in groups)  # none twice
    backbone = {id(p) for p in net.backbone.parameters()}
    for parameter in net.parameters():
        assert where.pop(id(parameter)) == (0 if id(parameter) in backbone else 2) + (parameter.ndim == 1)
    # What is left are two auxiliary classifiers of a convolution, its normalisation and a convolution with biases.
    assert sorted(where.values()) == [2, 2, 2, 2, 3, 3, 3, 3, 3, 3]


def test_fast_scnn_decays_all_but_its_depthwise_convolutions(problem, groups):
    net = FastSCNN(steps=1, batch=2).fit(problem, Run(seed=0))
    assert [g["weight_decay"] for g in groups] == [4e-5, 0]
    depthwise = {id(m.weight) for m in net.modules() if isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1}
    assert {id(p) for p in groups[1]["params"]} == depthwise
    # Nine bottlenecks, two separable convolutions at each end and the fusion.
    assert len(depthwise) == 9 + 2 + 2 + 1
    others = {id(p) for p in net.parameters()} - depthwise
    assert others < {id(p) for p in groups[0]["params"]}
    assert len(groups[0]["params"]) == len(others) + 4  # two auxiliary classifiers with biases


# Fits -----------------------------------------------------------------------------------------------------------------

FITS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "fast-scnn": (FastSCNN, {"steps": 40}),
    "bisenet-xception39": (BiSeNetXception39, {"steps": 30}),
    "bisenet-resnet18": (BiSeNetResNet18, {"steps": 12}),
    "icnet": (ICNet, {"steps": 25, "lr": 0.05}),
    "enet": (ENet, {"encoder_steps": 12, "steps": 25, "lr": 5e-3}),
    "df1-seg-d8": (DF1SegD8, {"steps": 25, "lr": 0.05}),
    "deeplabv3plus-mobilenetv2": (DeepLabV3PlusMobileNetV2, {"steps": 15, "lr": 0.05}),
}


@pytest.mark.parametrize("name", FITS)
def test_a_colour_for_each_class_is_learnt(problem, name):
    method, settings = FITS[name]
    run = Run(seed=0)
    torch.manual_seed(0)  # dropout draws from torch's own generator
    net = method(batch=4, **settings).fit(problem, run)
    for curve in run.curves().values():
        assert sum(curve.y[-3:]) / 3 < 0.75 * sum(curve.y[:3]) / 3
    # Auxiliary classifiers stay behind: what is solved with is what `build` costs.
    assert list(net.state_dict()) == list(method(**settings).build(problem).state_dict())


def test_the_encoder_of_enet_is_trained_first(problem, monkeypatch):
    trained = []

    class Watched(torch.optim.Adam):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            trained.append([p for group in self.param_groups for p in group["params"]])

    monkeypatch.setattr(torch.optim, "Adam", Watched)
    run = Run(seed=0)
    net = ENet(batch=2, encoder_steps=2, steps=3).fit(problem, run)
    encoder, everything = ([id(p) for p in parameters] for parameters in trained)
    assert encoder[:-2] == [id(p) for p in net.encoder.parameters()]
    assert [p.shape for p in trained[0][-2:]] == [(3, 128, 1, 1), (3,)]  # its own classifier of 3 classes
    assert everything == [id(p) for p in net.parameters()]
    assert {name: curve.x for name, curve in run.curves().items()} == {
        "encoder/loss": [0, 1],
        "decoder/loss": [0, 1, 2],
    }
