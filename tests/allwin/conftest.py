"""The command line, called in this process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from allwin.__main__ import main

HEAVY = ("torch", "ray", "pandas", "matplotlib", "scipy")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs one command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main(words)
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Answer(ended.value.code, printed.out, printed.err)

    return run


@pytest.fixture
def imports_told() -> str:
    """A program that runs one command line, and prints which heavy libraries it imported on the way."""
    return (
        "import sys\nfrom allwin.__main__ import main\ntry:\n    main(sys.argv[1:])\n"
        f"finally:\n    print('imported:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a distribution made of strings: the modules of its package `plugged`, and its entry points."""

    def install(modules: dict[str, str], entry_points: str) -> Path:
        home = tmp_path / "site"
        (home / "plugged-1.0.dist-info").mkdir(parents=True)
        (home / "plugged-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
        (home / "plugged-1.0.dist-info" / "entry_points.txt").write_text(entry_points)
        (home / "plugged").mkdir()
        for name, text in {"__init__": "", **modules}.items():
            (home / "plugged" / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(home)
        # Another test's package of this name may have been imported.
        for name in [name for name in sys.modules if name.partition(".")[0] == "plugged"]:
            monkeypatch.delitem(sys.modules, name)
        return home

    return install
