"""From a suite to its cells."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import registry
from bench.errors import UserError
from bench.grid import Choice, cell_of, expand, parse_overrides
from bench.keys import canonical
from bench.record import Spec
from bench.suite import Suite, parse_suite

REGISTRY = registry.load()


def suite(**words: Any) -> Suite:
    return parse_suite({"title": "t", "budget": "smoke", "grid": [{"task": "toy"}]} | words, "mine", "mine.yaml")


def test_a_grid_is_the_product_of_methods_sweeps_data_sets_and_seeds() -> None:
    block = {
        "task": "toy",
        "datasets": ["normal", "absent"],
        "methods": ["sample-mean", {"descent": {"lr": [0.1, 0.2, 0.3]}}],
    }
    cells = expand(suite(grid=[block], seeds=[0, 7]), REGISTRY)
    assert len(cells) == (1 + 3) * 2 * 2
    assert len({cell.key for cell in cells}) == len(cells)


def test_settings_come_from_default_then_preset_then_suite_then_command_line() -> None:
    grid = [{"task": "toy", "settings": {"spread": 2}, "methods": [{"descent": {"lr": 0.5, "momentum": 0.1}}]}]
    choice = Choice(overrides=parse_overrides(["descent.momentum=0.9", "toy.spread=4"]))
    (cell, *_) = expand(suite(grid=grid), REGISTRY, choice)
    expected = {"steps": 20, "lr": 0.5, "momentum": 0.9, "loss": "square", "pause_s": 0.0}
    assert cell.spec.parameters == expected
    assert cell.spec.settings == {"draws": 10, "spread": 4.0}


def test_cells_of_one_problem_stand_together() -> None:
    cells = expand(suite(grid=[{"task": "toy", "methods": ["sample-mean", "descent"]}]), REGISTRY)
    assert [(cell.spec.seed, cell.spec.method) for cell in cells] == [
        (seed, method) for seed in range(3) for method in ("sample-mean", "descent")
    ]


def test_a_wrapper_carries_the_parameters_of_what_it_wraps() -> None:
    grid = [{"task": "toy", "methods": [{"shrunk(descent)": {"factor": 0.25}}]}]
    (cell, *_) = expand(suite(grid=grid), REGISTRY, Choice(overrides={"descent": {"steps": 3}}))
    assert cell.spec.parameters["factor"] == 0.25
    assert cell.spec.parameters["base"]["steps"] == 3


def test_a_cell_is_an_oracles_where_its_method_or_one_that_it_wraps_is() -> None:
    known = registry.load()
    known.methods["toy"]["descent"] = replace(known.methods["toy"]["descent"], oracle=True)
    grid = [{"task": "toy", "methods": ["descent", "shrunk(descent)", "sample-mean", "shrunk(sample-mean)"]}]
    cells = expand(suite(grid=grid, seeds=1), known)
    assert [cell.oracle for cell in cells] == [True, True, False, False]
    assert [cell_of(cell.spec, known).oracle for cell in cells] == [True, True, False, False]
    # It is no part of the key: what a method is allowed to know is in its source.
    assert [cell.key for cell in cells] == [cell.key for cell in expand(suite(grid=grid, seeds=1), REGISTRY)]


def test_a_data_set_that_is_not_here_is_skipped_before_anything_loads() -> None:
    (cell, *_) = expand(suite(grid=[{"task": "toy", "datasets": ["absent"], "methods": ["descent"]}]), REGISTRY)
    assert cell.skip is not None
    assert cell.skip[0] == "missing-data"


def test_a_suite_that_only_profiles_skips_methods_that_cannot_be_built() -> None:
    cells = expand(
        suite(stages=["profile"], seeds=1, grid=[{"task": "toy", "methods": ["sample-mean", "descent"]}]), REGISTRY
    )
    assert [cell.skip and cell.skip[0] for cell in cells] == [None, "unsupported"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": "smal"}, "budget: unknown word: smal; did you mean small"),
        ({"seed": 3}, "seed: unknown key: seed; did you mean seeds"),
        ({"seeds": 0}, "seeds: .*above 0"),
        ({"grid": []}, "grid: .*at least 1"),
        ({"grid": [{"task": "toy", "method": []}]}, "unknown key: method; did you mean methods"),
        ({"grid": [{"task": "toyy"}]}, "unknown task: toyy; did you mean toy"),
        ({"grid": [{"task": "toy", "methods": ["descnt"]}]}, "unknown method of toy: descnt; did you mean descent"),
        ({"grid": [{"task": "toy", "datasets": ["norml"]}]}, "unknown data set of toy: norml; did you mean normal"),
        (
            {"grid": [{"task": "toy", "methods": [{"descent": {"lr": -1}}]}]},
            "lr must be above 0.0, got -1; set it with",
        ),
        (
            {"grid": [{"task": "toy", "methods": [{"descent": {"lrr": 1}}]}]},
            "unknown setting of toy/descent: lrr; did you mean lr",
        ),
        (
            {"grid": [{"task": "toy", "methods": [{"descent": {"loss": "cube"}}]}]},
            "loss must be 'square' or 'absolute'",
        ),
        (
            {"grid": [{"task": "toy", "methods": [{"descent": {"steps": "3"}}]}]},
            "steps must be a whole number, got '3'",
        ),
        (
            {"grid": [{"task": "toy", "methods": [{"descent": {"steps": True}}]}]},
            "steps must be a whole number, got True",
        ),
        ({"grid": [{"task": "toy", "methods": ["shrunk"]}]}, r"write shrunk\(METHOD\)"),
        ({"grid": [{"task": "toy", "methods": ["descent(shrunk)"]}]}, "wraps no other method"),
        ({"stages": ["evaluate"]}, "evaluate needs fit"),
    ],
)
def test_a_wrong_suite_is_one_line_that_names_the_mend(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        expand(suite(**change), REGISTRY)
    assert "\n" not in str(caught.value)


def test_an_override_that_no_cell_uses_is_an_error() -> None:
    with pytest.raises(UserError, match="no cell of mine uses swells"):
        expand(suite(grid=[{"task": "toy", "methods": ["descent"]}]), REGISTRY, Choice(overrides={"swells": {"x": 1}}))


@pytest.mark.parametrize("text", ["beta=1", "nnpu.beta", ".beta=1", "nnpu.=1", "a.b=[1"])
def test_a_malformed_override_shows_how_to_write_it(text: str) -> None:
    with pytest.raises(UserError, match="--set"):
        parse_overrides([text])


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), plain, max_size=4))
def test_a_spec_read_back_from_its_json_is_the_same_to_the_letter(parameters: dict[str, Any]) -> None:
    spec = Spec(task="t", settings={}, dataset="d", method="m", parameters=parameters, budget="smoke", seed=1)
    again = Spec.model_validate_json(spec.model_dump_json())
    assert canonical(again.model_dump()) == canonical(spec.model_dump())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda i: st.lists(i) | st.dictionaries(st.text(), i)
    )
)
def test_whatever_a_suite_file_holds_gives_cells_or_one_line(content: Any) -> None:
    try:
        expand(parse_suite(content, "x", "x.yaml"), REGISTRY)
    except UserError as error:
        assert "\n" not in str(error)
