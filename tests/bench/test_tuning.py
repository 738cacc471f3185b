"""Searches: what may be searched, shortened fits that lose nothing, honest choices, and results that can be trusted."""

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from allwin_toy.task import Guess, Toy, ToyProblem
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench import grid, provenance, registry
from bench.errors import UserError
from bench.limits import DEFAULT_LIMITS
from bench.run import Run
from bench.slate import clean_slate
from bench.space import Axis, axes_of, decoded, encoded, parse_axis, parse_space
from bench.tuning import Candidate, Rung, Study, Tuning, best, conclude, read, with_presets, write
from bench.validate import construct, resolve
from tasks.l2o import L2O
from tasks.pu import PU, PUProblem

KNOWN = registry.load()

# The space ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("log(1e-5, 1e-2)", Axis("log", 1e-5, 1e-2)),
        (" uniform(-1,.5) ", Axis("uniform", -1.0, 0.5)),
        ("int(2, 16)", Axis("int", 2, 16)),
        ('[5e-4, "square", [1, 2]]', Axis("choice", choices=(5e-4, "square", [1, 2]))),
    ],
)
def test_an_axis_is_read_from_its_text(text: str, axis: Axis) -> None:
    assert parse_axis(text) == axis


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log(1)",
        "log(1, 2, 3)",
        "log(0, 1)",
        "uniform(1, 1)",
        "uniform(2, 1)",
        "uniform(0, 1e999)",
        "int(0.5, 2)",
        "int(0, 1e300)",
        "log(1, nan)",
        "[]",
        "[1,",
        "[" * 100_000,
        "__import__('os').system('true')",
        "log(1, 2) + 1",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_axis_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="its|log needs"):
        parse_axis(text)


@given(st.text(st.characters(codec="ascii"), max_size=30) | st.from_regex(r"(log|int|uniform)\(.*\)", fullmatch=True))
def test_any_text_is_an_axis_in_order_or_a_value_error(text: str) -> None:
    try:
        axis = parse_axis(text)
    except ValueError:
        return
    assert axis.choices or -math.inf < axis.low < axis.high < math.inf


@pytest.mark.parametrize(
    ("title", "texts", "told"),
    [
        ("pu/nnpu", {"bta": "uniform(0, 1)"}, "unknown setting of pu/nnpu: bta; did you mean beta"),
        ("pu/nnpu", {"epochs": "int(1, 9)"}, "pu/nnpu: epochs is a count, which sets the budget"),
        ("l2o/lista", {"stage_steps": "[[1, 1, 1]]"}, "l2o/lista: stage_steps is a count, which sets the budget"),
        ("pu/nnpu", {"lr": "uniform(0, 1)"}, "pu/nnpu: lr must be above 0.0, got 0.0; change lr=uniform(0, 1)"),
        ("pu/nnpu", {"lr": "[1e-3, -1]"}, "pu/nnpu: lr must be above 0.0, got -1; change lr=[1e-3, -1]"),
        ("pu/nnpu", {"lr": "[NaN]"}, "pu/nnpu: lr must be finite, got nan"),
        ("pu/nnpu", {"lr": '["fast"]'}, "pu/nnpu: lr must be a number, got 'fast'"),
        ("l2o/lista", {"lrs": "log(1e-5, 1e-3)"}, "l2o/lista: lrs must be a list, got 1e-05"),
        ("l2o/lista", {"layer_decay": "uniform(0, 2)"}, "l2o/lista: layer_decay must be at most 1.0, got 2.0"),
        ("pu/nnpu", {"lr": "lg(1, 2)"}, "pu/nnpu: lr=lg(1, 2) is no range (its form is another); write log(a,b)"),
    ],
)
def test_a_space_that_does_not_fit_is_one_line_that_says_where(title: str, texts: dict[str, str], told: str) -> None:
    task, _, name = title.partition("/")
    with pytest.raises(UserError) as error:
        axes_of(KNOWN.method(task, name), texts, "smoke")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_space_is_read_by_method_and_field_and_names_each_once() -> None:
    assert parse_space(["pu/nnpu.lr = log(1, 2)", "upu.lr=[1]"]) == {
        "pu/nnpu": {"lr": "log(1, 2)"},
        "upu": {"lr": "[1]"},
    }
    for wrong in ("lr=log(1,2)", "nnpu.lr", ".lr=[1]", "nnpu.=[1]"):
        with pytest.raises(UserError, match="write it as --space METHOD"):
            parse_space([wrong])
    with pytest.raises(UserError, match="given before"):
        parse_space(["nnpu.lr=[1]", "nnpu.lr=[2]"])


