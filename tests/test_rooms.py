"""The rooms, their directions (allwin -> methods -> tasks -> bench, allwin -> reports -> bench) and their size."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "allwin": {"allwin", "bench", "methods", "tasks", "reports"},
    "bench": {"bench"},
    "tasks": {"tasks", "bench"},
    "methods": {"methods", "tasks", "bench"},
    "reports": {"reports", "bench"},
}

TORCH = (
    "run.py",
    "training.py",
    "execution.py",
    "inline_engine.py",
    "failures.py",
    "slate.py",
    "conformance/",
    "measure/",
)
"""The parts of the harness that import torch at their top; whoever lists, plans or reports imports none of them."""

NEIGHBOURS = {"syn2real": {"segmentation"}}
"""Whose readers, generator and scores of street scenes a task's dense problems are made with."""

FILES = [path for room in MAY_IMPORT for path in sorted((ROOT / room).rglob("*.py"))]


def imported(path: Path, *, top_only: bool = False) -> set[str]:
    """Full names of the modules that a file imports, wherever in it or, with `top_only`, at import."""
    tree = ast.parse(path.read_text())
    nodes = list(tree.body) if top_only else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_lies_below_it(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    rooms = {name.split(".")[0] for name in imported(path)} & set(MAY_IMPORT)
    assert rooms <= MAY_IMPORT[room]


def test_a_task_imports_no_other_task_and_a_method_only_its_own() -> None:
    for path in FILES:
        room, *rest = path.relative_to(ROOT).parts
        if room in ("tasks", "methods") and len(rest) > 1:
            # What stands beside the folders, such as readers of image files, is for all of them.
            shared = {p.stem for p in (ROOT / "tasks").glob("*.py")}
            allowed = {rest[0], "layers"} | shared | NEIGHBOURS.get(rest[0], set())
            others = {n.split(".")[1] for n in imported(path) if n.startswith(("tasks.", "methods.")) and "." in n}
            assert others <= allowed, path


def test_no_name_of_a_task_or_method_stands_in_the_harness_or_the_reports() -> None:
    names = {p.name for p in (ROOT / "tasks").iterdir() if p.is_dir() and p.name[0] not in "_."}
    names |= {p.stem for p in (ROOT / "methods").glob("*/*.py") if p.name[0] != "_"}
    # A rule of `allwin check`, too: dataclasses are frozen.
    names -= {"frozen"}
    for path in FILES:
        if path.relative_to(ROOT).parts[0] in ("bench", "reports"):
            texts = {
                n.value
                for n in ast.walk(ast.parse(path.read_text()))
                if isinstance(n, ast.Constant) and isinstance(n.value, str)
            }
            assert not texts & names, path


def test_torch_is_imported_only_where_it_is_needed() -> None:
    for path in FILES:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("reports/"):
            assert not {module.split(".")[0] for module in imported(path)} & {"torch", "ray", "torchvision"}, name
        elif name.startswith("bench/") and not name.removeprefix("bench/").startswith(TORCH):
            assert not {module.split(".")[0] for module in imported(path, top_only=True)} & {"torch", "torchvision"}, (
                name
            )


def test_no_module_has_more_than_400_lines() -> None:
    long = {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text().splitlines())) > 400}
    assert not long


def test_no_method_file_postpones_its_annotations() -> None:
    for path in FILES:
        if path.relative_to(ROOT).parts[0] in ("tasks", "methods"):
            assert "from __future__ import annotations" not in path.read_text(), path


@pytest.mark.parametrize("words", [["--help"], ["list", "--json"], ["data", "--json"], ["show", "pu"]])
def test_a_glance_imports_neither_torch_nor_ray_nor_pandas(words: list[str]) -> None:
    code = (
        "import sys\nfrom allwin.__main__ import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit as done:\n    assert done.code in (0, None)\n"
        "print([m for m in ('torch', 'ray', 'pandas', 'matplotlib') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"


def test_building_a_report_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom reports.build import write_report\n"
        f"write_report([], pathlib.Path({str(tmp_path)!r}), 'nothing', {{}})\n"
        "print([m for m in ('torch', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr
