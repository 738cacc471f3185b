"""Record files that no writer made, and records that no method made: the good ones stand, nothing is lost or raised.

With those of `test_fuzz.py` these are more than ten thousand inputs.
"""

import json
import random
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from record_factory import cost, curve, failed, percent, profile, record, skipped

from bench.errors import UserError
from bench.keys import canonical, key_of, spec_parts
from bench.record import Curve, Failure, Measurement, MetricValue, Record, finite_or_none
from bench.record_file import faults
from bench.store import Store
from reports.build import write_report

ROOT = Path(__file__).resolve().parent.parent.parent


def good_files(folder: Path) -> list[bytes]:
    """One real record of each published suite, a failed one and a skipped one, as a store writes them."""
    found = [next((ROOT / "results" / name / "records").rglob("*.json")) for name in ("self-pu", "open-l2o")]
    store = Store.open(folder, create=True)
    made = [store.add(whole(failed(message="it <b>broke</b>"))), store.add(whole(skipped()))]
    return [path.read_bytes() for path in (*found, *made)]


def whole(one: Record) -> Record:
    """With parts that fit its spec, and the key that they have."""
    parts = one.parts | spec_parts(one.spec)
    return one.model_copy(update={"parts": parts, "key": key_of(parts)})


JUNK = (
    None,
    True,
    0,
    -1,
    10**30,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "../../../tmp/x",
    "<script>alert(1)</script>",
    "\ud800",
    "\0",
    [],
    {},
    {"value": 1},
    [[[[[[]]]]]],
    json.loads("[" * 150 + "]" * 150),
    "1",
    1.5,
)


def spoilt(content: bytes, random_: random.Random) -> bytes:
    """A record's bytes after an accident, or in a vandal's hands."""
    position = random_.randrange(len(content))
    match random_.choice(["cut", "flip", "several flips", "foreign", "value", "value", "value", "drop", "add"]):
        case "cut":
            return content[:position]
        case "flip":
            return content[:position] + bytes([content[position] ^ 1 << random_.randrange(8)]) + content[position + 1 :]
        case "several flips":
            changed = bytearray(content)
            for _ in range(20):
                changed[random_.randrange(len(changed))] = random_.randrange(256)
            return bytes(changed)
        case "foreign":
            return random_.choice(
                [
                    b"",
                    b"null",
                    b"[]",
                    b"{}",
                    b"\x80\x04K\x01.",
                    b"PAR1",
                    b"[" * 5_000,
                    b'{"a":' * 5_000,
                    b"NaN",
                    b"\xff",
                ]
            )
        case kind:
            document = json.loads(content)
            home: Any = document
            while True:
                name = random_.choice(list(home) if isinstance(home, dict) else range(len(home)))
                if not (isinstance(home[name], (dict, list)) and home[name] and random_.random() < 0.7):
                    break
                home = home[name]
            if kind == "drop":
                del home[name]
            elif kind == "value" or isinstance(home, list):
                home[name] = random_.choice(JUNK)
            else:
                home[f"{name} too"] = random_.choice(JUNK)
            return json.dumps(document, indent=1).encode()


def meaning(data: bytes) -> str | None:
    """The one JSON text of what a file says; None if it says nothing."""
    try:
        return canonical(json.loads(data))
    except (ValueError, RecursionError):
        return None


STORES, FILES_OF_A_STORE = 12, 400


def every_file(store: Store) -> Counter[bytes]:
    """What lies in a store as a record or set aside, byte for byte."""
    places = (*store.files(), *(store.path / "set-aside").glob("*"))
    return Counter(path.read_bytes() for path in places)


@pytest.mark.parametrize("number", range(STORES))
def test_spoilt_records_among_good_ones_lose_nothing(tmp_path: Path, number: int) -> None:
    random_ = random.Random(number)
    originals = good_files(tmp_path / "made")
    store = Store.open(tmp_path / "store", create=True)
    good: dict[str, bytes] = {}
    for content in originals:
        document = json.loads(content)
        path = store.path / "records" / document["key"][:2] / f"{document['key']}-1.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        good[document["key"]] = content
    for count in range(FILES_OF_A_STORE):
        original = random_.choice(originals)
        changed = spoilt(original, random_)
        key = json.loads(original)["key"]
        # In one of three, the name is that of a later attempt of a good record; else the name of what the file holds.
        own = random_.randbytes(32).hex()
        name = f"{key}-{count + 2}" if count % 3 == 0 else f"{own}-1"
        path = store.path / "records" / name[:2] / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(changed if count % 3 == 0 else changed.replace(key.encode(), own.encode()))
        found = faults(path)
        assert found, changed
        assert all(len(fault.splitlines()) == 1 for fault in found)
        in_place = tmp_path / f"{key}-1.json"
        in_place.write_bytes(changed)
        # In its original's place the name is right: only the checksum can tell, and only if the meaning changed.
        assert bool(faults(in_place)) == (meaning(changed) != meaning(original)), changed
    before = every_file(store)
    target = Store.open(tmp_path / "target", create=True)
    with pytest.raises(UserError) as refused:
        target.merge(store)
    assert len(str(refused.value).splitlines()) == 1
    assert target.files() == []
    # Whichever of the two looks first finds the same.
    looks = [lambda: {one.key for one in store.records()}, lambda: set(store.frame()["key"])]
    first, second = (look() for look in looks[:: 1 if number % 2 else -1])
    assert first == second
    assert set(good) <= first
    assert every_file(store) == before
    in_place = {path.name: path.read_bytes() for path in store.files()}
    assert set(in_place) == {f"{key}-1.json" for key in first}
    # Some changes leave a record of another key; most do not.
    assert 0 < len(first - set(good)) < FILES_OF_A_STORE / 2
    assert {in_place[f"{key}-1.json"] for key in good} == set(good.values())


