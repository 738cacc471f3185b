"""`allwin list`, `show` and `data`: what the sources say, as tables and as JSON."""

import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

METHOD = '''"""A method of a package."""

from dataclasses import dataclass
from typing import ClassVar

from bench import Count, Presets, method


@method("toy", paper="somebody")
@dataclass(frozen=True)
class Descent:
    """Goes down."""

    steps: Count = 10
    """How often | how [red]bold\\x1b[31m[/red]."""

    presets: ClassVar[Presets] = {"smoke": {"steps": 2}}

    def fit(self, problem, run):
        return None
'''

CONTENT = b"abc"

TASK = f'''"""Files: a task whose data set the user brings."""

from dataclasses import dataclass
from typing import ClassVar

from bench import DataFile, DatasetCard, Metric, Presets, task

CARDS = (
    DatasetCard(
        "brought",
        "Brought along",
        "CC0",
        "https://example.org/brought",
        "two files",
        "files",
        folder="brought",
        files=(DataFile("a/one.bin", {len(CONTENT)}, "{sha256(CONTENT).hexdigest()}"), DataFile("two.bin")),
    ),
    DatasetCard("normal", "Made up", "none", "a generator", "any number", "generated"),
)


@task(version=2)
@dataclass(frozen=True)
class Files:
    """Read files."""

    metrics: ClassVar = (Metric("misses", "%", better="low", low=0, high=100, meaning="files not read"),)
    cards: ClassVar = CARDS
    presets: ClassVar[Presets] = {{}}

    def load(self, dataset, budget, seed): ...
    def check(self, solution, problem): ...
    def evaluate(self, solution, held_out): ...
    def workload(self, solution, problem): ...
'''


@pytest.fixture
def files_task(plug_in: Callable) -> None:
    plug_in({"files_task": TASK}, "[allwin.tasks]\nfiles = plugged.files_task\n")


def test_list_prints_one_json_document_with_everything_known(call: Callable) -> None:
    answer = call("list", "--json")
    assert (answer.code, answer.err) == (0, "")
    document = json.loads(answer.out)
    assert set(document) == {"tasks", "methods", "suites", "papers", "broken"}
    (toy,) = [task for task in document["tasks"] if task["name"] == "toy"]
    assert toy["summary"] == "Guess a mean."
    assert toy["datasets"] == ["normal", "absent"]
    assert toy["metrics"] == [{"name": "distance", "unit": "1", "better": "low", "meaning": ""}]
    (method,) = [m for m in document["methods"] if (m["task"], m["name"]) == ("toy", "descent")]
    assert (method["paper"], method["origin"]) == ("cauchy", "allwin-toy")
    assert method["summary"] == "Least squares, one batch after another."


def test_list_shows_a_method_given_by_path(call: Callable, tmp_path: Path) -> None:
    (tmp_path / "my_own.py").write_text(METHOD)
    document = json.loads(call("list", "--json", "--method", "my_own.py").out)
    (method,) = [m for m in document["methods"] if m["name"] == "my-own"]
    assert (method["task"], method["origin"], method["path"]) == ("toy", "path", str(tmp_path / "my_own.py"))


def test_an_oracle_is_listed_and_shown_as_one(call: Callable) -> None:
    methods = {f"{m['task']}/{m['name']}": m["oracle"] for m in json.loads(call("list", "--json").out)["methods"]}
    assert (methods["pu/pn"], methods["pu/nnpu"]) == (True, False)
    text = call("list").out
    assert re.search(r"^pu/pn +oracle: Learns from true labels", text, re.MULTILINE)
    assert re.search(r"^l2o/global-minimum +open_l2o +oracle: Knows", text, re.MULTILINE)
    assert text.count("oracle: ") == sum(methods.values())
    assert json.loads(call("show", "pu/pn", "--json").out)["oracle"] is True
    assert re.search(r"^  oracle +yes$", call("show", "pn").out, re.MULTILINE)
    assert "oracle" not in call("show", "pu/nnpu").out
    assert "oracle" not in json.loads(call("show", "pu", "--json").out)


