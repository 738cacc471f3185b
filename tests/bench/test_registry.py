"""The registry reads the source, runs nothing, and survives what it finds."""

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from bench import registry
from bench.errors import UserError
from bench.literal import module_names

METHOD = '''"""A method outside the tree."""

from dataclasses import dataclass
from typing import ClassVar

from bench import Count, Presets, Run, method

raise SystemExit("whoever lists me must not run me")


@method("toy", paper="nobody")
@dataclass(frozen=True)
class Mine:
    """Says one line
    over two.

    And more.
    """

    steps: Count = 1_000
    """How many."""

    presets: ClassVar[Presets] = {"smoke": {"steps": 2}}

    def fit(self, problem, run: Run):
        return None
'''


def test_a_method_is_read_without_being_run(tmp_path: Path) -> None:
    file = tmp_path / "my_own.py"
    file.write_text(METHOD)
    entry = registry.load([file]).method("toy", "my-own")
    assert (entry.title, entry.cls, entry.paper, entry.summary) == (
        "toy/my-own",
        "Mine",
        "nobody",
        "Says one line over two.",
    )
    (setting,) = entry.settings
    assert (setting.name, setting.default, setting.meaning) == ("steps", 1000, "How many.")
    assert entry.presets == {"smoke": {"steps": 2}}


def test_an_oracle_is_told_by_its_decorator_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    read = {}
    for words in ("", ", oracle=False", ", oracle=True"):
        file.write_text(METHOD.replace(', paper="nobody"', words))
        registry.parse.cache_clear()
        read[words] = registry.load([file]).method("toy", "mine").oracle
    assert read == {"": False, ", oracle=False": False, ", oracle=True": True}
    known = registry.load()
    assert [entry.title for entry in known.entries() if entry.task == "pu" and entry.oracle] == ["pu/pn"]


def test_reading_the_registries_imports_neither_torch_nor_ray() -> None:
    heavy = "print([name for name in ('torch', 'ray', 'pandas') if name in sys.modules])"
    code = f"import sys, bench, bench.registry as r; r.load(); {heavy}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown method of toy: descnt; did you mean descent"):
        registry.load().method("toy", "descnt")


def test_a_name_that_is_taken_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    file = tmp_path / "descent.py"
    file.write_text(METHOD)
    with pytest.raises(UserError, match="its name is taken by .*descent.py; rename one"):
        registry.load([file])


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("Count = 1_000", "Count = len('x')", "is not a literal"),
        ("steps: Count", "steps: Foo", "`Foo` is not a literal"),
        ('{"steps": 2}', '{"stepz": 2}', "did you mean steps"),
        ('"smoke"', '"smok"', "unknown budget .* did you mean"),
        ("class Mine:", "class Mine(:", "SyntaxError"),
        ("Count = 1_000", "Count", "has no default"),
        ('paper="nobody"', "oracle=1", "oracle of Mine must be True or False, got 1"),
        ('paper="nobody"', "oracle=not False", "is not a literal"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, before: str, after: str, words: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(METHOD.replace(before, after))
    with pytest.raises(UserError, match=words):
        registry.load([file])


def test_a_broken_plug_in_is_kept_by_name_and_takes_nothing_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "rotten"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "bad.py").write_text(METHOD.replace("= 1_000", "= open('x')"))
    info = tmp_path / "rotten-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: rotten\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[allwin.methods]\nbad = rotten.bad\ngone = rotten.gone\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = registry.load()
    assert {broken.name.split("/")[-1] for broken in found.broken} == {"bad", "gone"}
    assert "descent" in found.methods["toy"]
    with pytest.raises(UserError, match="cannot be used: .*not a literal"):
        found.method("toy", "bad")


def test_a_method_of_a_task_that_is_not_there_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    file.write_text(METHOD.replace('"toy"', '"toys"'))
    found = registry.load([file])
    assert [broken.message for broken in found.broken] == ["unknown task: toys; did you mean toy?"]


FAMILY = '''"""What the methods of this file share."""

from dataclasses import dataclass
from typing import ClassVar

from bench import Count, Positive, Presets, Run, method

STEPS = 7


@dataclass(frozen=True)
class Shared:
    steps: Count = STEPS
    lr: Positive = 0.1
    """Of every step."""

    presets: ClassVar[Presets] = {"smoke": {"steps": 2}}

    def fit(self, problem, run: Run):
        return None


@method("toy")
@dataclass(frozen=True)
class Child(Shared):
    """Shares."""

    width: Count = 3
    lr: Positive = 0.5
    """Longer ones."""
'''


def test_settings_that_are_inherited_are_read_in_the_order_of_the_dataclass_and_those_set_anew_win(
    tmp_path: Path,
) -> None:
    file = tmp_path / "child.py"
    file.write_text(FAMILY)
    entry = registry.load([file]).method("toy", "child")
    assert [(setting.name, setting.default, setting.meaning) for setting in entry.settings] == [
        ("steps", 7, ""),
        ("lr", 0.5, "Longer ones."),
        ("width", 3, ""),
    ]
    assert entry.presets == {"smoke": {"steps": 2}}
    assert "fit" in entry.members
    assert [item.name for item in dataclasses.fields(entry.import_class())] == ["steps", "lr", "width"]


def test_a_base_in_another_file_of_the_tree_is_found_and_its_own_names_are_used(tmp_path: Path) -> None:
    file = tmp_path / "adopted.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from allwin_toy.family import Family as Parent\nfrom bench import method\n\n\n"
        '@method("toy")\n@dataclass(frozen=True)\nclass Adopted(Parent):\n    """Adopted."""\n'
    )
    (setting,) = registry.load([file]).method("toy", "adopted").settings
    assert (setting.name, setting.default) == ("steps", 11)


def test_classes_that_inherit_from_one_another_in_a_circle_break_alone(tmp_path: Path) -> None:
    file = tmp_path / "circle.py"
    file.write_text(
        "from dataclasses import dataclass\nfrom bench import method\n\n\n"
        "@dataclass\nclass A(B):\n    pass\n\n\n"
        '@method("toy")\n@dataclass\nclass B(A):\n    """Round."""\n'
    )
    with pytest.raises(UserError, match="RecursionError"):
        registry.load([file])


def test_a_tuple_or_list_of_literals_may_hold_all_of_another() -> None:
    tree = ast.parse('SHARED = ("a", "b")\nALL = ("x", *SHARED)\nLISTED = [*ALL, "z"]')
    names = module_names(tree, {})
    assert (names["ALL"], names["LISTED"]) == (("x", "a", "b"), ["x", "a", "b", "z"])
