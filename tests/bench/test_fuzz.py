"""Suites, assignments and settings that nobody would write: each is understood, or refused in one line; no code runs.

With those of `test_fuzz_records.py` these are more than ten thousand inputs.
"""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import registry
from bench.errors import UserError
from bench.grid import Choice, expand, parse_overrides
from bench.keys import key_of, spec_parts
from bench.record import Spec
from bench.suite import parse_suite, read_yaml
from bench.validate import resolve

ROOT = Path(__file__).resolve().parent.parent.parent
REGISTRY = registry.load()
ENTRIES = sorted(REGISTRY.entries(), key=lambda entry: entry.title)
SUITES = [path.read_text() for path in sorted((ROOT / "suites").glob("*.yaml"))]

INPUTS = {"texts": 1_000, "values": 1_200, "assignments": 1_500, "specs": 1_800}
"""By test: how many inputs it tries at least."""


def test_these_are_more_than_half_of_ten_thousand_inputs() -> None:
    assert sum(INPUTS.values()) >= 5_000


def tried(name: str, strategy: st.SearchStrategy[Any], check: Callable[[Any], object]) -> Counter[object]:
    """Checks as many inputs as `INPUTS` says, the same ones each time; returns how often each outcome came."""
    outcomes: Counter[object] = Counter()

    @settings(
        max_examples=INPUTS[name],
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def every(value: Any) -> None:
        outcomes[check(value)] += 1

    every()
    assert outcomes.total() >= INPUTS[name]
    return outcomes


def told_well(error: UserError) -> str:
    """A message of one line, printable, that says what to do."""
    message = str(error)
    assert not any(ord(character) < 32 for character in message), message
    assert len(message.splitlines()) == 1, message
    assert ";" in message or "write it as" in message, message
    return "refused"


# Suites ---------------------------------------------------------------------------------------------------------------

HOSTILE = (
    "!!python/object/apply:os.system ['touch pwned']",
    "!!python/object/new:os.system [touch pwned]",
    "!!python/name:os.system",
    "!!set {a, b}",
    "!!bool maybe",
    "!!timestamp never",
    "!!int ''",
    "!custom {a: 1}",
    "? !!binary aGk=\n: 1",
    "&a [*a]",
    "*nobody",
    "<<: {a: 1}",
    "2026-13-45",
    "99999999999999999999999999",
    "0x" + "f" * 5_000,
    "9" * 5_000,
    "1:" * 200 + "1.5",
    "0b_",
    "1e400",
    ".nan",
    "-.inf",
    "1e-3",
    '"\\ud800"',
    '"\\U00110000"',
    '"\\0\\e[31m"',
    "\x07",
    "\u2028",
    "\ufeff",
    "😀",
    "[" * 5_000,
    "{a: " * 60 + "1" + "}" * 60,
    "? [a]\n: 1",
    "a: 1\na: 2",
    "---\n---\n",
    "%YAML 9.9\n---\n",
    "shrunk(" * 2_000 + "descent" + ")" * 2_000,
    "nnpu(nnpu)",
    "seeds: 1000000000000",
    "[" + "0.1, " * 2_000 + "0.2]",
    "=",
    "~",
    "",
)


@st.composite
def suite_texts(draw: st.DrawFn) -> str:
    """A suite of the tree after a few slips of the hand, or of a vandal."""
    text = draw(st.sampled_from(SUITES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 8)))
        match draw(st.sampled_from(["delete", "double", "insert", "replace a value", "swap lines"])):
            case "delete":
                text = text[:start] + text[end:]
            case "double":
                text = text[:end] + text[start:end] + text[end:]
            case "insert":
                text = text[:start] + draw(st.sampled_from(HOSTILE) | st.text(max_size=5)) + text[start:]
            case "replace a value":
                lines = text.splitlines() or [""]
                number = draw(st.integers(0, len(lines) - 1))
                lines[number] = lines[number].split(":")[0] + ": " + draw(st.sampled_from(HOSTILE))
                text = "\n".join(lines)
            case "swap lines":
                lines = text.splitlines() or [""]
                one, two = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
                lines[one], lines[two] = lines[two], lines[one]
                text = "\n".join(lines)
    return text


