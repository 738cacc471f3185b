"""Parameters by hand."""

from torch import nn

from bench.measure.parameters import measure_parameters


def test_weights_and_biases_are_counted() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 5), nn.Linear(10, 4, bias=False))
    assert measure_parameters(net).value == 3 * 8 * 25 + 8 + 40


def test_tied_weights_are_counted_once() -> None:
    net = nn.ModuleDict({"embedding": nn.Embedding(11, 6), "head": nn.Linear(6, 11, bias=False)})
    assert measure_parameters(net).value == 2 * 66
    net["head"].weight = net["embedding"].weight
    assert measure_parameters(net).value == 66


def test_frozen_weights_are_parameters_and_not_trainable() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    measurement = measure_parameters(net)
    assert measurement.value == 16 + 10
    assert measurement.detail["trainable"] == 10


def test_buffers_stand_apart() -> None:
    measurement = measure_parameters(nn.BatchNorm2d(6))
    assert measurement.value == 2 * 6  # scale and shift
    assert measurement.detail == {"trainable": 12, "buffers": 2 * 6 + 1}  # mean, variance, number of batches


def test_a_solution_that_is_no_network_has_no_count() -> None:
    measurement = measure_parameters(lambda problem: problem)
    assert measurement.value is None
    assert measurement.reason == "the solution is no nn.Module"


def test_a_solution_that_is_no_network_counts_as_the_network_that_its_workload_calls() -> None:
    assert measure_parameters("3x3, 3x3", nn.Linear(3, 4)).value == 3 * 4 + 4
    # A solution that is a network is counted itself, whatever is called.
    assert measure_parameters(nn.Linear(2, 5), nn.Linear(3, 4)).value == 2 * 5 + 5
