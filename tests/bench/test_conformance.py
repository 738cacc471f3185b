"""Each rule catches the method that breaks it, and only that rule does: a gallery of broken methods."""

import re
import socket
from pathlib import Path

import pytest
import torch

from bench import registry
from bench.conformance import RULES, Outcome, Subject, check
from bench.conformance.declared import outside
from bench.conformance.watch import equal, observed
from bench.errors import UserError
from bench.settings import Count, Fraction, Natural, UnitInterval

GOOD = '''"""The mean of the draws by gradient descent."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from allwin_toy.task import Guess, ToyProblem
from bench import Count, Positive, Presets, Run, Unsupported, method
from bench.training import Batches, descend

SEEN = []


@method("toy")
@dataclass(frozen=True)
class Mine:
    """The mean of the draws."""

    steps: Count = 30
    lr: Positive = 0.05
    centred: bool = False

    presets: ClassVar[Presets] = {"smoke": {"steps": 12}}

    def fit(self, problem: ToyProblem, run: Run) -> Guess:
        net = Guess(torch.randn((), generator=run.generator))
        optimizer = torch.optim.SGD(net.parameters(), self.lr, momentum=0.9)
        draws = Batches(problem.draws, 3, run)
        state = {"net": net, "optimizer": optimizer, "draws": draws}
        for step in run.steps(self.steps, state):
            loss = (next(draws) - net.value).square().mean()
            descend(optimizer, loss)
            run.log(step, loss=loss)
        return net
'''

FIT = "        net = Guess(torch.randn((), generator=run.generator))\n"
RETURN = "        return net\n"
PRESETS = '    presets: ClassVar[Presets] = {"smoke": {"steps": 12}}\n'
STATE = 'state = {"net": net, "optimizer": optimizer, "draws": draws}'


def at_start(*lines: str) -> tuple[str, str]:
    return FIT, "".join(f"        {line}\n" for line in lines) + FIT


def at_end(*lines: str) -> tuple[str, str]:
    return RETURN, "".join(f"        {line}\n" for line in lines) + RETURN