def expanded(path: Path) -> str:
    try:
        cells = expand(parse_suite(read_yaml(path), path.stem, path.name), REGISTRY)
    except UserError as error:
        return told_well(error)
    assert cells
    assert len({cell.key for cell in cells}) == len(cells)
    for cell in cells[:3]:
        assert key_of(cell.parts) == cell.key
        assert same_from_json(cell.spec)
    return "understood"


def same_from_json(spec: Spec) -> bool:
    again = Spec.model_validate_json(spec.model_dump_json(), strict=True)
    return again == spec and key_of(spec_parts(again)) == key_of(spec_parts(spec))


def test_a_suite_with_slips_gives_cells_or_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "grid.yaml"

    def check(text: str) -> str:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return expanded(path)

    outcomes = tried("texts", suite_texts(), check)
    # Neither is rare: else this would test little.
    assert min(outcomes["understood"], outcomes["refused"]) >= 100, outcomes
    assert [found.name for found in tmp_path.iterdir()] == ["grid.yaml"]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:30])
@pytest.mark.parametrize(
    "place",
    [
        "%s",
        "{title: %s\n}",
        "{title: t, budget: smoke, grid: [{task: toy}], seeds: %s\n}",
        "{title: t, budget: smoke, grid: [{task: toy, methods: [{descent: {lr: %s\n}}]}]}",
    ],
)
def test_a_hostile_value_runs_nothing_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "grid.yaml"
    path.write_text(place % text)
    expanded(path)
    assert [found.name for found in tmp_path.iterdir()] == ["grid.yaml"]