def test_values_come_back_from_a_searcher_as_they_went() -> None:
    import numpy as np

    axes = {"lrs": parse_axis("[[5e-4, 1e-4]]"), "lr": parse_axis("log(1, 2)"), "n": parse_axis("int(1, 3)")}
    config = {"lrs": encoded(axes["lrs"], [5e-4, 1e-4]), "lr": np.float64(1.5), "n": np.int64(2)}
    values = decoded(axes, config)
    assert values == {"lrs": [5e-4, 1e-4], "lr": 1.5, "n": 2}
    assert [type(value) for value in values.values()] == [list, float, int]


# Rungs ----------------------------------------------------------------------------------------------------------------


def fitted(task: str, method: str, problem: Any, **words: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any], Run]:
    """Weights and curves of one fit at smoke budget."""
    entry = KNOWN.method(task, method)
    with clean_slate(5, 1):
        run = Run(seed=5, **words)
        net = construct(KNOWN, entry, resolve(entry, "smoke", {})).fit(problem, run)
        return net.state_dict(), {name: curve.model_dump() for name, curve in run.curves().items()}, run


@pytest.mark.parametrize(("task", "method"), [("toy", "descent"), ("pu", "nnpu"), ("l2o", "lista")])
def test_a_fit_in_three_rungs_ends_with_the_bits_of_one_in_one_go(task: str, method: str, tmp_path: Path) -> None:
    entry = KNOWN.task(task)
    problem, _ = construct(KNOWN, entry, resolve(entry, "smoke", {})).load(entry.cards[0].name, "smoke", 0)
    for fraction in (1 / 9, 1 / 3):
        partial, _, _ = fitted(task, method, problem, checkpoints=tmp_path, fraction=fraction)
    climbed, climbed_curves, run = fitted(task, method, problem, checkpoints=tmp_path)
    whole, whole_curves, _ = fitted(task, method, problem)
    assert run.resumed
    assert climbed.keys() == whole.keys()
    assert all(torch.equal(climbed[name], whole[name]) for name in whole)
    assert climbed_curves == whole_curves
    # The rung before was a fit of its own, and a shorter one.
    assert not all(torch.equal(partial[name], whole[name]) for name in whole)


def steps_done(tmp_path: Path, fraction: float) -> list[tuple[str, int]]:
    log: list[tuple[str, int]] = []
    run = Run(seed=0, checkpoints=tmp_path, fraction=fraction, on_step=lambda phase, done: log.append((phase, done)))
    net = nn.Linear(1, 1)
    for phase, number in (("search", 10), ("retrain", 4)):
        for step in run.steps(number, {"net": net}, name=phase):
            if phase == "search" and step == 7:
                run.stop()
    return log


def test_each_phase_ends_after_its_share_and_only_the_first_goes_on_from_there(tmp_path: Path) -> None:
    # A third of 10 is 3.33 and of 4 is 1.33: rounded up, 4 and 2.
    first = steps_done(tmp_path, 1 / 3)
    assert first == [("search", 1), ("search", 2), ("search", 3), ("search", 4), ("retrain", 1), ("retrain", 2)]
    assert [path.name for path in tmp_path.iterdir()] == ["search.pt"]
    # The second phase starts anew, since what it starts from is another; the first stops by itself after step 7.
    rest = steps_done(tmp_path, 1.0)
    assert rest == [("search", 5), ("search", 6), ("search", 7), ("search", 8), *[("retrain", n) for n in range(1, 5)]]


def test_a_phase_that_stopped_inside_a_shortened_fit_is_not_entered_again(tmp_path: Path) -> None:
    # Nine tenths of 10 is 9; the phase stops at 8.
    assert steps_done(tmp_path, 0.9)[:8] == [("search", n) for n in range(1, 9)]
    assert {phase for phase, _ in steps_done(tmp_path, 1.0)} == {"retrain"}


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction must be above 0 and at most 1"):
        Run(seed=0, fraction=fraction)


def test_multiply_adds_of_rungs_are_those_of_one_fit_where_every_step_costs_the_same(tmp_path: Path) -> None:
    def macs(**words: Any) -> float | None:
        run, net = Run(seed=0, **words), nn.Linear(8, 4)
        for _ in run.steps(90, {"net": net}):
            net(torch.ones(3, 8)).sum().backward()
        return run.fit_macs().value

    # 192 a step, as in test_run.py: a ninth of 90 steps, then all of them.
    assert macs(checkpoints=tmp_path, fraction=1 / 9) == 10 * 192
    assert macs(checkpoints=tmp_path) == 90 * 192 == macs()