@pytest.mark.parametrize(
    "name",
    [
        "x.json",
        "-1.json",
        f"{'a' * 64}-².json",
        f"{'a' * 64}-٣.json",
        f"{'a' * 64}-999999999999999999999.json",
        "-.json",
    ],
)
def test_a_file_with_a_strange_name_is_set_aside_and_hides_nothing(tmp_path: Path, name: str) -> None:
    store = Store.open(tmp_path, create=True)
    store.add(whole(record()))
    strange = store.path / "records" / "aa" / name
    strange.parent.mkdir(exist_ok=True)
    strange.write_bytes(store.files()[0].read_bytes())
    assert len(list(store.records())) == 1
    assert len(store.frame()) == 1
    assert [kept.name for kept in (tmp_path / "set-aside").iterdir()] == [name]


def test_a_folder_and_a_broken_link_among_the_records_are_passed_over(tmp_path: Path) -> None:
    store = Store.open(tmp_path, create=True)
    shard = store.add(whole(record())).parent
    (shard / f"{'a' * 64}-1.json").mkdir()
    (shard / f"{'b' * 64}-1.json").symlink_to(tmp_path / "nowhere")
    assert len(store.frame()) == len(list(store.records())) == len(store.files()) == 1


def test_a_file_that_goes_while_others_are_read_is_passed_over(tmp_path: Path) -> None:
    store = Store.open(tmp_path, create=True)
    for seed in range(3):
        store.add(whole(record(seed=seed)))
    reading = store.records()
    kept = next(reading).key
    for path in store.files():
        if kept not in path.name:
            path.unlink()
    assert list(reading) == []
    assert not (tmp_path / "set-aside").exists()


@pytest.mark.parametrize("value", [1e151, -1e151, float("inf"), float("nan")])
def test_a_figure_whose_square_is_no_number_is_none(value: float) -> None:
    assert finite_or_none(value) is None
    for make in (
        lambda: percent(value),
        lambda: cost(value, "s"),
        lambda: curve([value]),
        lambda: Curve(x=[value], y=[0], x_name="x", origin="fit"),
    ):
        with pytest.raises(ValidationError):
            make()
    assert finite_or_none(1e150) == percent(1e150).value == 1e150


def test_files_set_aside_never_take_one_anothers_place(tmp_path: Path) -> None:
    store = Store.open(tmp_path, create=True)
    for content in (b"first", b"second", b"third"):
        store.add(whole(record())).write_bytes(content)
        assert list(store.records()) == []
    assert sorted(kept.read_bytes() for kept in (tmp_path / "set-aside").iterdir()) == [b"first", b"second", b"third"]


def test_a_table_with_wrong_bytes_is_made_again(tmp_path: Path) -> None:
    store = Store.open(tmp_path, create=True)
    for seed in range(3):
        store.add(whole(record(seed=seed, costs=profile(1.0, 1e6))))
    expected = store.frame()
    table = tmp_path / "frame.parquet"
    sound = table.read_bytes()
    random_ = random.Random(0)
    # The last bytes are the table's description, where a wrong one does most harm.
    for _ in range(100):
        position = len(sound) - 1 - random_.randrange(min(len(sound), 6_000))
        table.write_bytes(sound[:position] + random_.randbytes(3) + sound[position + 3 :])
        assert len(store.frame()) <= len(expected)
        assert len(list(store.records())) == len(expected)
    table.unlink()
    assert store.frame().equals(expected)


# Reports --------------------------------------------------------------------------------------------------------------