BROKEN = [
    ("imports", ("import torch\n", "import torch\nimport a_package_that_nobody_has\n")),
    ("imports", ("SEEN = []\n", "raise SystemExit(3)\n")),
    ("source", ('"""The mean of the draws."""', '"""The mean of the draws."""\n    __doc__ = "Something else."')),
    ("source", (RETURN, RETURN + '\n\nMine.presets = {"smoke": {"steps": 13}}\n')),
    ("source", (RETURN, RETURN + "\n\nMine.__dataclass_fields__['lr'].default = 0.5\n")),
    ("source", ('@method("toy")\n', 'TOLD = False\nfor TOLD in (True,):\n    pass\n\n\n@method("toy", oracle=TOLD)\n')),
    ("constructs", (PRESETS, PRESETS + "\n    def __post_init__(self):\n        raise RuntimeError('no')\n")),
    ("frozen", ("@dataclass(frozen=True)", "@dataclass")),
    ("presets", ('{"steps": 12}', '{"steps": 12, "centred": True}')),
    (
        "presets",
        (
            "    centred: bool = False\n\n" + PRESETS,
            "    trajectory: bool = False\n\n" + PRESETS.replace("12}", '12, "trajectory": True}'),
        ),
    ),
    ("presets", ('{"steps": 12}', '{"steps": 0}')),
    ("search", (PRESETS, PRESETS + '    search: ClassVar = {"rate": "log(1e-3, 1)"}\n')),
    ("search", (PRESETS, PRESETS + '    search: ClassVar = {"lr": "log(1e-3, 1"}\n')),
    ("search", (PRESETS, PRESETS + '    search: ClassVar = {"lr": "uniform(0, 1)"}\n')),
    ("search", (PRESETS, PRESETS + '    search: ClassVar = {"steps": "int(1, 9)"}\n')),
    ("source", (RETURN, RETURN + '\n\nMine.search = {"lr": "log(1e-3, 1)"}\n')),
    (
        "ranges",
        (
            "    centred: bool = False\n",
            "    centred: bool = False\n    width: int = 3\n\n    def __post_init__(self):\n"
            "        if self.width < 0:\n            raise ValueError('no good')\n",
        ),
    ),
    (
        "no-network",
        at_start(
            "import socket",
            "try:",
            "    socket.create_connection(('127.0.0.1', 9), 0.1)",
            "except OSError:",
            "    pass",
        ),
    ),
    ("no-network", at_start("import socket", "socket.socket().connect(('127.0.0.1', 9))")),
    ("fits", at_start("raise RuntimeError('a term', 'is missing')")),
    ("fits", at_start("raise SystemExit(3)")),
    ("fits", at_start("raise Unsupported('never')")),
    ("fits", ("run.log(step, loss=loss)", "run.log(step, loss=loss / 0)")),
    ("fits", at_end("run.log(12, last=float('nan'))")),
    ("writes", at_start("open('left.txt', 'w').close()")),
    ("writes", at_start("torch.save({}, 'left.pt')")),
    ("writes", at_start("import os", "os.chdir('..')")),
    ("random-state", at_start("torch.manual_seed(run.seed)")),
    ("random-state", at_start("import numpy", "numpy.random.rand()")),
    ("random-state", at_start("import random", "random.random()")),
    ("global-flags", at_end("torch.set_default_dtype(torch.float64)")),
    ("global-flags", at_end("torch.set_grad_enabled(False)")),
    ("global-flags", at_end("torch.set_num_threads(torch.get_num_threads() + 1)")),
    ("global-flags", at_end("import os", "os.environ['LEFT_BEHIND'] = '1'")),
    ("problem-untouched", at_start("problem.draws.sub_(0.5)")),
    ("protocol", (RETURN, "")),
    ("protocol", (RETURN, "        return torch.nn.Identity()\n")),
    ("metrics", (RETURN, "        return Guess(net.value.detach() * float('nan'))\n")),
    (
        "workload",
        (
            RETURN,
            "        class Moody(Guess):\n"
            "            def forward(self, draws):\n"
            "                assert self.training or len(draws) == 1\n"
            "                return self.value\n\n"
            "        return Moody(net.value.detach())\n",
        ),
    ),
    ("same-seed", ("generator=run.generator))\n", "generator=run.generator) + len(SEEN))\n        SEEN.append(1)\n")),
    ("same-seed", (RETURN, "        SEEN.append(1)\n        return lambda draws: torch.tensor(float(len(SEEN)))\n")),
    (
        "same-seed",
        at_end("SEEN.append(1)", "net.of_no_account = torch.nn.Buffer(torch.tensor(float(len(SEEN))))"),
    ),
    ("other-seed", at_start("assert run.seed == 0")),
    ("resumes", (STATE, 'state = {"net": net, "draws": draws}')),
    ("resumes", (STATE, 'state = {"net": net, "optimizer": optimizer}')),
]
"""The rule that is broken, and the change to `GOOD` that breaks it."""


def examine(folder: Path, text: str, *, task: str = "") -> dict[str, Outcome]:
    """The outcomes of a method's text, on the toy task or on the text of another one."""
    file = folder / "mine.py"
    file.write_text(text)
    known = registry.load([file])
    if task:
        place = folder / "toy_task.py"
        place.write_text(task)
        entry = registry.read_entry(place, "task", "toy", "", "path")
        assert entry
        known.tasks["toy"] = entry
    return {outcome.rule: outcome for outcome in check(Subject(known, known.method("toy", "mine")))}


def failed(outcomes: dict[str, Outcome]) -> list[str]:
    return [name for name, outcome in outcomes.items() if outcome.state == "fail"]


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def task_text(*changes: tuple[str, str]) -> str:
    return changed((Path(__file__).parent.parent / "toys" / "allwin_toy" / "task.py").read_text(), *changes)