def test_asha_ends_the_worst_early_but_never_the_first() -> None:
    from bench.tune_engine import SparesTheFirst

    scheduler = SparesTheFirst("ninths", "validation", "min", max_t=9, grace_period=1, reduction_factor=3)
    trials = [SimpleNamespace(trial_id=name) for name in "abcd"]
    for trial in trials:
        scheduler.on_trial_add(None, trial)

    def told(number: int, ninths: int, score: float) -> str:
        return scheduler.on_trial_result(None, trials[number], {"ninths": ninths, "validation": score})

    assert told(1, 1, 1.0) == told(2, 1, 0.5) == "CONTINUE"
    # The worst of all so far: ended, unless it is the first.
    assert told(3, 1, 2.0) == "STOP"
    assert told(0, 1, 3.0) == "CONTINUE"
    assert told(1, 3, 1.0) == "CONTINUE"
    assert told(0, 3, 3.0) == "CONTINUE"


# The choice and its file ----------------------------------------------------------------------------------------------


def candidate(number: int, scores: list[float], status: str = "full", macs: float | None = 10.0) -> Candidate:
    rungs = [Rung(ninths=ninths, validation=score) for ninths, score in zip((1, 3, 9), scores, strict=False)]
    return Candidate(
        number=number,
        parameters={"lr": (number + 1) / 10},
        status=status,  # type: ignore[arg-type]
        rungs=rungs,
        seconds=2.0,
        macs=macs,
    )


def tuning(candidates: list[Candidate], method: str = "descent") -> Tuning:
    choice = grid.Choice(methods=[method], seeds=1, budget="smoke")
    (cell,) = grid.expand(grid.suite_of_task(KNOWN.task("toy")), KNOWN, choice)
    space = {"lr": "log(1e-3, 0.5)"} if method == "descent" else {}
    origin = provenance.Origin("allwin tune", "tune", "ray", 1, "", None)
    axes = axes_of(KNOWN.method("toy", method), space, "smoke")
    study = Study(cell, space, axes, len(candidates), "asha", DEFAULT_LIMITS["smoke"], origin)
    where = provenance.collect(origin, "cpu", 1, {}, "")
    return conclude(study, candidates, wall_s=3.0, started="then", ended="now", provenance=where)


DEFAULT, EARLY, BETTER, TIED = (
    candidate(0, [5.0, 2.0, 1.0]),
    candidate(1, [0.1], "early"),
    candidate(2, [9.0, 8.0, 0.5]),
    candidate(3, [0.4, 0.4, 0.5]),
)


def test_only_candidates_that_were_fitted_in_full_are_compared_and_a_tie_goes_to_the_first() -> None:
    assert best([DEFAULT, EARLY, BETTER, TIED]) is BETTER
    assert best([EARLY, candidate(0, [], "failed")]) is None


def test_a_result_tells_default_choice_and_cost() -> None:
    found = tuning([DEFAULT, EARLY, BETTER, TIED])
    assert (found.default_validation, found.chosen_validation, found.chosen) == (1.0, 0.5, {"lr": 0.3})
    # Four candidates of two seconds and ten multiply-adds.
    assert (found.work_s, found.work_macs) == (8.0, 40.0)
    assert tuning([DEFAULT, candidate(1, [], "failed", macs=None)]).work_macs is None
    failed = tuning([candidate(0, [5.0], "failed"), BETTER])
    assert (failed.default_validation, failed.chosen) == (None, {"lr": 0.3})


