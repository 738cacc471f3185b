"""The policy of ASG: how it starts, decides, learns, and when it is asked."""

import itertools
import math

import pytest
import torch

from bench.training import descend
from methods.syn2real._policy import (
    ACTIONS,
    HIDDEN,
    RatePolicy,
    Rollout,
    exponential_reward,
    multipliers,
    observation,
    returns,
)
from methods.syn2real._windows import window_lengths

GROUPS = 7


def policy(memoryless=False):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return RatePolicy(GROUPS, memoryless)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


STATES = torch.rand(5, 5 + GROUPS, generator=generator())


def test_it_starts_undecided():
    net = policy()
    probabilities = net(STATES, net.start()).logits.softmax(-1)
    entropy = -(probabilities * probabilities.log()).sum(-1)
    torch.testing.assert_close(entropy, torch.full((5, GROUPS), math.log(11)), atol=1e-3, rtol=0)
    expected = (probabilities * torch.arange(11) / 10).sum(-1)
    torch.testing.assert_close(expected, torch.full((5, GROUPS), 0.5), atol=0.01, rtol=0)
    actions = torch.randint(11, (5, GROUPS), generator=generator())
    torch.testing.assert_close(
        net.log_probability(STATES, actions, net.start()), torch.full((5,), -16.785), atol=0.05, rtol=0
    )


def test_its_parts_are_those_of_the_released_network():
    net = policy()
    memories, heads, critic = 5 * (4 * HIDDEN * (1 + HIDDEN + 2)), 7 * (101 * 11 + 11), 7 * 101 + 1
    assert sum(parameter.numel() for parameter in net.parameters()) == memories + heads + critic
    for memory in net.memories:
        weight = memory.weight_hh_l0  # 80, 20: its columns are orthonormal
        torch.testing.assert_close(weight.T @ weight, torch.eye(HIDDEN), atol=1e-5, rtol=0)
        assert not memory.bias_ih_l0.any()
    for head in net.heads:
        torch.testing.assert_close(head.weight @ head.weight.T, 1e-4 * torch.eye(ACTIONS), atol=1e-8, rtol=0)
        assert not head.bias.any()
    decision = net(STATES, net.start())
    assert (decision.logits.shape, decision.value.shape) == ((5, GROUPS, ACTIONS), (5,))


def test_each_scalar_has_a_memory_and_each_group_sees_its_own_step_size_alone():
    net = policy()
    changed = STATES[:1].clone()
    changed[0, 5 + 2] += 1.0
    moved = (net(changed, net.start()).logits - net(STATES[:1], net.start()).logits)[0].abs().sum(1) > 0
    assert moved.tolist() == [group == 2 for group in range(GROUPS)]
    changed = STATES[:1].clone()
    changed[0, 3] += 1.0
    state, _ = net(changed, net.start()).hidden
    before, _ = net(STATES[:1], net.start()).hidden
    assert ((state - before).abs().sum(1) > 0).tolist() == [scalar == 3 for scalar in range(5)]


def test_deciding_step_by_step_is_the_unrolled_sequence():
    net = policy()
    hidden = net.start()
    actions = []
    for state in STATES:
        chosen, hidden = net.decide(state, hidden, generator())
        actions.append(chosen)
    unrolled = net(STATES, net.start())
    torch.testing.assert_close(hidden[0], unrolled.hidden[0].detach())
    torch.testing.assert_close(hidden[1], unrolled.hidden[1].detach())
    # And so are the probabilities of what was done, from step to step.
    hidden, alone = net.start(), []
    for state, chosen in zip(STATES, actions, strict=True):
        alone.append(net.log_probability(state[None], chosen[None], hidden)[0])
        hidden = net(state[None], hidden).hidden
    torch.testing.assert_close(net.log_probability(STATES, torch.stack(actions), net.start()), torch.stack(alone))


def test_without_memory_every_decision_starts_from_nothing():
    net = policy(memoryless=True)
    hidden = net.start()
    for state in STATES:
        _, hidden = net.decide(state, hidden, generator())
    assert not hidden[0].any()
    assert not hidden[1].any()


