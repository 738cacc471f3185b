"""Multiply-adds against counts by hand. A layer's are: outputs x inputs that each of them reads."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.contracts import Workload
from bench.measure.macs import MacsCounter, measure_macs


def macs(call: Callable[[], Any]) -> int:
    with MacsCounter() as counter:
        call()
    return counter.macs


GOLDEN = [
    # 10 x 12 pixels of 8 channels, each from 3 channels of 3 x 3; the bias adds and does not multiply.
    (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 12), 10 * 12 * 8 * 3 * 9),
    # 6 x 6 shrinks to 4 x 4; each of 8 channels reads the 2 of its group.
    (nn.Conv2d(4, 8, 3, groups=2), (1, 4, 6, 6), 4 * 4 * 8 * 2 * 9),
    (nn.Conv2d(16, 16, 3, padding=1, groups=16), (1, 16, 5, 5), 5 * 5 * 16 * 9),
    (nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 8, 8), 2 * 4 * 4 * 6 * 4 * 9),
    # Each of 5 x 5 pixels of 4 channels is spread over 6 channels of 3 x 3.
    (nn.ConvTranspose2d(4, 6, 3, stride=2), (1, 4, 5, 5), 5 * 5 * 4 * 6 * 9),
    (nn.Conv1d(2, 3, 5), (1, 2, 9), 5 * 3 * 2 * 5),
    (nn.Linear(20, 7), (3, 20), 3 * 20 * 7),
]


@pytest.mark.parametrize(("layer", "shape", "expected"), GOLDEN, ids=lambda value: str(value)[:40])
def test_a_layer_costs_what_a_count_by_hand_says(layer: nn.Module, shape: tuple[int, ...], expected: int) -> None:
    assert macs(lambda: layer(torch.ones(shape))) == expected


@given(rows=st.integers(1, 9), inputs=st.integers(1, 9), outputs=st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_a_product_costs_rows_times_inputs_times_outputs(rows: int, inputs: int, outputs: int) -> None:
    left, right = torch.ones(rows, inputs), torch.ones(inputs, outputs)
    assert macs(lambda: left @ right) == rows * inputs * outputs
    # A vector costs what a matrix of one column does.
    assert macs(lambda: left @ right[:, 0]) == rows * inputs
    assert macs(lambda: left[0] @ right[:, 0]) == inputs
    assert macs(lambda: torch.addmv(torch.ones(rows), left, right[:, 0])) == rows * inputs


def test_attention_on_the_cpu_costs_two_products_with_either_back_end() -> None:
    query, key, value = torch.ones(1, 2, 8, 16), torch.ones(1, 2, 10, 16), torch.ones(1, 2, 10, 16)

    def attend() -> Tensor:
        return nn.functional.scaled_dot_product_attention(query, key, value)

    # 2 heads x 8 queries x 10 keys x 16, once for the scores and once for the values.
    assert macs(attend) == 2 * (2 * 8 * 10 * 16)
    with sdpa_kernel(SDPBackend.MATH):
        assert macs(attend) == 2 * (2 * 8 * 10 * 16)


def test_a_training_step_costs_the_forward_pass_and_both_slopes() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def step() -> None:
        net(torch.ones(7, 4)).sum().backward()
        optimizer.step()

    forward = 7 * 4 * 5 + 7 * 5 * 1
    # The slope of the weights of both layers, and of the inputs of the second alone: the data needs none.
    assert macs(step) == forward + forward + 7 * 5 * 1


def test_slopes_of_each_row_apart_are_counted() -> None:
    net = nn.Linear(4, 1, bias=False)

    def loss(parameters: dict[str, Tensor], row: Tensor) -> Tensor:
        return functional_call(net, parameters, (row,)).sum()

    parameters = {name: p.detach() for name, p in net.named_parameters()}
    # Forward: 7 rows of 4. Backward: the outer product of each row with one number.
    assert macs(lambda: vmap(grad(loss), (None, 0))(parameters, torch.ones(7, 4))) == 7 * 4 + 7 * 4


def test_a_slope_through_a_module_is_counted_where_the_counter_of_torch_raises() -> None:
    net, inputs = nn.Linear(4, 5), torch.ones(7, 4)

    def slope() -> Tensor:
        return grad(lambda given: net(given).sum())(inputs)

    with pytest.raises(RuntimeError, match="not supported"), FlopCounterMode(display=False):
        slope()
    assert macs(slope) == 7 * 4 * 5 + 7 * 4 * 5


def test_a_higher_order_operator_runs_and_is_listed() -> None:
    with MacsCounter() as counter:
        result = torch.cond(torch.tensor(True), torch.sin, torch.cos, (torch.zeros(3),))
    assert result.tolist() == [0, 0, 0]
    assert counter.uncounted == {"cond": 1}


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.GELU())
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.block(self.stem(images).flatten(2).mT).mean(1))


def train(counted: bool) -> tuple[Network, MacsCounter]:
    torch.manual_seed(0)
    net = Network()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    counter = MacsCounter()
    for step in range(3):
        net.zero_grad()
        if counted and step == 1:
            with counter:
                net(torch.ones(2, 3, 9, 9)).square().sum().backward()
                optimizer.step()
        else:
            net(torch.ones(2, 3, 9, 9)).square().sum().backward()
            optimizer.step()
    return net, counter


def test_counting_a_step_changes_no_bit_of_the_weights() -> None:
    plain, counted = train(counted=False)[0].state_dict(), train(counted=True)[0].state_dict()
    assert all(torch.equal(plain[name], counted[name]) for name in plain)


def test_a_network_costs_what_the_counter_of_torch_says() -> None:
    net = Network()

    def step() -> None:
        net(torch.ones(2, 3, 9, 9)).sum().backward()

    with FlopCounterMode(display=False) as theirs:
        step()
    assert macs(step) == theirs.get_total_flops() // 2 > 0


def test_inference_mode_changes_no_count() -> None:
    net, images = Network().stem.eval(), torch.ones(2, 3, 9, 9)
    with torch.inference_mode():
        # 4 x 4 pixels of 8 channels, each from 3 channels of 3 x 3.
        assert macs(lambda: net(images)) == 2 * 4 * 4 * 8 * 3 * 9


def test_a_workload_of_fused_attention_costs_what_its_parts_do() -> None:
    net, images = Network().eval(), torch.ones(2, 3, 9, 9)
    workload = Workload(net, (images,), items=2, label="2 images")
    # With gradients the encoder runs part by part; without, torch would take one operator that has no formula.
    assert measure_macs(workload).detail["call_macs"] == macs(lambda: net(images)) > 0
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_computes_and_has_no_formula_is_listed_with_its_calls() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Unflatten(1, (2, 4)), nn.ReLU(), nn.Softmax(-1))
    with MacsCounter() as counter:
        net(torch.ones(3, 4))
    assert counter.uncounted == {"aten.relu": 2, "aten._softmax": 1}


def test_the_overloads_of_an_operator_are_listed_together() -> None:
    with MacsCounter() as counter:
        torch.ones(3, 4).sum()
        torch.ones(3, 4).sum(dim=0)
    assert counter.uncounted == {"aten.sum": 2}


def test_views_copies_and_new_memory_are_not_listed() -> None:
    with MacsCounter() as counter:
        numbers = torch.zeros(3, 4)
        numbers.T.reshape(2, 6).clone().detach().unsqueeze_(0).expand(5, 2, 6).to(torch.float64)
        torch.empty_like(numbers).fill_(1)[0].tolist()
    assert counter.uncounted == {}
    assert counter.macs == 0


def counted_steps(counters: list[MacsCounter]) -> Iterator[int]:
    for step in range(3):
        with MacsCounter() as counter:
            counters.append(counter)
            yield step


def test_a_counter_around_a_yield_sees_the_body_of_the_loop() -> None:
    counters: list[MacsCounter] = []
    for _ in counted_steps(counters):
        torch.ones(2, 3) @ torch.ones(3, 4)
    assert [counter.macs for counter in counters] == [24, 24, 24]


def test_a_loop_that_raises_leaves_no_counter_behind() -> None:
    counters: list[MacsCounter] = []

    def loop() -> None:
        for _ in counted_steps(counters):
            torch.ones(2, 3) @ torch.ones(3, 4)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        loop()
    torch.ones(2, 3) @ torch.ones(3, 4)
    assert [counter.macs for counter in counters] == [24]
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


def test_a_workload_costs_what_one_item_does_and_keeps_no_graph() -> None:
    net = nn.Linear(20, 7)
    results = []
    workload = Workload(lambda images: results.append(net(images)), (torch.ones(3, 20),), items=3, label="3 rows")
    measurement = measure_macs(workload)
    assert (measurement.value, measurement.unit) == (20 * 7, "MAC")
    assert measurement.detail == {"call_macs": 3 * 20 * 7, "items": 3, "uncounted": {}}
    assert not results[0].requires_grad
