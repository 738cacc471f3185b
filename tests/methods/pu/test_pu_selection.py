"""Which network of a fit is its solution."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bench import UserError
from methods.pu._selection import Candidates
from tasks.pu import PU, Labelled, PUHeldOut, PUProblem, Trajectory


class Slope(nn.Module):
    """Scores an image by its first pixel, times a number."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, images: Tensor) -> Tensor:
        return self.slope * images[:, 0, 0, 0]


def pictures(*values: float) -> Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8).clone()


@pytest.fixture
def problem() -> PUProblem:
    """Positives are bright and negatives dark, so the steepest slope has the least risk."""
    problem, _ = PU(positives=50, validation=0.2).load("digits", "smoke", 0)
    return replace(
        problem,
        prior=0.5,
        validation_positive=pictures(1.0, 2.0),
        validation_unlabelled=pictures(1.0, 2.0, -1.0, -2.0),
        # Labelled the other way round: an oracle that is told these takes the least slope.
        clean=Labelled(pictures(1.0, -1.0), torch.tensor([-1.0, 1.0])),
    )


OFFERED = [{"one": 0.5, "two": 1.0}, {"one": 3.0, "two": 2.0}, {"one": -1.0, "two": 0.1}]


def offer_all(candidates: Candidates) -> None:
    for epoch, slopes in enumerate(OFFERED):
        candidates.offer(epoch, **{name: Slope(slope) for name, slope in slopes.items()})


@pytest.mark.parametrize(
    ("selection", "chosen", "slope"),
    [
        ("pu-risk", {"epoch": 1, "network": "one"}, 3.0),
        ("last", {"epoch": 2, "network": "two"}, 0.1),
        ("oracle-labels", {"epoch": 2, "network": "one"}, -1.0),
    ],
)
def test_the_solution_is_the_best_by_the_rule(problem, selection, chosen, slope):
    candidates = Candidates(replace(problem, selection=selection))
    offer_all(candidates)
    assert candidates.chosen == chosen
    assert candidates.solution(Slope(7.0)).slope.item() == pytest.approx(slope)


def test_an_offer_returns_the_least_validation_risk(problem):
    # A slope of 0 leaves every image undecided: 1/2; of 100 no image is on the wrong side: 0.
    candidates = Candidates(problem)
    assert candidates.offer(0, one=Slope(0.0)).item() == pytest.approx(0.5)
    assert candidates.offer(1, one=Slope(0.0), two=Slope(100.0)).item() == pytest.approx(0.0, abs=1e-6)


def test_what_was_chosen_does_not_move_with_the_network(problem):
    candidates, net = Candidates(problem), Slope(3.0)
    candidates.offer(0, net=net)
    nn.init.zeros_(net.slope)
    assert candidates.solution(net).slope.item() == 3.0


def test_choosing_goes_on_where_it_was_saved(problem):
    first, second = Candidates(problem), Candidates(problem)
    first.offer(0, net=Slope(3.0))
    second.load_state_dict(first.state_dict())
    second.offer(1, net=Slope(2.0))
    assert second.chosen == {"epoch": 0, "network": "net"}
    assert second.solution(Slope(0.0)).slope.item() == 3.0
    assert first.chosen == {"epoch": 0, "network": "net"}


def test_a_trajectory_keeps_every_network_and_its_best_on_the_test_part_is_told(problem):
    candidates = Candidates(replace(problem, trajectory=True, selection="last"))
    offer_all(candidates)
    solution = candidates.solution(Slope(7.0))
    assert isinstance(solution, Trajectory)
    assert [round(weights["slope"].item(), 1) for weights in solution.passed] == [0.5, 1.0, 3.0, 2.0, -1.0, 0.1]
    # Positive images are dark here: of all six only the slope of -1 is right, and the chosen one, 0.1, always wrong.
    held_out = PUHeldOut(pictures(1.0, 2.0, -1.0), torch.tensor([-1.0, -1.0, 1.0]), prior_error=0.125)
    metrics = PU().evaluate(solution, held_out).metrics
    assert (metrics["error"], metrics["error_best_on_test"], metrics["prior_error"]) == (100.0, 0.0, 0.125)
    assert sum(parameter.numel() for parameter in solution.parameters()) == 1


def test_without_a_trajectory_the_best_on_the_test_part_is_the_chosen_one():
    held_out = PUHeldOut(pictures(1.0, 2.0, -1.0), torch.tensor([1.0, -1.0, -1.0]))
    metrics = PU().evaluate(Slope(1.0), held_out).metrics
    assert metrics["error_best_on_test"] == metrics["error"] == pytest.approx(100 / 3)


# What the task hands out for it ---------------------------------------------------------------------------------------

TASK = PU(positives=50, validation=0.2, width=0.25)


def rows(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_labelled_images_of_the_oracles_are_in_no_other_part():
    problem, held_out = replace(TASK, clean_labels=40).load("mnist5k", "small", 0)
    assert problem.clean
    assert len(problem.clean.images) == len(problem.clean.labels) == 40
    assert set(problem.clean.labels.tolist()) == {1.0, -1.0}
    parts = [problem.unlabelled, problem.validation_unlabelled, problem.validation_positive, held_out.images]
    assert not rows(problem.clean.images) & set.union(*(rows(part) for part in parts))
    assert len(problem.validation_unlabelled) == 800 - 40


def test_an_honest_problem_holds_neither_labels_nor_test_images():
    problem, _ = TASK.load("digits", "smoke", 0)
    assert problem.clean is None
    assert problem.test_inputs is None
    assert problem.selection == "pu-risk"


def test_test_images_are_handed_out_by_choice_alone():
    problem, held_out = replace(TASK, test_inputs=True).load("digits", "smoke", 0)
    assert torch.equal(problem.test_inputs, held_out.images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"selection": "oracle-labels"}, "selection=oracle-labels needs labels; set them with --set pu.clean_labels"),
        ({"clean_labels": 300}, r"clean_labels must be fewer than the \d+ images of digits set apart"),
        ({"prior_factor": 2.5}, r"the prior told must be between 0 and 1, got 2.5 x 0.49"),
    ],
)
def test_settings_that_do_not_fit_are_told_what_to_do(change, message):
    with pytest.raises(UserError, match=message):
        replace(TASK, **change).load("digits", "smoke", 0)