def test_a_good_method_keeps_every_rule(tmp_path: Path) -> None:
    outcomes = examine(tmp_path, GOOD)
    assert {outcome.state for outcome in outcomes.values()} == {"pass"}
    assert list(outcomes) == [rule.name for rule in RULES["method"]]
    assert re.fullmatch(r"killed after steps 1, \d+, \d+, 12 of 12", outcomes["resumes"].saw)


def test_an_oracle_that_says_so_keeps_every_rule(tmp_path: Path) -> None:
    outcomes = examine(tmp_path, changed(GOOD, ('@method("toy")', '@method("toy", oracle=True)')))
    assert {outcome.state for outcome in outcomes.values()} == {"pass"}


@pytest.mark.parametrize(("rule", "change"), BROKEN, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(BROKEN)])
def test_a_broken_method_is_caught_by_exactly_its_rule(rule: str, change: tuple[str, str], tmp_path: Path) -> None:
    outcomes = examine(tmp_path, changed(GOOD, change))
    assert failed(outcomes) == [rule]
    assert outcomes[rule].cause
    assert "\n" not in outcomes[rule].saw


def test_every_rule_for_methods_is_broken_once_in_the_gallery() -> None:
    # `loads` is the task's to break, below.
    assert {rule for rule, _ in BROKEN} | {"loads"} == {rule.name for rule in RULES["method"]}


def test_a_connection_is_refused_and_not_only_noted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        calls = at_start("import socket", f"socket.socket().connect(('127.0.0.1', {port}))")
        outcomes = examine(tmp_path, changed(GOOD, calls))
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert outcomes["no-network"].saw == f"fit wanted to reach 127.0.0.1:{port}"
    assert (outcomes["fits"].state, outcomes["fits"].saw) == ("skip", "needs no-network")


def test_whoever_watches_goes_back_to_where_he_was(tmp_path: Path) -> None:
    here = Path.cwd()
    with observed() as seen:
        assert Path.cwd() == seen.sandbox != here
    assert Path.cwd() == here


def test_draws_from_torchs_global_generator_are_allowed_and_told(tmp_path: Path) -> None:
    # Dropout and the initial weights of layers draw from it; the harness seeds it, and a checkpoint holds it.
    outcomes = examine(tmp_path, changed(GOOD, ("torch.randn((), generator=run.generator)", "torch.randn(())")))
    assert failed(outcomes) == []
    assert "seeds and saves" in outcomes["random-state"].saw


def test_process_state_is_as_before_whatever_the_method_did(tmp_path: Path) -> None:
    kept = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_rng_state(), Path.cwd()
    examine(tmp_path, changed(GOOD, at_end("torch.set_default_dtype(torch.float64)", "torch.set_grad_enabled(False)")))
    examine(tmp_path, changed(GOOD, at_start("import os", "os.chdir('..')", "torch.manual_seed(3)")))
    now = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_rng_state(), Path.cwd()
    assert now[:2] == kept[:2]
    assert torch.equal(now[2], kept[2])
    assert now[3] == kept[3]


def test_a_closed_form_has_nothing_to_resume() -> None:
    known = registry.load()
    outcomes = {item.rule: item for item in check(Subject(known, known.method("toy", "sample-mean")))}
    assert failed(outcomes) == []
    assert outcomes["resumes"].state == "skip"
    assert outcomes["other-seed"].state == "pass"


def test_equal_results_of_two_seeds_are_told_and_no_failure(tmp_path: Path) -> None:
    fixed = task_text(("manual_seed(seed)", "manual_seed(0)"))
    constant = changed(GOOD, (RETURN, "        return Guess(problem.draws.mean())\n"))
    outcomes = examine(tmp_path, constant, task=fixed)
    assert outcomes["other-seed"].state == "skip"
    assert failed(outcomes) == []


def test_a_task_that_does_not_load_is_not_the_methods_fault(tmp_path: Path) -> None:
    broken = task_text(("        generator = torch", "        raise OSError('no disk')\n        generator = torch"))
    outcomes = examine(tmp_path, GOOD, task=broken)
    assert failed(outcomes) == ["loads"]
    assert outcomes["loads"].saw == "OSError: no disk"


