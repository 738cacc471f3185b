"""Records are written whole or not at all, never lost, never changed; tables can be made again."""

import json
import multiprocessing
import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import UserError
from bench.grid import expand
from bench.keys import key_of, spec_parts
from bench.record import Record
from bench.record_file import checksum, faults, read_record
from bench.registry import load
from bench.runner import Options, run
from bench.store import Store, frame_of
from bench.suite import parse_suite

SUITE = {
    "title": "t",
    "budget": "smoke",
    "stages": ["fit", "evaluate"],
    "seeds": 2,
    "grid": [{"task": "toy", "methods": ["sample-mean", "raises"]}],
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.open(tmp_path_factory.mktemp("filled"), create=True)
    run(expand(parse_suite(SUITE, "t", "t"), load()), store, "t", Options(engine="inline"))
    return store


@pytest.fixture
def record(filled: Store) -> Record:
    return next(record for record in filled.records() if record.status == "ok" and record.spec.seed == 0)


def test_a_record_read_back_is_the_record_written(tmp_path: Path, record: Record) -> None:
    path = Store.open(tmp_path, create=True).add(record)
    assert read_record(path) == record
    assert faults(path) == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"value": ', '"value": 1', "checksum does not fit"),
        ('"seed": 0', '"seed": 5', "parts do not fit its spec"),
        ('"task source": "', '"task source": "x', "key is not the hash of its parts"),
        ('"key": "', '"key": "../', "key: String should match"),
        ('"attempt": ', '"attempt": 7', "its name is not"),
        ("{", "[", "not a record"),
    ],
)
def test_what_was_changed_after_writing_is_found(
    tmp_path: Path, record: Record, before: str, after: str, words: str
) -> None:
    path = Store.open(tmp_path, create=True).add(record)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    assert any(words in fault for fault in faults(path)), faults(path)


def test_a_second_record_of_a_key_is_a_second_attempt(tmp_path: Path, record: Record) -> None:
    store = Store.open(tmp_path, create=True)
    first, second = store.add(record), store.add(record)
    assert first != second
    assert first.exists()
    assert [r.attempt for r in store.records()] == [2]
    assert len(store.frame()) == 1


def test_the_frame_made_from_files_is_the_one_made_from_records(filled: Store) -> None:
    filled.path.joinpath("frame.parquet").unlink(missing_ok=True)
    cold, warm = filled.frame(), filled.frame()
    fresh = frame_of(filled.records()).sort_values(["task", "dataset", "method", "seed", "key"], ignore_index=True)
    columns = [name for name in fresh.columns if name != "path"]
    assert cold.equals(warm)
    pd.testing.assert_frame_equal(fresh[columns], cold[columns], check_like=True)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": 3}', b"\xff\xfe", b"null"])
def test_a_half_written_record_is_set_aside_and_its_place_is_free(
    tmp_path: Path, record: Record, content: bytes
) -> None:
    store = Store.open(tmp_path, create=True)
    path = store.add(record)
    path.write_bytes(content)
    assert len(store.frame()) == 0
    assert list(store.records()) == []
    assert [kept.read_bytes() for kept in (tmp_path / "set-aside").iterdir()] == [content]
    assert store.add(record) == path


def test_a_spoilt_table_is_made_again(tmp_path: Path, record: Record) -> None:
    store = Store.open(tmp_path, create=True)
    store.add(record)
    before = store.frame()
    (tmp_path / "frame.parquet").write_bytes(b"no parquet")
    assert store.frame().equals(before)


def test_a_record_removed_from_the_store_leaves_the_table(tmp_path: Path, record: Record) -> None:
    store = Store.open(tmp_path, create=True)
    path = store.add(record)
    assert len(store.frame()) == 1
    path.unlink()
    assert len(store.frame()) == 0


def test_a_record_of_a_later_schema_asks_for_an_update(tmp_path: Path, record: Record) -> None:
    path = Store.open(tmp_path, create=True).add(record)
    content = json.loads(path.read_text()) | {"schema_version": 99, "of the future": [1]}
    path.write_text(json.dumps(content | {"checksum": checksum(content)}))
    with pytest.raises(UserError, match="schema 99 is newer than this allwin; update allwin"):
        read_record(path)


@pytest.mark.parametrize("make", [lambda p: p.write_text(""), lambda p: None])
def test_a_store_that_is_none_says_how_to_make_one(tmp_path: Path, make: object) -> None:
    place = tmp_path / "place"
    make(place)  # type: ignore[operator]
    with pytest.raises(UserError, match="--store"):
        Store.open(place)


def _write_many(path: Path, content: str, number: int) -> None:
    store, record = Store(path), Record.model_validate_json(content)
    for _ in range(number):
        store.add(record)


def test_writers_at_once_lose_nothing(tmp_path: Path, record: Record) -> None:
    Store.open(tmp_path, create=True)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(tmp_path, record.model_dump_json(), 20)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    names = sorted(int(path.stem.rpartition("-")[2]) for path in Store(tmp_path).files())
    assert names == list(range(1, 41))


def test_a_claim_is_held_by_one(tmp_path: Path) -> None:
    store = Store.open(tmp_path, create=True)
    claim = store.claim("a")
    assert claim is not None
    pid = os.fork()
    if not pid:
        os._exit(0 if Store(tmp_path).claim("a") is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    store.release("a", claim)
    assert not list((tmp_path / "claims").iterdir())
    assert store.claim("a") is not None


def test_a_disk_that_fills_up_leaves_no_half_record(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = Store.open(tmp_path, create=True)
    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        store.add(record)
    assert [path for path in (tmp_path / "records").rglob("*") if path.is_file()] == []


junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda i: st.lists(i) | st.dictionaries(st.text(), i)
)


@given(st.sampled_from(["spec", "provenance", "metrics", "failure", "costs", "status", "key"]), junk)
@settings(max_examples=200, deadline=None)
def test_whatever_a_record_file_holds_is_a_record_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, filled: Store, field: str, value: object
) -> None:
    content = json.loads(filled.files()[0].read_text()) | {field: value}
    path = tmp_path_factory.mktemp("junk") / "x-1.json"
    path.write_text(json.dumps(content))
    try:
        assert isinstance(read_record(path), Record)
    except UserError as error:
        assert "\n" not in str(error)


def test_a_failure_has_a_cause_and_no_metrics(filled: Store) -> None:
    failed = [record for record in filled.records() if record.status == "failed"]
    assert len(failed) == 2
    for record in failed:
        assert record.failure is not None
        assert (record.failure.cause, record.failure.stage) == ("error", "fit")
        assert record.failure.message == "RuntimeError: the paper forgot <b>a term</b>"
        assert "raises.py" in record.failure.traceback
        assert 'File "/' not in record.failure.traceback
        assert not record.metrics


def test_the_parts_of_a_record_hash_to_its_key(record: Record) -> None:
    assert key_of(record.parts) == record.key
    assert spec_parts(record.spec).items() <= record.parts.items()


def test_a_run_on_a_full_disk_ends_in_one_line_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path, create=True)
    link, written = os.link, []

    def full_after_one(source: Path, target: Path) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(target)
        link(source, target)

    monkeypatch.setattr(os, "link", full_after_one)
    cells = expand(parse_suite(SUITE, "t", "t"), load())
    with pytest.raises(UserError, match="cannot be written \\(No space left on device\\)"):
        run(cells, store, "t", Options(engine="inline"))
    assert store.files() == written
    assert not list((tmp_path / "claims").iterdir())
    monkeypatch.undo()
    progress = run(cells, store, "t", Options(engine="inline"))
    assert (progress.reused, progress.ok + progress.failed) == (1, 3)