def test_actions_are_sampled_by_the_generator_alone():
    net = policy()
    one, again, other = (net.decide(STATES[0], net.start(), generator(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_sampling_follows_the_probabilities():
    net = policy()
    with torch.no_grad():
        for head in net.heads:
            head.bias.copy_(torch.log(torch.tensor([0.5, 0.5, *[1e-9] * 9])))
    draws = generator()
    share = torch.stack([net.decide(STATES[0], net.start(), draws)[0] for _ in range(60)]).float().mean().item()
    # 420 fair coins: three deviations are 0.073.
    assert share == pytest.approx(0.5, abs=0.075)


def test_multipliers_are_tenths():
    assert multipliers(torch.tensor([0, 1, 10])).tolist() == pytest.approx([0.0, 0.1, 1.0])


def test_what_is_observed():
    state = observation(0.5, 0.25, 0.1, torch.tensor([[1.0, 3.0]]), torch.full((GROUPS,), 0.7))
    # The deviation of 1 and 3, with one degree of freedom, is the root of 2.
    assert state.tolist() == pytest.approx([0.5, 0.25, 0.1, 2.0, math.sqrt(2), *[0.7] * GROUPS])


# Learning -------------------------------------------------------------------------------------------------------------


def test_returns_by_hand():
    rewards = torch.tensor([1.0, 2.0, 4.0])
    assert returns(rewards, 0.5).tolist() == [1 + 0.5 * (2 + 0.5 * 4), 2 + 0.5 * 4, 4]
    assert returns(rewards, 0.0).tolist() == rewards.tolist()


def test_the_reward_falls_with_the_loss():
    assert exponential_reward(0.0) == 1.0
    assert exponential_reward(math.log(4)) == pytest.approx(0.25)


def test_a_rollouts_loss_weighs_log_probabilities_with_returns():
    net = policy()
    rollout = Rollout(net.start())
    actions = torch.zeros(GROUPS, dtype=torch.int64)
    for state, reward in zip(STATES[:2], (1.0, 3.0), strict=True):
        rollout.add(state, actions, reward)
    assert len(rollout) == 2
    first, second = net.log_probability(STATES[:2], torch.stack([actions] * 2), net.start())
    wanted = -((1 + 0.5 * 3) * first + 3 * second) / 2
    torch.testing.assert_close(rollout.loss(net, 0.5), wanted)
    rollout.restart(net.start())
    assert len(rollout) == 0


def test_what_is_rewarded_becomes_likelier():
    net, draws = policy(), generator()
    optimizer = torch.optim.SGD(net.parameters(), 0.5, momentum=0.9)
    before = net(STATES, net.start()).logits.softmax(-1)[..., 10].mean().item()
    rollout = Rollout(net.start())
    for _ in range(30):
        hidden = net.start()
        rollout.restart(hidden)
        for state in STATES:
            actions, hidden = net.decide(state, hidden, draws)
            rollout.add(state, actions, (actions == 10).float().mean().item())
        descend(optimizer, rollout.loss(net, gamma=0.0))
    after = net(STATES, net.start()).logits.softmax(-1)[..., 10].mean().item()
    assert before == pytest.approx(1 / 11, abs=0.01)
    assert after > 2 * before


def test_a_rollout_goes_on_where_it_was_saved():
    net = policy()
    first, second = Rollout(net.start()), Rollout(net.start())
    first.add(STATES[0], torch.zeros(GROUPS, dtype=torch.int64), 1.0)
    second.load_state_dict(first.state_dict())
    for rollout in (first, second):
        rollout.add(STATES[1], torch.ones(GROUPS, dtype=torch.int64), 0.5)
    assert torch.equal(first.loss(net, 0.9), second.loss(net, 0.9))


# Windows --------------------------------------------------------------------------------------------------------------


def test_windows_of_the_published_schedules():
    visda = list(window_lengths(30, 4763, 10))
    assert visda[:10] == [10, 10, 20, 40, 80, 160, 320, 640, 1280, 2203]
    assert len(visda) == 1 + 66
    ends = set(itertools.accumulate(visda))
    assert {4763 * epoch for epoch in range(1, 31)} <= ends
    # One a window in each of the last ten epochs.
    assert visda[-10:] == [4763] * 10
    assert len(list(window_lengths(50, 2000, 20))) == 1 + 84


def test_divided_as_a_sum_windows_grow_slowly_inside_an_epoch():
    lengths = list(window_lengths(2, 1000, 10, "sum-divided"))
    assert lengths[:22] == [10] * 22
    assert lengths[22] == 220 // 20
    assert sum(lengths) == 2000
    # The second epoch begins with a twentieth of the first.
    assert lengths[list(itertools.accumulate(lengths)).index(1000) + 1] == 50