@pytest.mark.parametrize("shape", ["[*x{0}, *x{0}]", "{{a: *x{0}, b: *x{0}}}"])
def test_aliases_that_multiply_are_refused_before_they_do(tmp_path: Path, shape: str) -> None:
    lines = ["x0: &x0 [1]"] + [f"x{n}: &x{n} {shape.format(n - 1)}" for n in range(1, 60)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(UserError, match="more than 100,000 values, aliases counted in full"):
        read_yaml(tmp_path / "bomb.yaml")


def test_aliases_that_share_a_block_are_welcome(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("title: t\nbudget: smoke\nseeds: &s [0, 3]\ngrid: [{task: toy, methods: [{descent: {steps: *s}}]}]")
    with pytest.raises(UserError, match="steps must be above 0, got 0"):
        expand(parse_suite(read_yaml(path), "grid", "grid.yaml"), REGISTRY)
    path.write_text(path.read_text().replace("[0, 3]", "[2, 3]"))
    assert len(expand(parse_suite(read_yaml(path), "grid", "grid.yaml"), REGISTRY)) == 2 * 2


def test_methods_wrapped_without_end_are_refused_in_one_line() -> None:
    for depth, words in ((3, ""), (2_000, "wraps more than 8 methods; wrap fewer")):
        method = "shrunk(" * depth + "descent" + ")" * depth
        content = suite_document() | {"grid": [{"task": "toy", "methods": [method]}]}
        try:
            assert len(expand(parse_suite(content, "mine", "mine.yaml"), REGISTRY)) == 2
        except UserError as error:
            assert words
            assert words in str(error)


@pytest.mark.parametrize("seeds", [0, -1, 10**12, 10**30, [], [0, 0], [-1], [2**63]])
def test_seeds_that_no_grid_could_have_are_refused_before_they_are_counted(seeds: object) -> None:
    with pytest.raises(UserError, match="seeds must be a number above 0 and at most 100,000, or a list of different"):
        parse_suite(suite_document() | {"seeds": seeds}, "mine", "mine.yaml")


def test_a_sweep_that_would_take_for_ever_is_refused_at_once(tmp_path: Path) -> None:
    values = list(range(1, 1001))
    block = {"task": "toy", "methods": [{"descent": {"steps": values, "lr": values, "momentum": values}}]}
    suite = parse_suite({"title": "t", "budget": "smoke", "grid": [block]}, "mine", "mine.yaml")
    with pytest.raises(UserError, match="mine has more than 100,000 cells; sweep over fewer values"):
        expand(suite, REGISTRY)


def _hashes(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


wild_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["toy", "pu", "descent", "nnpu", "smoke", "fit", "1e-3", "a" * 300, "é\u202e"])
)
wild = st.recursive(
    wild_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(wild_scalars.filter(_hashes), inner, max_size=3),
    max_leaves=12,
)


def suite_document() -> dict[str, Any]:
    block = {"task": "toy", "datasets": ["normal"], "settings": {"spread": 2.0}, "methods": [{"descent": {"lr": 0.1}}]}
    return {"title": "t", "budget": "smoke", "seeds": [0, 1], "stages": ["fit", "evaluate"], "grid": [block]}


PLACES = (
    (),
    ("title",),
    ("budget",),
    ("seeds",),
    ("seeds", 0),
    ("stages",),
    ("stages", 0),
    ("grid",),
    ("grid", 0),
    ("grid", 0, "task"),
    ("grid", 0, "datasets"),
    ("grid", 0, "datasets", 0),
    ("grid", 0, "settings"),
    ("grid", 0, "settings", "spread"),
    ("grid", 0, "methods"),
    ("grid", 0, "methods", 0),
    ("grid", 0, "methods", 0, "descent"),
    ("grid", 0, "methods", 0, "descent", "lr"),
    ("grid", 0, "methods", 0, "descent", "loss"),
    ("name",),
)


def replaced(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    home = document
    for step in place[:-1]:
        home = home[step]
    home[place[-1]] = value
    return document


def test_any_value_at_any_place_of_a_suite_gives_cells_or_one_line(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"

    def check(drawn: tuple[tuple[Any, ...], Any]) -> str:
        text = yaml.safe_dump(replaced(suite_document(), *drawn), allow_unicode=True)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return expanded(path)

    outcomes = tried("values", st.tuples(st.sampled_from(PLACES), wild), check)
    assert min(outcomes["understood"], outcomes["refused"]) >= 50, outcomes


# The command line's values, and specs ---------------------------------------------------------------------------------


def test_any_assignment_is_a_value_or_one_line() -> None:
    targets = st.sampled_from(["descent.lr", "descent.steps", "toy/descent.loss", "toy.spread", "nnpu.beta", "..", ""])
    texts = st.sampled_from(HOSTILE) | st.text(max_size=12) | wild.map(lambda value: yaml.safe_dump(value))
    sensible = st.integers(0, 9).map(str) | st.floats(0, 2).map(str) | st.sampled_from(["square", "[1, 2]", "1e-3"])
    suite = parse_suite(suite_document(), "mine", "mine.yaml")

    def check(drawn: tuple[str, str]) -> str:
        target, text = drawn
        try:
            cells = expand(suite, REGISTRY, Choice(overrides=parse_overrides([f"{target}={text}"])))
        except UserError as error:
            return told_well(error)
        assert all(same_from_json(cell.spec) for cell in cells)
        return "understood"

    outcomes = tried("assignments", st.tuples(targets | st.text(max_size=6), sensible | texts), check)
    assert min(outcomes["understood"], outcomes["refused"]) >= 50, outcomes


@pytest.mark.parametrize("text", ["1e-3", "1E-3", ".1e-2", "1.e-3", "0.001"])
def test_a_number_may_be_written_in_powers_of_ten(text: str) -> None:
    assert parse_overrides([f"descent.lr={text}"]) == {"descent": {"lr": 0.001}}


@st.composite
def settings_of_an_entry(draw: st.DrawFn) -> tuple[registry.Entry, dict[str, Any]]:
    entry = draw(st.sampled_from([entry for entry in ENTRIES if entry.settings]))
    names = [setting.name for setting in entry.settings]
    likely = st.floats(0, 1) | st.integers(0, 50) | st.sampled_from([setting.default for setting in entry.settings])
    return entry, draw(st.dictionaries(st.sampled_from(names), likely | wild, min_size=1, max_size=2))


def test_any_settings_of_any_method_or_task_make_a_spec_that_json_keeps_or_one_line() -> None:
    def check(drawn: tuple[registry.Entry, dict[str, Any]]) -> str:
        entry, given_ = drawn
        try:
            resolved = resolve(entry, "small", given_)
        except UserError as error:
            return told_well(error)
        spec = Spec(
            task=entry.task, settings={}, dataset="d", method=entry.name, parameters=resolved, budget="small", seed=0
        )
        assert same_from_json(spec)
        return "understood"

    outcomes = tried("specs", settings_of_an_entry(), check)
    assert min(outcomes["understood"], outcomes["refused"]) >= 200, outcomes
