"""How unrolled networks are trained: stages, their samples, their ends, and that a fit may be killed at any step."""

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch

from bench import Unsupported
from bench.run import Run
from methods.l2o._unroll import DRAWN_AHEAD, Stage, Supply, plan, state_after, train
from methods.l2o.alista import ALISTA
from methods.l2o.amp import AMP
from methods.l2o.glista import GLISTA
from methods.l2o.ista import ISTA
from methods.l2o.lamp import LAMP
from methods.l2o.lfista import LFISTA
from methods.l2o.lista import LISTA
from methods.l2o.lista_cp import LISTACP
from methods.l2o.lista_cp_tied import LISTACPTied
from methods.l2o.lista_cpss import LISTACPSS
from methods.l2o.lista_ss import LISTASS
from methods.l2o.step_lista import StepLISTA
from methods.l2o.tilista import TiLISTA
from methods.l2o.tista import TISTA
from tasks.l2o import L2O

TASK = L2O(measurements=10, unknowns=20, steps=2, validation_instances=32, test_instances=32)
QUICK = {"layers": 2, "batch": 16, "stage_steps": (3, 4, 3)}
LEARNED = [
    kind(**QUICK)
    for kind in (
        LISTA,
        LISTASS,
        LISTACP,
        LISTACPTied,
        LISTACPSS,
        ALISTA,
        TiLISTA,
        LFISTA,
        LAMP,
        GLISTA,
        TISTA,
        StepLISTA,
    )
]


def named(method: Any) -> str:
    return type(method).__name__


def snapshots(method, **changes) -> tuple[dict[str, list[torch.Tensor]], dict[str, int]]:
    """The parameters of each of two layers of a LISTA-CP network after each phase, and the phases' lengths."""
    method = replace(method, **changes)
    problem, _ = TASK.load("sparse", "small", 0)
    net = method.build(problem)
    after: dict[str, list[torch.Tensor]] = {"start": [layer.matrix.detach().clone() for layer in net.layers]}
    lengths: dict[str, int] = {}

    def keep(phase: str, step: int) -> None:
        lengths[phase] = step
        after[phase] = [layer.matrix.detach().clone() for layer in net.layers]

    train(net, problem, Run(seed=0, on_step=keep), method)
    assert all(parameter.requires_grad for parameter in net.parameters())
    return after, lengths


def test_the_first_stage_of_a_layer_moves_that_layer_alone_and_the_later_ones_all_layers_up_to_it():
    after, lengths = snapshots(LISTACP(**QUICK))
    phases = [f"layer-{layer}/stage-{stage}" for layer in (1, 2) for stage in (1, 2, 3)]
    assert lengths == dict(zip(phases, (3, 4, 3, 3, 4, 3), strict=True))
    moved = [
        [not torch.equal(old, new) for old, new in zip(after[a], after[b], strict=True)]
        for a, b in zip(["start", *phases], phases, strict=False)
    ]
    assert moved == [[True, False]] * 3 + [[False, True]] + [[True, True]] * 2


def test_end_to_end_training_moves_all_layers_in_three_stages_as_many_times_longer_as_there_are_layers():
    after, lengths = snapshots(LISTACP(**QUICK), training="end-to-end")
    assert lengths == {"stage-1": 6, "stage-2": 8, "stage-3": 6}
    assert not any(torch.equal(old, new) for old, new in zip(after["start"], after["stage-1"], strict=True))


def test_a_first_step_of_adam_moves_a_layer_by_its_step_size_times_the_decay_for_each_layer_above():
    after, _ = snapshots(LISTACP(**QUICK), stage_steps=(1, 1, 1), lrs=(1e-2, 1e-3, 1e-4), layer_decay=0.3)
    before, then = after["layer-2/stage-1"], after["layer-2/stage-2"]
    moves = [(new - old).abs().max().item() for old, new in zip(before, then, strict=True)]
    # The first step of Adam has the step size's length wherever there is a gradient.
    assert moves == pytest.approx([0.3e-3, 1e-3], rel=1e-3)


def test_a_stage_ends_when_the_validation_loss_has_not_improved_as_often_as_patience_says():
    # Steps too small to change a weight: the first validation is the best for ever, two more are waited for.
    still = {"lrs": (1e-30, 1e-30, 1e-30), "stage_steps": (50, 50, 50), "validate_every": 5, "patience": 2}
    _, lengths = snapshots(LISTACP(**QUICK), **still)
    assert set(lengths.values()) == {15}


def test_a_stage_whose_validation_loss_improves_goes_on_to_its_end():
    _, lengths = snapshots(
        LISTACP(**QUICK), lrs=(1e-3, 1e-3, 1e-3), stage_steps=(40, 1, 1), validate_every=10, patience=1
    )
    assert lengths["layer-1/stage-1"] == 40


def test_the_plan_of_the_paper_is_three_stages_a_layer_with_falling_step_sizes(problem):
    method = LISTA()
    stages = list(plan(method.build(problem), method))
    assert len(stages) == 48
    assert [stage.lr for stage in stages[:3]] == [5e-4, 1e-4, 1e-5]
    # B and theta_1; W_16 and theta_16; B, fifteen W and sixteen theta.
    assert [sum(map(len, stages[i].variables)) for i in (0, 45, 46)] == [2, 2, 32]


