"""Records of other times: the first that were written stay readable, and those of a later allwin are left alone."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from record_factory import record

from bench.errors import UserError
from bench.keys import key_of, spec_parts
from bench.record import SCHEMA, Record
from bench.record_file import checksum, faults, file_name, read_record
from bench.store import Store

GOLDEN = Path(__file__).parent / "golden" / "record-schema-1.json"
"""A record, byte for byte as schema 1 was first written. Never to be made anew."""


def put(store: Store, content: dict[str, Any]) -> Path:
    """Writes a record's JSON as a writer of its schema would."""
    content = content | {"checksum": checksum(content)}
    path = store.path / "records" / content["key"][:2] / file_name(content["key"], content["attempt"])
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def golden() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(GOLDEN.read_text())
    return content


def test_the_first_records_are_read_verified_and_have_their_row(store: Store, golden: dict[str, Any]) -> None:
    path = store.path / "records" / "05" / "05f707624b2384ff05bf37d75e63be8c284c659ca04891abda564b675fe4e683-1.json"
    path.parent.mkdir()
    path.write_bytes(GOLDEN.read_bytes())
    assert faults(path) == []
    assert read_record(path).schema_version == 1
    assert (read_record(path).iterations, read_record(path).oracle) == (None, False)
    (row,) = store.frame().to_dict("records")
    assert (row["task"], row["dataset"], row["method"], row["seed"]) == ("pu", "mnist5k", "upu", 1)
    assert (row["status"], row["metric.error"], row["metric.recall"]) == ("ok", 41.8, 0.178)
    assert path.read_bytes() == GOLDEN.read_bytes()


LATER_FIELDS = (
    "workload",
    "iterations",
    "oracle",
    "artefacts",
    "seeds",
    "stage_s",
    "claim_level",
    "curves",
    "training",
    "failure",
)
"""Fields with a default: each could have been added after the first records."""


def test_records_that_lack_what_was_added_later_stand_beside_those_that_have_it(
    store: Store, golden: dict[str, Any]
) -> None:
    put(store, golden)
    parts = golden["parts"] | {"seed": "2"}
    bare = {name: value for name, value in golden.items() if name not in LATER_FIELDS}
    bare |= {"parts": parts, "key": key_of(parts), "spec": golden["spec"] | {"seed": 2}}
    path = put(store, bare)
    assert faults(path) == []
    frame = store.frame()
    assert frame["seed"].tolist() == [1, 2]
    assert frame["metric.error"].tolist() == [41.8, 41.8]
    assert frame["training.fit_s"].notna().tolist() == [True, False]
    assert [one.claim_level for one in store.records()] == ["reproduced", "reproduced"]


def test_iterations_and_oracles_are_kept_beside_records_that_lack_them(store: Store, golden: dict[str, Any]) -> None:
    put(store, golden)
    path = store.add(whole(record("descent", iterations=16, oracle=True)))
    assert faults(path) == []
    assert [(one.iterations, one.oracle) for one in (read_record(path), *store.records())].count((16, True)) == 2
    assert sorted('"oracle":true' in account for account in store.frame()["account"]) == [False, True]


@pytest.mark.parametrize("schema", [0, -1, True, "1", 1.5, None, [1]])
def test_a_schema_that_is_no_number_of_ours_is_one_line_and_set_aside(
    store: Store, golden: dict[str, Any], schema: object
) -> None:
    path = put(store, golden | {"schema_version": schema})
    content = path.read_bytes()
    with pytest.raises(UserError, match="schema_version: .*; set it aside"):
        read_record(path)
    assert len(store.frame()) == 0
    assert (store.path / "set-aside" / path.name).read_bytes() == content


