"""Update rules: torch's own optimisers step for step, and the plateau of an accumulator that starts at one."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from bench.run import Run
from methods.l2o._rules import AdamRule, Descent, GradientRule, NesterovRule, RMSPropRule
from methods.l2o.adam import Adam
from methods.l2o.nag import NAG
from methods.l2o.rmsprop import RMSProp
from methods.l2o.sgd import SGD
from tasks.l2o import L2O
from tasks.l2o.functions import Functions

QUADRATICS = Functions("quadratic", 6).draw(5, 3).to(torch.float64)
TASK = L2O(functions=8, function_steps=10)


@pytest.mark.parametrize(
    ("rule", "reference", "lr"),
    [
        (GradientRule(), torch.optim.SGD, 0.02),
        (NesterovRule(0.9), partial(torch.optim.SGD, momentum=0.9, nesterov=True), 0.01),
        (AdamRule(0.8, 0.99, 1e-8), partial(torch.optim.Adam, betas=(0.8, 0.99)), 0.1),
    ],
)
def test_a_rule_is_the_optimiser_of_torch_step_for_step(rule, reference, lr):
    found = list(Descent(rule, lr).double()(QUADRATICS, 50))
    x = QUADRATICS.start.clone().requires_grad_()
    optimizer = reference([x], lr=lr)
    for iterate in found:
        optimizer.zero_grad()
        QUADRATICS.value(x).sum().backward()
        optimizer.step()
        # The step size of the rule is a single-precision number.
        assert torch.allclose(iterate, x, rtol=0, atol=1e-7)


def test_rmsprop_is_that_of_torch_but_for_the_place_of_eps():
    found = list(Descent(RMSPropRule(0.9, 1e-30, 0.0), 0.01).double()(QUADRATICS, 50))
    x = QUADRATICS.start.clone().requires_grad_()
    optimizer = torch.optim.RMSprop([x], lr=0.01, alpha=0.9, eps=1e-15)
    for iterate in found:
        optimizer.zero_grad()
        QUADRATICS.value(x).sum().backward()
        optimizer.step()
        assert torch.allclose(iterate, x, rtol=0, atol=1e-7)


def test_eps_stands_under_the_root():
    gradient = torch.tensor([[3.0]])
    rule = RMSPropRule(0.0, 16.0, 0.0)
    # 3 / sqrt(9 + 16)
    assert rule.step(gradient, rule.begin(gradient))[0].item() == pytest.approx(-0.6)


def test_an_accumulator_of_one_stands_still_until_it_has_been_forgotten():
    # A small constant gradient: the first step is g / sqrt(0.9), and 0.9^k has to fall below g^2 = 1e-8: 175 steps.
    gradient = torch.full((1, 1), 1e-4, dtype=torch.float64)
    lengths = {}
    for accumulator in (0.0, 1.0):
        rule = RMSPropRule(0.9, 1e-30, accumulator)
        kept, lengths[accumulator] = rule.begin(gradient), []
        for _ in range(400):
            step, kept = rule.step(gradient, kept)
            lengths[accumulator].append(-step.item())
    assert lengths[0.0][0] == pytest.approx(1 / 0.1**0.5)
    assert lengths[1.0][0] == pytest.approx(1e-4 / 0.9**0.5, rel=1e-6)
    assert lengths[1.0][99] < 0.02
    assert lengths[1.0][174] == pytest.approx(0.5**0.5, abs=0.01)
    assert lengths[1.0][399] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("method", [SGD(), NAG(), RMSProp(), Adam()], ids=["sgd", "nag", "rmsprop", "adam"])
@pytest.mark.parametrize("dataset", ["quadratic-10", "lasso-5x10"])
def test_the_step_size_is_the_best_of_the_candidates_on_the_validation_part(method, dataset):
    problem, _ = replace(TASK, steps=10).load(dataset, "small", 0)
    run = Run(seed=0)
    chosen = method.fit(problem, run).lr.item()
    losses = {lr: problem.validation_loss(Descent(method.build(problem).rule, lr)) for lr in method.lrs}
    finite = {lr: loss for lr, loss in losses.items() if loss < float("inf")}
    assert run.artefacts["lr"] == pytest.approx(chosen)
    assert run.artefacts["lr"] == min(finite, key=finite.__getitem__)
    # The choice matters: it is not the first or the last candidate.
    assert method.lrs[0] < chosen < method.lrs[-1]
