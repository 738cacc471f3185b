"""Records, suites and checkpoints are data: reading them runs nothing. Plug-ins are named before they are imported."""

import ast
import functools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from record_factory import failed, record

from bench import registry
from bench.execution import execute, load_problem
from bench.grid import expand
from bench.outside import outside_code
from bench.provenance import origin
from bench.run import Run
from bench.store import Store
from bench.suite import load_suite, parse_suite
from bench.trial import Trial
from reports.build import write_report

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("allwin", "bench", "tasks", "methods", "reports")

# What may run code, as the source spells it ---------------------------------------------------------------------------

MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "code", "codeop"}
CALLS = {
    *("eval", "exec", "compile", "__import__", "breakpoint"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all"),
}
ATTRIBUTES = {"read_pickle", "to_pickle", "cloudpickle"}
KEYWORDS = {"shell": True, "allow_pickle": True, "weights_only": False}

EXCEPTIONS = {
    ("bench/parcel.py", "from ray import cloudpickle"): "one run hands a solution to a process of its own, in memory",
    ("tasks/syn2real/backbones/__init__.py", "pickle"): "names the error of a file that is refused, and reads nothing",
}
"""File and finding, and why it may stand there."""


def findings(source: str) -> Iterator[str]:
    """What in a source text may run code that the text does not hold."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                dangerous = [alias.name for alias in names if set(alias.name.split(".")) & MODULES]
            case ast.ImportFrom(module=module, names=names):
                parts = {*(module or "").split("."), *(alias.name for alias in names)}
                dangerous = [ast.unparse(node)] if parts & (MODULES | {"system", "popen", "unsafe_load"}) else []
            case ast.Call(func=function, keywords=words):
                name = ast.unparse(function)
                given = {word.arg: word.value for word in words}
                dangerous = [name] if name in CALLS else []
                dangerous += [
                    f"{name}({key}=…)"
                    for key, value in KEYWORDS.items()
                    # What is not written out cannot be read off: it counts as the dangerous value.
                    if key in given and not (isinstance(given[key], ast.Constant) and given[key].value is not value)
                ]
                if name == "torch.load" and "weights_only" not in given:
                    dangerous.append("torch.load without weights_only")
                if name == "yaml.load" and ast.unparse(given.get("Loader", ast.Constant(None))) != "_Loader":
                    dangerous.append("yaml.load without our loader")
            case ast.Attribute(attr=name) if name in ATTRIBUTES:
                dangerous = [f".{name}"]
            case _:
                dangerous = []
        yield from dangerous


def test_no_source_reads_data_with_what_can_run_code() -> None:
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    found = {(p.relative_to(ROOT).as_posix(), finding) for p in paths for finding in findings(p.read_text())}
    assert found == set(EXCEPTIONS)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import torch.utils.pickle as x",
        "from ray import cloudpickle",
        "from os import system",
        "eval('1')",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=loud)",
        "np.load('a', allow_pickle=True)",
        "pd.read_pickle('a')",
        "torch.load('a')",
        "torch.load('a', weights_only=False)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.UnsafeLoader)",
        "ray.cloudpickle.loads(x)",
    ],
)
def test_the_search_finds_each_of_these(source: str) -> None:
    assert list(findings(source))


def test_our_yaml_loader_is_a_safe_one() -> None:
    import yaml

    from bench.strict_yaml import _Loader

    assert issubclass(_Loader, yaml.SafeLoader)
    assert not issubclass(_Loader, (yaml.UnsafeLoader, yaml.FullLoader))


# Checkpoints ----------------------------------------------------------------------------------------------------------


class Bomb:
    """Its pickle makes a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    block = {"task": "toy", "methods": ["descent"]}
    suite = parse_suite({"title": "t", "budget": "smoke", "seeds": 1, "stages": ["fit"], "grid": [block]}, "t", "t")
    (cell,) = expand(suite, registry.load())
    return Trial(cell, origin("t", "inline", ()), checkpoints=tmp_path / "checkpoints")


def test_a_checkpoint_that_would_run_code_does_not_and_the_fit_fails_in_one_line(tmp_path: Path, trial: Trial) -> None:
    (tmp_path / "checkpoints").mkdir()
    checkpoint = tmp_path / "checkpoints" / "fit.pt"
    torch.save({"step": 1, "finished": False, "state": Bomb(tmp_path / "pwned")}, checkpoint)
    # It is a bomb indeed: whoever trusts it is hit.
    torch.load(checkpoint, weights_only=False)
    (tmp_path / "pwned").rmdir()
    ended = execute(trial, load_problem(trial))
    assert not (tmp_path / "pwned").exists()
    assert ended.failure is not None
    assert (ended.status, ended.failure.cause, ended.failure.stage) == ("failed", "error", "fit")
    assert "Weights only load failed" in ended.failure.message
    assert len(ended.failure.message.splitlines()) == 1


def test_checkpoints_of_our_own_are_read_without_trust(tmp_path: Path) -> None:
    for resumed in (False, True):
        run = Run(seed=0, checkpoints=tmp_path, save_every_s=0.0)
        steps = run.steps(3, {"net": torch.nn.Linear(2, 2)})
        assert next(steps) == (1 if resumed else 0)
        next(steps)
        assert run.resumed is resumed
        steps.close()


# Reports --------------------------------------------------------------------------------------------------------------

MARKUP = "<script>alert(1)</script><a href='javascript:alert(2)'>x</a>\x1b[31m\x00"


def test_texts_of_a_record_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    one = record(MARKUP, dataset=MARKUP, task=MARKUP, hardware=MARKUP, suite=MARKUP, parameters={MARKUP: MARKUP})
    two = failed(MARKUP, message=MARKUP, traceback=MARKUP, command=MARKUP)
    page = write_report([one, two], tmp_path, MARKUP, {}).index.read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "href='javascript" not in page
    assert 'href="javascript' not in page
    assert not {"\x1b", "\x00"} & set(page)


# Plug-ins -------------------------------------------------------------------------------------------------------------

PLUG_IN = '''"""A method that tells when it is imported."""

import os
import pathlib
from dataclasses import dataclass
from typing import ClassVar

from allwin_toy.task import Guess

from bench import Presets, method

pathlib.Path(os.environ["IMPORTED"]).touch()


@method("toy")
@dataclass(frozen=True)
class Loud:
    """Gives the mean."""

    presets: ClassVar[Presets] = {}

    def fit(self, problem, run):
        return Guess(problem.draws.mean())
'''

Allwin = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def loud(allwin: Allwin, tmp_path: Path) -> Allwin:
    """The command line in a process of its own, with a plug-in installed that touches `imported` when imported."""
    site = tmp_path / "site"
    (site / "plugged-1.5.dist-info").mkdir(parents=True)
    (site / "plugged-1.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.5\n")
    (site / "plugged-1.5.dist-info" / "entry_points.txt").write_text("[allwin.methods]\nloud = plugged.loud\n")
    (site / "plugged").mkdir()
    (site / "plugged" / "__init__.py").write_text("")
    (site / "plugged" / "loud.py").write_text(PLUG_IN)
    path = os.pathsep.join([str(site), os.environ["PYTHONPATH"]])
    environment = os.environ | {"PYTHONPATH": path, "IMPORTED": str(tmp_path / "imported")}

    return functools.partial(allwin, env=environment)


QUIET = ("run", "--engine", "inline", "--store", "runs", "--json")
GRID = "title: t\nbudget: smoke\nseeds: 1\nstages: [fit, evaluate]\ngrid: [{task: toy, methods: [%s]}]\n"


def test_only_a_run_of_its_own_trials_imports_a_plug_in_and_says_so_before(tmp_path: Path, loud: Allwin) -> None:
    imported = tmp_path / "imported"
    (tmp_path / "others.yaml").write_text(GRID % "sample-mean")
    (tmp_path / "its.yaml").write_text(GRID % "loud")
    others = loud(*QUIET, "others.yaml")
    assert others.returncode == 0, others.stderr
    assert others.stderr == "runs code from outside allwin's tree: allwin-toy 1.0 (toy, toy/sample-mean)\n"
    assert json.loads(others.stdout)["ok"] == 1
    glances = (
        ("list",),
        ("show", "toy/loud"),
        ("show", "its.yaml"),
        ("plan", "its.yaml"),
        ("explain", "its.yaml"),
        ("status",),
        ("report", "--out", "report"),
    )
    for words in glances:
        done = loud(*words)
        assert done.returncode == 0, done.stderr
        assert ("loud" in done.stdout) == (words[0] in ("list", "show", "plan", "explain")), words
    assert not imported.exists()
    its = loud(*QUIET, "its.yaml")
    assert its.returncode == 0, its.stderr
    assert imported.exists()
    assert "plugged 1.5 (toy/loud)" in its.stderr.splitlines()[0]


def test_a_method_by_path_is_named_by_its_path_before_it_runs(tmp_path: Path, loud: Allwin) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(PLUG_IN.replace("pathlib.Path(os", "raise SystemExit\npathlib.Path(os"))
    (tmp_path / "its.yaml").write_text(GRID % "mine")
    done = loud(*QUIET, "its.yaml", "--method", "mine.py")
    assert f"{mine} (toy/mine)" in done.stderr.splitlines()[0]
    assert json.loads(done.stdout)["failed"] == 1


def test_code_of_the_tree_needs_no_word() -> None:
    assert outside_code(expand(load_suite("quick"), registry.load()), registry.load()) == []


def test_a_wrapper_is_named_with_what_it_wraps() -> None:
    block = {"task": "toy", "methods": ["shrunk(descent)", "descent"]}
    cells = expand(parse_suite({"title": "t", "budget": "smoke", "grid": [block]}, "t", "t"), registry.load())
    assert outside_code(cells, registry.load()) == ["allwin-toy 1.0 (toy, toy/shrunk, toy/descent)"]


@pytest.mark.parametrize("value", ["not a module", "__main__", "gone.away", "plugged.loud:Missing:x", "..plugged"])
def test_an_entry_point_that_is_none_takes_nothing_down(tmp_path: Path, loud: Allwin, value: str) -> None:
    points = tmp_path / "site" / "plugged-1.5.dist-info" / "entry_points.txt"
    points.write_text(f"[allwin.methods]\nodd = {value}\n")
    done = loud("list", "--json")
    assert done.returncode == 0, done.stderr
    assert [broken["name"] for broken in json.loads(done.stdout)["broken"]] == ["odd"]
    assert not (tmp_path / "imported").exists()


def test_a_store_with_records_of_a_later_allwin_is_not_run_over(tmp_path: Path, loud: Allwin) -> None:
    from bench.record_file import checksum

    (tmp_path / "grid.yaml").write_text(GRID % "sample-mean")
    assert loud(*QUIET, "grid.yaml").returncode == 0
    (path,) = Store(tmp_path / "runs").files()
    content = json.loads(path.read_text()) | {"schema_version": 2}
    path.write_text(json.dumps(content | {"checksum": checksum(content)}))
    before = path.read_bytes()
    done = loud(*QUIET, "grid.yaml")
    assert done.returncode == 2
    assert "1 of these trials have records that a later allwin wrote; update allwin" in done.stderr.splitlines()[-1]
    assert [file.read_bytes() for file in Store(tmp_path / "runs").files()] == [before]