def later(one: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """As a later allwin might write it: fields that we do not know, others gone."""
    kept = {name: value for name, value in one.items() if name not in ("costs", "provenance")}
    return kept | {"schema_version": SCHEMA + 1, "prices": [1, 2]} | changes


def test_a_record_of_a_later_schema_stays_where_it_is_and_one_line_says_so(
    store: Store, golden: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = put(store, later(golden))
    content = path.read_bytes()
    other = store.add(record())
    with caplog.at_level(logging.WARNING):
        assert [one.key for one in store.records()] == [read_record(other).key]
        assert store.frame()["key"].tolist() == [read_record(other).key]
    assert [entry.getMessage() for entry in caplog.records] == [
        f"{store.path}: left out, as is all that is like it: {path.name}: schema 2 is newer than this allwin; "
        "update allwin"
    ]
    assert faults(path) == [f"{path.name}: schema 2 is newer than this allwin; update allwin"]
    assert path.read_bytes() == content
    assert not (store.path / "set-aside").exists()


def test_the_latest_attempt_decides_whether_a_key_is_ours_to_read(store: Store, golden: dict[str, Any]) -> None:
    put(store, golden)
    assert store.frame()["key"].tolist() == [golden["key"]]
    assert store.later_schema() == set()
    # An earlier attempt is no longer what stands.
    put(store, later(golden, attempt=2))
    assert list(store.records()) == []
    assert len(store.frame()) == 0
    assert store.later_schema() == {golden["key"]}
    put(store, golden | {"attempt": 3})
    assert [one.attempt for one in store.records()] == [3]
    assert store.frame()["attempt"].tolist() == [3]
    assert store.later_schema() == set()


def test_a_slip_of_a_bit_is_not_taken_for_a_later_schema(store: Store, golden: dict[str, Any]) -> None:
    path = put(store, golden)
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 3'))
    assert list(store.records()) == []
    assert (store.path / "set-aside" / path.name).exists()


def test_a_later_schema_is_not_merged_and_nothing_is_written(
    tmp_path: Path, store: Store, golden: dict[str, Any]
) -> None:
    source = Store.open(tmp_path / "source", create=True)
    put(source, later(golden))
    source.add(Record.model_validate(whole(record()).model_dump()))
    for one, other in ((store, source), (source, store)):
        before = sorted(path.read_bytes() for path in one.files())
        with pytest.raises(UserError, match="schema 2 is newer than this allwin"):
            one.merge(other)
        assert sorted(path.read_bytes() for path in one.files()) == before


def whole(one: Record) -> Record:
    parts = one.parts | spec_parts(one.spec)
    return one.model_copy(update={"parts": parts, "key": key_of(parts)})


def test_a_record_that_was_changed_by_hand_is_not_given_a_new_checksum(
    tmp_path: Path, store: Store, golden: dict[str, Any]
) -> None:
    source = Store.open(tmp_path / "source", create=True)
    path = put(source, golden)
    path.write_text(path.read_text().replace("41.8", "11.8"))
    with pytest.raises(UserError, match="its checksum does not fit its content"):
        store.merge(source)
    assert store.files() == []


@pytest.mark.parametrize("key", ["../../../outside", "a" * 63, "A" * 64, "a" * 64 + "/.."])
def test_a_key_that_would_lead_out_of_the_store_is_no_record(store: Store, golden: dict[str, Any], key: str) -> None:
    path = store.path / "records" / "05" / "x-1.json"
    path.parent.mkdir()
    path.write_text(json.dumps(golden | {"key": key, "checksum": checksum(golden | {"key": key})}))
    with pytest.raises(UserError, match="key: String should match pattern"):
        read_record(path)


@pytest.mark.parametrize("number", [-1, 2**63, 10**30])
def test_a_whole_number_that_no_table_can_hold_is_set_aside(store: Store, golden: dict[str, Any], number: int) -> None:
    put(store, golden | {"spec": golden["spec"] | {"seed": number}})
    put(store, golden | {"attempt": number})
    assert len(store.frame()) == 0
    assert len(list((store.path / "set-aside").iterdir())) == 2