def test_a_plug_in_that_cannot_be_read_is_listed_as_broken_and_hides_nothing(call: Callable, plug_in: Callable) -> None:
    plug_in(
        {"half": "@method('toy'\nclass Half:"}, "[allwin.methods]\nhalf = plugged.half\nnowhere = plugged.nothing\n"
    )
    answer = call("list", "--json")
    document = json.loads(answer.out)
    assert answer.code == 0
    assert {item["name"] for item in document["broken"]} == {"plugged/half", "nowhere"}
    assert "SyntaxError" in next(item["message"] for item in document["broken"] if item["name"] == "plugged/half")
    assert any(method["name"] == "nnpu" for method in document["methods"])
    assert re.search(r"^plugged/half +SyntaxError", call("list").out, re.MULTILINE)


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-of-suites" / "suites"
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_suites_are_listed_and_shown_and_a_malformed_one_is_broken(call: Callable, suites: Path) -> None:
    (suites / "toys-only.yaml").write_text(
        "title: All toys\nbudget: smoke\nseeds: [3, 5]\ngrid:\n  - task: toy\n    methods: [descent]\n"
    )
    (suites / "torn.yaml").write_text("title: [\n")
    document = json.loads(call("list", "--json").out)
    (listed,) = [suite for suite in document["suites"] if suite["name"] == "toys-only"]
    assert (listed["title"], listed["budget"], listed["seeds"], listed["tasks"]) == ("All toys", "smoke", 2, ["toy"])
    assert [item["name"] for item in document["broken"]] == ["torn"]
    shown = json.loads(call("show", "toys-only", "--json").out)
    assert (shown["kind"], shown["seeds"], shown["grid"][0]["methods"]) == ("suite", [3, 5], ["descent"])
    assert json.loads(call("show", str(suites / "toys-only.yaml"), "--json").out) == shown
    assert "torn.yaml: line 2" in call("show", "torn").err


@pytest.mark.parametrize("name", ["toy/sample-mean", "sample-mean"])
def test_a_method_is_shown_by_its_full_or_short_name(name: str, call: Callable) -> None:
    document = json.loads(call("show", name, "--json").out)
    assert (document["kind"], document["name"], document["paper"]) == ("method", "toy/sample-mean", "gauss")


def test_the_settings_of_a_method_are_shown_with_their_presets(call: Callable) -> None:
    document = json.loads(call("show", "toy/descent", "--json").out)
    steps = next(setting for setting in document["settings"] if setting["name"] == "steps")
    assert steps == {"name": "steps", "type": "Count", "default": 200, "presets": {"smoke": 20}, "meaning": ""}
    printed = call("show", "toy/descent").out
    assert re.search(r"^setting +type +default +smoke +meaning$", printed, re.MULTILINE)
    assert re.search(r"^steps +Count +200 +20$", printed, re.MULTILINE)
    assert re.search(r"^pause_s +NonNegative +0\.0 +Slept before each step", printed, re.MULTILINE)


def test_a_task_is_shown_with_its_metrics_and_data_sets(call: Callable, files_task: None) -> None:
    printed = call("show", "files").out
    assert printed.startswith("files (task): Read files.\n")
    assert re.search(r"^  version +2$", printed, re.MULTILINE)
    assert re.search(r"^misses +% +low +0 \.\. 100 +files not read$", printed, re.MULTILINE)
    assert re.search(r"^  datasets +brought normal$", printed, re.MULTILINE)


def test_a_name_with_several_owners_is_refused_until_it_is_said_which(call: Callable, files_task: None) -> None:
    answer = call("show", "normal")
    assert answer.code == 2
    told = "normal may be toy/normal (data set) or files/normal (data set); say which with `allwin show toy/normal`"
    assert answer.err == f"allwin: {told}\n" or answer.err == f"allwin: {_swapped(told)}\n"
    assert json.loads(call("show", "files/normal", "--json").out)["origin"] == "a generator"


