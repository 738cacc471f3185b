"""`allwin doctor` finds what is wrong with a machine, and says how to mend it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from allwin.commands import doctor
from allwin.commands.doctor import Finding


def test_doctor_looks_at_everything_and_imports_nothing_heavy_itself(imports_told: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", imports_told, "--data", str(tmp_path), "doctor", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    *printed, imported = done.stdout.splitlines()
    document = json.loads("\n".join(printed))
    found = {item["name"]: item for item in document["findings"]}
    assert (done.returncode, document["ok"], imported) == (0, True, "imported: []")
    wanted = {"python", "packages", "cores", "torch", "device", "energy of cpu", "ray", "git", "data root", "store"}
    assert wanted <= set(found)
    assert found["torch"]["found"].startswith("2.")
    assert found["data root"]["found"] == str(tmp_path)
    energy = found["energy of cpu"]
    assert energy["state"] == "ok" or energy["found"].startswith("not measured: ")


@pytest.fixture
def quick_doctor(call: Callable, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, dict[str, Finding], str]]:
    """The doctor with probes that import nothing: those are looked at above."""

    def start(name: str) -> "subprocess.Popen[str]":
        told = '{"version": "1", "threads": 1, "devices": {}, "energy": {"cpu": "no counter"}}'
        words = [sys.executable, "-c", f"print({told!r})"]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    monkeypatch.setattr(doctor, "_start_probe", start)

    def ask(*words: str) -> tuple[int, dict[str, Finding], str]:
        answer = call("doctor", "--json", *words)
        return answer.code, {item["name"]: Finding(**item) for item in json.loads(answer.out)["findings"]}, answer.err

    return ask


def test_a_data_root_that_does_not_exist_is_found(quick_doctor: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLWIN_DATA", "nowhere-at-all")
    code, found, _ = quick_doctor()
    assert (code, found["data root"].state) == (1, "failed")
    assert found["data root"].mend == "set or unset ALLWIN_DATA"


def test_a_store_that_cannot_be_written_is_found(quick_doctor: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, found, _ = quick_doctor("--store", "file/store")
    assert (code, found["store"].state) == (1, "failed")
    assert found["store"].mend == "name a folder that you may write in with --store"
    assert not (tmp_path / "file" / "store").exists()


def test_a_store_is_not_made_by_looking(quick_doctor: Callable, tmp_path: Path) -> None:
    code, found, _ = quick_doctor("--store", "deep/er")
    assert (code, found["store"].found) == (0, "deep/er: none yet, can be made")
    assert not (tmp_path / "deep").exists()


def test_a_broken_plug_in_is_found_by_name(quick_doctor: Callable, plug_in: Callable) -> None:
    plug_in({"half": "@method('toy'\nclass Half:"}, "[allwin.methods]\nhalf = plugged.half\n")
    code, found, _ = quick_doctor()
    assert (code, found["registry: plugged/half"].state) == (1, "failed")
    assert found["registry: plugged/half"].mend.endswith("half.py")


def test_more_threads_than_cores_are_noted(quick_doctor: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    code, found, _ = quick_doctor()
    assert (code, found["cores"].state) == (0, "note")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise ImportError('libnothing.so is missing')", "cannot be used: ImportError: libnothing.so is missing"),
        ("import os; os.abort()", "cannot be used: ended with code -6"),
        ("import time; time.sleep(60)", "cannot be used: gave no answer in 1 s"),
    ],
)
def test_a_library_that_breaks_on_import_takes_nothing_down(
    code: str, told: str, call: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PROBE_LIMIT_S", 1.0)
    monkeypatch.setattr(doctor, "_start_probe", lambda name: _process(code))
    answer = call("doctor", "--json")
    found = {item["name"]: item for item in json.loads(answer.out)["findings"]}
    assert answer.code == 1
    assert [found[name]["found"] for name in ("torch", "ray")] == [told, told]
    assert found["registry"]["state"] == "ok"


def _process(code: str) -> "subprocess.Popen[str]":
    # A core file of the one that aborts would stay behind.
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); {code}"
    return subprocess.Popen([sys.executable, "-c", limited], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def requirements() -> Iterator[str]:
        yield "click>=8.1,<9"
        yield "no-such-package[extra]>=1"

    monkeypatch.setattr(doctor, "_requirements", requirements)
    finding = doctor._packages()
    assert (finding.state, finding.found) == ("failed", "not installed: no-such-package")


def test_the_requirements_are_those_of_the_project() -> None:
    # Installed metadata put the upper bound first, the project's own file the lower.
    names = {re.split(r"[\[<>=]", text)[0] for text in doctor._requirements()}
    assert {"torch", "ray", "click", "pydantic"} <= names