STRANGE_TEXT = (
    "<script>alert('x')</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "\x1b[31mred\x00",
    "a\u202eb\u2028c",
    "$x_1^2$ \\frac{a}{b} %",
    "{{ 7 * 7 }} {% raw %}",
    "]]> --> </style>",
    "| pipe | `tick` | =SUM(A1)",
    "é" * 5_000,
    "\n\n# heading",
    "",
    " ",
    "😀" * 90,
)
STRANGE_NUMBERS = (0.0, -0.0, 1e-320, -1e-9, 1e150, -1e150, 9.9e149, 1.0, 100.0, 2**53 + 1.0, 1e15)


def strange(random_: random.Random) -> Record:
    """A record that the contract allows and no method would make."""

    def text() -> str:
        return random_.choice((*STRANGE_TEXT, "plain", "error", "%"))

    def number() -> float:
        return random_.choice(STRANGE_NUMBERS)

    def measurement(unit: str) -> Measurement:
        if random_.random() < 0.3:
            return cost(None, unit, text() or "a reason")
        return cost(number(), unit, p5=random_.choice((number(), None, text(), [number()])), unstable=text())

    words: dict[str, Any] = {
        "method": random_.choice(("nnpu", text() or "m")),
        "seed": random_.choice((0, 1, 2, 2**63 - 1)),
        "task": random_.choice(("pu", text() or "t")),
        "dataset": random_.choice(("mnist5k", text() or "d")),
        "parameters": {text(): random_.choice((number(), text(), None, [text()], {text(): number()}, 10**30))},
        "settings": random_.choice((None, {text(): text()})),
        "stages": random_.choice((("fit", "evaluate", "profile"), ("profile",))),
        "hardware": random_.choice(("Xeon", text())),
        "suite": text(),
        "ended": random_.choice(("2026-11-23T06:00:00+00:00", text(), "9999")),
        "source": text(),
        "command": text(),
        "packages": {text(): text()},
        "cpu": text(),
        "git_commit": text(),
        "flags": {text(): random_.choice((True, 3, text()))},
        "memory_bytes": random_.choice((0, 10**30)),
        "costs": {name: measurement(unit) for name, unit in COSTS if random_.random() < 0.7}
        | {text(): measurement("s")},
        "training": {name: measurement(unit) for name, unit in (("fit_s", "s"), ("fit_macs", "MAC"))},
        "curves": {
            text(): curve([random_.choice((number(), None)) for _ in range(random_.choice((0, 1, 2, 40)))], unit=text())
            for _ in range(random_.choice((0, 1, 2)))
        },
    }
    match random_.choice(("ok", "ok", "ok", "failed", "skipped")):
        case "failed":
            told = Failure(cause=random_.choice(("error", "nan")), message=text(), stage="fit", traceback=text() * 3)
            return record(status="failed", failure=told, metrics={}, **words)
        case "skipped":
            told = Failure(cause="unsupported", message=text(), stage="load")
            return record(status="skipped", failure=told, metrics={}, **words)
    better = random_.choice(("low", "high"))
    values = {"error": percent(number(), better)} if random_.random() < 0.7 else {}
    values |= {text(): MetricValue(value=number(), unit=text(), better=better, items=random_.choice((0, 10**20)))}
    return record(metrics=random_.choice((values, {})), **words)


COSTS = (
    ("latency_ms", "ms"),
    ("throughput_per_s", "items/s"),
    ("macs", "MAC"),
    ("parameters", "parameter"),
    ("peak_memory_bytes", "byte"),
    ("energy_j", "J"),
)

REPORTS, RECORDS_OF_A_REPORT = 20, 20


def test_these_are_more_than_half_of_ten_thousand_inputs() -> None:
    assert STORES * FILES_OF_A_STORE + REPORTS * RECORDS_OF_A_REPORT >= 5_000


@pytest.mark.parametrize("number", range(REPORTS))
def test_a_report_of_strange_records_is_written_and_runs_nothing(tmp_path: Path, number: int) -> None:
    random_ = random.Random(number)
    # Half of the reports go through a store: what was written can be read again.
    records = [strange(random_) for _ in range(RECORDS_OF_A_REPORT)]
    if number % 2:
        store = Store.open(tmp_path / "store", create=True)
        for one in records:
            store.add(one)
        kept = {one.key: one for one in store.records()}
        assert kept == {one.key: one.model_copy(update={"checksum": kept[one.key].checksum}) for one in records}
        assert set(store.frame()["key"]) == set(kept)
        records = list(kept.values())
    paths = write_report(records, tmp_path / "report", random_.choice(STRANGE_TEXT), {})
    page = paths.index.read_text()
    for markup in ("<script>alert", "<img src=x"):
        assert markup not in page
    drawings = [path for path in paths.figures if path.suffix == ".svg"]
    for path in (paths.index, paths.markdown, paths.csv, paths.latex, *drawings):
        # Nothing steers a terminal, or the direction of reading.
        steering = {character for character in path.read_text() if unicodedata.category(character) in ("Cc", "Cf")}
        assert steering <= {"\n"}, path