def _swapped(told: str) -> str:
    """The same with the tasks the other way round: entry points come in no order."""
    return told.replace("toy/", "?").replace("files/", "toy/").replace("?", "files/")


def test_text_from_a_file_cannot_steer_the_terminal(call: Callable, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(METHOD)
    printed = call("show", "loud", "--method", "loud.py").out
    assert "How often | how [red]bold [31m[/red]." in printed
    assert "\x1b" not in printed


def test_a_broken_method_says_what_to_mend_when_it_is_shown(call: Callable, plug_in: Callable) -> None:
    plug_in({"half": "@method('toy'\nclass Half:"}, "[allwin.methods]\nhalf = plugged.half\n")
    answer = call("show", "half")
    assert answer.code == 2
    assert re.search(r"plugged/half cannot be read: SyntaxError: .*; mend .*half\.py", answer.err)


# allwin data ----------------------------------------------------------------------------------------------------------


def layout(folder: Path, *, one: bytes | None = CONTENT, two: bool = True) -> Path:
    (folder / "brought" / "a").mkdir(parents=True)
    if one is not None:
        (folder / "brought" / "a" / "one.bin").write_bytes(one)
    if two:
        (folder / "brought" / "two.bin").write_bytes(b"")
    return folder


def row(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(item for item in document["datasets"] if item["name"] == name)


def test_data_lists_every_card_and_whether_it_is_here(
    call: Callable, files_task: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    assert row(json.loads(call("data", "--json").out), "brought")["here"] is False
    layout(tmp_path)
    document = json.loads(call("data", "--json").out)
    assert row(document, "brought")["here"] is True
    assert row(document, "brought")["licence"] == "CC0"
    assert document["root"] == str(tmp_path)
    assert re.search(r"^files +brought +files +CC0 +two files +yes$", call("data").out, re.MULTILINE)


@pytest.mark.parametrize(
    ("one", "two", "checksums", "states", "code"),
    [
        (CONTENT, True, True, ["ok", "ok"], 0),
        (None, True, False, ["missing", "ok"], 1),
        (CONTENT, False, False, ["ok", "missing"], 1),
        (b"ab", True, False, ["wrong size", "ok"], 1),
        (b"xyz", True, False, ["ok", "ok"], 0),
        (b"xyz", True, True, ["wrong checksum", "ok"], 1),
    ],
)
def test_data_check_tells_file_by_file_what_is_wrong(
    one: bytes | None,
    two: bool,
    checksums: bool,
    states: list[str],
    code: int,
    call: Callable,
    files_task: None,
    tmp_path: Path,
) -> None:
    words = ["data", "check", "brought", "--root", str(layout(tmp_path / "data", one=one, two=two))]
    words += ["--checksums"] if checksums else []
    answer = call(*words, "--json")
    document = json.loads(answer.out)
    assert [item["state"] for item in document["files"]] == states
    assert document["complete"] is (code == 0)
    assert document["without_checksum"] == (["two.bin"] if checksums else [])
    assert answer.code == code
    printed = call(*words)
    assert printed.code == code
    assert f"{states.count('ok')} of 2 files are as its card says" in printed.out
    assert ("https://example.org/brought" in printed.out) is (code == 1)


def test_data_check_of_generated_data_has_nothing_to_miss(call: Callable, files_task: None) -> None:
    answer = call("data", "check", "files/normal")
    assert answer.code == 0
    assert "normal is generated (a generator): it has no files of its own to check" in answer.out


def test_data_check_names_the_nearest_data_set(call: Callable, files_task: None) -> None:
    answer = call("data", "check", "broght")
    assert answer.code == 2
    assert answer.err == "allwin: unknown data set: broght; did you mean brought?\n"