@pytest.mark.parametrize("method", LEARNED, ids=named)
def test_a_problem_that_scores_more_iterations_than_layers_is_refused_before_training(method):
    problem, _ = replace(TASK, steps=3).load("sparse", "small", 0)
    run = Run(seed=0)
    with pytest.raises(Unsupported, match="iteration 3 is scored, the network has 2 layers"):
        method.fit(problem, run)
    assert run.curves() == {}


@pytest.mark.parametrize("dataset", ["sparse", "lasso-5x10"])
@pytest.mark.parametrize("method", LEARNED, ids=named)
def test_training_lowers_the_loss_of_the_data_set_below_that_of_the_start(method, dataset):
    problem, _ = TASK.load(dataset, "small", 0)
    trained = replace(method, stage_steps=(20, 20, 20), lrs=(1e-2, 3e-3, 1e-3)).fit(problem, Run(seed=0))
    # Steps of no length leave the network as it starts.
    untrained = replace(method, stage_steps=(1, 1, 1), lrs=(1e-30, 1e-30, 1e-30)).fit(problem, Run(seed=0))
    losses = [problem.validation_loss(net) for net in (trained, untrained)]
    assert losses[0] < 0.9 * losses[1]


# In steps so long that validation ends some stages early.
RESTLESS = {"stage_steps": (8, 9, 8), "validate_every": 1, "patience": 2, "lrs": (0.1, 0.1, 0.1)}
RESUMED = [replace(method, **RESTLESS) for method in LEARNED]


@pytest.mark.parametrize(
    "method",
    [ISTA(), AMP(), *RESUMED, replace(RESUMED[0], training="end-to-end")],
    ids=named,
)
def test_a_fit_that_is_killed_again_and_again_ends_with_the_same_weights(method, killed_again_and_again):
    problem, _ = TASK.load("sparse-snr20", "small", 0)
    expected = method.fit(problem, Run(seed=7)).state_dict()

    resumed, _ = killed_again_and_again(method, problem, longest=6)
    assert resumed.keys() == expected.keys()
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


# The samples of a stage -----------------------------------------------------------------------------------------------


def a_supply(method, problem, resting: int) -> tuple[Supply, torch.nn.Module]:
    net = method.build(problem)
    stage = Stage("layer-3/stage-1", 3, [], resting, 1e-3, 100)
    return Supply(net, stage, problem, 4, seed=11), net


@pytest.mark.parametrize("resting", [0, 2])
def test_the_samples_of_a_step_do_not_depend_on_the_steps_before(resting, problem):
    method = LAMP(layers=3)
    in_order, _ = a_supply(method, problem, resting)
    steps = list(range(2 * DRAWN_AHEAD + 2))
    expected = [in_order(step) for step in steps]
    for step in (2 * DRAWN_AHEAD, DRAWN_AHEAD - 1, 2 * DRAWN_AHEAD + 1, 0, DRAWN_AHEAD):
        fresh, _ = a_supply(method, problem, resting)
        for supply in (fresh, in_order):
            samples, state = supply(step)
            assert torch.equal(samples.signals, expected[step][0].signals)
            assert torch.equal(samples.instances.measurements, expected[step][0].instances.measurements)
            assert len(state) == len(expected[step][1]) == (2 if resting else 0)
            assert all(torch.equal(mine, theirs) for mine, theirs in zip(state, expected[step][1], strict=True))
    # No two batches are the same.
    assert len({samples.signals.sum().item() for samples, _ in expected}) == len(steps)


def test_measurements_belong_to_their_signals(problem):
    supply, _ = a_supply(LISTACP(layers=3), problem, 2)
    for step in (0, 5, DRAWN_AHEAD + 3):
        samples, _ = supply(step)
        assert samples.signals.shape == (4, 50)
        assert torch.allclose(samples.instances.measurements, samples.signals @ problem.dictionary.T, atol=1e-12)


@pytest.mark.parametrize("method", [replace(method, layers=3) for method in LEARNED], ids=named)
def test_what_the_resting_layers_make_is_what_running_them_gives(method, problem):
    supply, net = a_supply(method, problem, 2)
    for step in (1, DRAWN_AHEAD + 2):
        samples, state = supply(step)
        *_, expected = islice(net.states(samples.instances), 3)
        assert torch.allclose(state[0], net(samples.instances, 2)[-1], atol=1e-12)
        for mine, theirs in zip(state, expected, strict=True):
            if isinstance(theirs, torch.Tensor):
                assert torch.allclose(mine, theirs, atol=1e-12)
                assert not mine.requires_grad
            else:
                assert mine is theirs


def test_the_state_after_no_layer_is_the_start(instances, problem):
    (x,) = state_after(LISTACP().build(problem), 0, instances)
    assert torch.equal(x, torch.zeros(8, 50).double())


def test_a_matrix_that_layers_share_learns_with_the_first_of_them(problem):
    method = LISTACPTied(layers=3)
    stages = list(plan(method.build(problem), method))
    # Matrix and threshold; two thresholds later the matrix once, with the first.
    assert [[variable.ndim for variable in layer] for layer in stages[0].variables] == [[2, 0]]
    assert [[variable.ndim for variable in layer] for layer in stages[3].variables] == [[0]]
    assert [[variable.ndim for variable in layer] for layer in stages[8].variables] == [[2, 0], [0], [0]]


def test_functions_without_a_dictionary_are_unsupported():
    functions, _ = L2O(functions=2, function_steps=2).load("quadratic-10", "smoke", 0)
    for method in LEARNED:
        with pytest.raises(Unsupported, match="which only the LASSO family has"):
            method.fit(functions, Run(seed=0))
