"""The key changes when, and only when, the answer could."""

import shutil
import sys
from pathlib import Path

import pytest

from bench import keys, registry
from bench.grid import expand
from bench.suite import parse_suite

TOYS = Path(__file__).parent.parent / "toys"


def keys_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The keys of every method, with the plug-in read afresh from a folder."""
    with monkeypatch.context() as patch:
        patch.setattr("sys.path", [str(folder), *[place for place in sys.path if place != str(TOYS)]])
        # A package that another test imported would be found where it was then.
        for name in [name for name in sys.modules if name.partition(".")[0] == "allwin_toy"]:
            patch.delitem(sys.modules, name)
        for cached in (keys.source_hash, keys._files_of, registry.parse):
            cached.cache_clear()
        suite = parse_suite({"title": "t", "budget": "smoke", "seeds": 1, "grid": [{"task": "toy"}]}, "x", "x")
        return {cell.spec.method: cell.key for cell in expand(suite, registry.load())}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(TOYS, tmp_path / "toys")
    return tmp_path / "toys"


def test_touching_a_method_changes_its_key_and_no_other(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys_of(copy, monkeypatch)
    with (copy / "allwin_toy" / "descent.py").open("a") as file:
        file.write("\nTOUCHED = True\n")
    after = keys_of(copy, monkeypatch)
    assert {name for name in before if before[name] != after[name]} == {"descent"}


def test_touching_the_task_changes_all_of_its_methods(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys_of(copy, monkeypatch)
    with (copy / "allwin_toy" / "task.py").open("a") as file:
        file.write("\nTOUCHED = True\n")
    after = keys_of(copy, monkeypatch)
    assert all(before[name] != after[name] for name in before)


def test_touching_a_helper_changes_the_methods_that_import_it(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = copy / "allwin_toy"
    (plugin / "deep.py").write_text("RATE = 1\n")
    (plugin / "helper.py").write_text("from allwin_toy.deep import RATE\n")
    for name in ("descent", "sample_mean"):
        source = (plugin / f"{name}.py").read_text()
        (plugin / f"{name}.py").write_text(source.replace("import torch\n", "import torch\nimport allwin_toy.helper\n"))
    before = keys_of(copy, monkeypatch)
    (plugin / "deep.py").write_text("RATE = 2\n")
    after = keys_of(copy, monkeypatch)
    assert {name for name in before if before[name] != after[name]} == {"descent", "sample-mean"}


def test_the_place_of_the_files_is_no_part_of_the_key(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = keys_of(copy, monkeypatch)
    there = copy.parent / "elsewhere"
    shutil.copytree(copy, there)
    assert keys_of(there, monkeypatch) == here


def test_every_file_of_a_task_is_part_of_its_source(tmp_path: Path) -> None:
    found = {name for name, _ in keys._files_of("bench.measure.macs")}
    assert found == {"bench", "bench.measure", "bench.measure.macs"}


def test_canonical_text_is_a_fixed_point_of_json() -> None:
    value = {"b": [1, 1.0, True, None], "a": {"ü": 1e-7}}
    assert keys.canonical(value) == '{"a":{"ü":1e-07},"b":[1,1.0,true,null]}'


def test_keys_are_golden() -> None:
    """Whoever changes how keys are made orphans every record: then this fails, and is changed on purpose."""
    parts = {"task": "toy", "seed": "0"}
    # printf '{"seed":"0","task":"toy"}' | sha256sum
    assert keys.key_of(parts) == "3a8a21250a7ed4339f16947c42380129d7e882e74ea8a251f621531b0f905f71"


def test_hardware_is_in_the_keys_of_what_only_measures_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(hardware: str, *stages: str) -> str:
        monkeypatch.setattr(keys.provenance, "hardware", lambda device: hardware)
        grid = [{"task": "toy", "methods": ["sample-mean"]}]
        suite = {"title": "t", "budget": "smoke", "seeds": 1, "stages": list(stages), "grid": grid}
        return expand(parse_suite(suite, "x", "x"), registry.load())[0].key

    assert key("here", "profile") != key("there", "profile")
    whole = ("fit", "evaluate", "profile")
    assert key("here", *whole) == key("there", *whole)