def test_a_result_comes_back_as_it_was_written_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    found = tuning([DEFAULT, BETTER])
    path = write(found, tmp_path)
    assert path.name.startswith("toy-normal-smoke-descent-")
    assert [item for item in tmp_path.rglob("*") if item.is_file()] == [path]
    assert read(path).model_copy(update={"checksum": ""}) == found
    assert path.stem.endswith(read(path).checksum[:8])
    assert write(found, tmp_path) == path


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace('"lr": 0.3', '"lr": 0.4'), "changed after it was written"),
        (
            lambda text: text.replace('"schema_version": 1', '"schema_version": 2'),
            "written by a newer allwin, schema 2",
        ),
        (lambda text: text[:-20], "no result of a search"),
        (lambda text: "[1]", "no result of a search"),
        (lambda text: '{"schema_version": "x"}', "no result of a search"),
        (lambda text: '"\\ud800', "no result of a search"),
        (lambda text: None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_sound_result_is_one_line_that_names_it(change: Any, told: str, tmp_path: Path) -> None:
    path = write(tuning([DEFAULT, BETTER]), tmp_path)
    changed = change(path.read_text())
    path.unlink() if changed is None else path.write_text(changed)
    with pytest.raises(UserError) as error:
        read(path)
    assert told in str(error.value)
    assert str(error.value).startswith(f"--preset {path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("owner", ["descent", "toy/descent"])
def test_what_is_set_by_hand_goes_before_a_preset(owner: str, tmp_path: Path) -> None:
    path = write(tuning([DEFAULT, BETTER]), tmp_path)
    assert with_presets({}, [path]) == {"toy/descent": {"lr": 0.3}}
    joined = with_presets({owner: {"lr": 0.7}}, [path])
    choice = grid.Choice(methods=["descent"], seeds=1, budget="smoke", overrides=joined)
    (cell,) = grid.expand(grid.suite_of_task(KNOWN.task("toy")), KNOWN, choice)
    assert cell.spec.parameters["lr"] == 0.7
    joined = with_presets({owner: {"momentum": 0.9}}, [path])
    choice = dataclasses.replace(choice, overrides=joined)
    (cell,) = grid.expand(grid.suite_of_task(KNOWN.task("toy")), KNOWN, choice)
    assert (cell.spec.parameters["lr"], cell.spec.parameters["momentum"]) == (0.3, 0.9)


def test_two_results_of_one_method_and_one_without_a_choice_are_refused(tmp_path: Path) -> None:
    first, second = write(tuning([DEFAULT, BETTER]), tmp_path), write(tuning([DEFAULT, TIED]), tmp_path)
    with pytest.raises(UserError, match=r"is of toy/descent too; give one of them"):
        with_presets({}, [first, second])
    none = write(tuning([candidate(0, [], "failed"), EARLY]), tmp_path)
    with pytest.raises(UserError, match=r"no candidate of toy/descent was fitted in full"):
        with_presets({}, [none])


# What the tasks judge by ----------------------------------------------------------------------------------------------


class Brightness(nn.Module):
    """The mean of an image is its score."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(1, 2, 3))


def pu_problem(positive: list[float], unlabelled: list[float]) -> PUProblem:
    problem, _ = PU(positives=20, validation=0.2, width=0.25).load("digits", "smoke", 0)
    pictures = [torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8) for values in (positive, unlabelled)]
    return dataclasses.replace(problem, prior=0.4, validation_positive=pictures[0], validation_unlabelled=pictures[1])


def test_pu_is_judged_by_the_non_negative_zero_one_risk() -> None:
    # One of four positives is missed (zero is not above zero), two of five unlabelled images are called positive:
    # 0.4 x 1/4 + max(0, 2/5 - 0.4 x 3/4) = 0.1 + 0.1.
    problem = pu_problem([1.0, 2.0, 0.0, 3.0], [1.0, -1.0, 2.0, -2.0, -3.0])
    assert PU().validate(Brightness(), problem) == pytest.approx(0.2)
    # None called positive: the second part would be -0.3, and is 0.
    assert PU().validate(Brightness(), pu_problem([1.0, 2.0, 0.0, 3.0], [-1.0] * 5)) == pytest.approx(0.1)
    # Everything called negative errs on the positives, everything positive on the negatives.
    assert PU().validate(Brightness(), pu_problem([-1.0], [-1.0])) == pytest.approx(0.4)
    assert PU().validate(Brightness(), pu_problem([1.0], [1.0])) == pytest.approx(0.6)


def test_a_score_that_is_no_number_leaves_pu_without_a_judgement() -> None:
    assert math.isnan(PU().validate(Brightness(), pu_problem([1.0, float("nan")], [1.0])))


class Recalls(nn.Module):
    """Returns zeros but at the last iterate, which is `answer`."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, instances: Any, steps: int) -> torch.Tensor:
        return torch.stack([*[torch.zeros_like(self.answer)] * (steps - 1), self.answer])


def test_l2o_is_judged_by_the_loss_of_the_last_iterate_for_each_sample() -> None:
    task = L2O(measurements=5, unknowns=10, steps=3, validation_instances=4, test_instances=4)
    problem, _ = task.load("sparse", "smoke", 0)
    signals = problem.validation.signals
    assert task.validate(Recalls(signals), problem) == 0
    # One too much in each of ten unknowns: half of ten.
    assert task.validate(Recalls(signals + 1), problem) == pytest.approx(5.0)


def test_the_toy_is_judged_by_its_draws() -> None:
    # Mean squared gaps of 1 and 3 to 0: (1 + 9) / 2.
    assert Toy().validate(Guess(torch.zeros(())), ToyProblem(torch.tensor([1.0, -3.0]))) == pytest.approx(5.0)