def test_a_method_is_tried_on_the_next_data_set_where_it_does_not_support_the_first(tmp_path: Path) -> None:
    second = (
        'DatasetCard("far", "Draws far away", "none", "generated", "20 draws", "generated"),\n    DatasetCard("absent"'
    )
    far = task_text(
        ('DatasetCard("absent"', second),
        ("return ToyProblem(mean +", "return ToyProblem(1000 * (dataset == 'far') + mean +"),
    )
    picky = changed(GOOD, at_start("if problem.draws.mean() < 500:", "    raise Unsupported('too near')"))
    outcomes = examine(tmp_path, picky, task=far)
    assert failed(outcomes) == []
    assert outcomes["fits"].saw.startswith("far: 12 steps")


def test_a_task_that_draws_anew_for_the_same_seed_is_caught(tmp_path: Path) -> None:
    place = tmp_path / "toy_task.py"
    place.write_text(task_text(("manual_seed(seed)", "manual_seed(__import__('time').time_ns())")))
    known = registry.load()
    entry = registry.read_entry(place, "task", "toy", "", "path")
    assert entry
    known.tasks["toy"] = entry
    outcomes = {item.rule: item for item in check(Subject(known, entry))}
    assert failed(outcomes) == ["same-problem"]
    assert outcomes["same-problem"].saw == "loaded twice with seed 0, problem.draws, held_out.mean differ"


@pytest.mark.parametrize(("switch", "broken"), [("trajectory", []), ("mirrored", ["presets"])])
def test_a_tasks_preset_may_say_what_is_kept_of_a_fit_and_no_other_switch(
    tmp_path: Path, switch: str, broken: list[str]
) -> None:
    presets = '    presets: ClassVar[Presets] = {"smoke": {"draws": 10}}\n'
    turned = f"    {switch}: bool = False\n{presets.replace('10}', f'10, {switch!r}: True}}')}"
    place = tmp_path / "toy_task.py"
    place.write_text(task_text((presets, turned)))
    known = registry.load()
    entry = registry.read_entry(place, "task", "toy", "", "path")
    assert entry
    known.tasks["toy"] = entry
    assert failed({item.rule: item for item in check(Subject(known, entry))}) == broken


def test_a_method_that_wraps_another_is_checked_around_it() -> None:
    known = registry.load()
    outcomes = check(Subject(known, known.method("toy", "shrunk"), inner="descent"))
    assert {item.state for item in outcomes} == {"pass"}


def test_a_data_set_that_is_not_here_is_refused_in_one_line() -> None:
    known = registry.load()
    with pytest.raises(
        UserError, match=r"^toy/descent: no data set of toy is here; `allwin data` shows what is missing$"
    ):
        Subject(known, known.method("toy", "descent"), dataset="absent")


def test_an_interrupt_goes_through(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        examine(tmp_path, changed(GOOD, at_start("raise KeyboardInterrupt")))


def test_equality_is_to_the_bit() -> None:
    assert equal(torch.tensor([float("nan"), 1.0]), torch.tensor([float("nan"), 1.0]))
    assert not equal(torch.tensor(0.0), torch.tensor(-0.0))
    assert not equal(torch.zeros(2), torch.zeros(2, dtype=torch.float64))
    assert not equal(torch.zeros(2), torch.zeros(2, 1))
    assert not equal(1, 1.0)


def test_values_outside_a_range_are_just_outside() -> None:
    nothing = {"no": "value"}
    assert list(outside(Count)) == [nothing, 0]
    assert list(outside(Natural)) == [nothing, -1]
    assert list(outside(UnitInterval)) == [nothing, -1, 2]
    assert list(outside(Fraction)) == [nothing, 0, 1]
    assert list(outside(tuple[Count, ...])) == [nothing, [nothing], [0]]
