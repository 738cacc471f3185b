"""The append-only home of records: one JSON file each, whole or not at all. Tables are derived and may be deleted.

records/ab/<key>-<attempt>.json   one record; never changed once written
set-aside/                        files that could not be read, kept for a look
claims/<key>.lock                 held while a runner works on a trial
checkpoints/<key>/                phases of an unfinished `fit`
frame.parquet                     derived: the flat columns of all records
"""

import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from filelock import BaseFileLock, FileLock, Timeout
from pydantic_core import to_json

from bench.errors import UserError
from bench.keys import canonical
from bench.record import Record
from bench.record_file import LaterSchema, NotARecord, checksum, faults, file_name, read_record, write_new

log = logging.getLogger(__name__)


class Store:
    """A folder of records. Safe with several runners at once and with a kill at any moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._told = False
        """Whether it was said that records of a later schema are left out."""

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> "Store":
        """The store at `path`; `UserError` where there is none, or where it cannot be written."""
        if path.exists() and not path.is_dir():
            raise UserError(f"--store {path}: it is a file; name a folder")
        if not (path / "records").is_dir():
            if not create:
                raise UserError(f"--store {path}: no records there; `allwin run SUITE --store {path}` makes some")
            try:
                (path / "records").mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(
                    f"--store {path}: cannot be made ({error.strerror}); name a folder you may write"
                ) from None
        return cls(path)

    # Writing ----------------------------------------------------------------------------------------------------------

    def add(self, record: Record) -> Path:
        """Writes one record, whole or not at all; its attempt is the first number that is free."""
        folder = self.path / "records" / record.key[:2]
        folder.mkdir(parents=True, exist_ok=True)
        attempt = record.attempt
        while True:
            content = record.model_dump(mode="json") | {"attempt": attempt}
            content["checksum"] = checksum(content)
            path = folder / file_name(record.key, attempt)
            if write_new(path, to_json(content, indent=1)):
                return path
            attempt += 1

    def claim(self, key: str) -> BaseFileLock | None:
        """The right to work on a trial, held until released or until this process ends; None if another has it."""
        (self.path / "claims").mkdir(exist_ok=True)
        lock = FileLock(self.claim_file(key))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        return lock

    def release(self, key: str, lock: BaseFileLock) -> None:
        """Gives a claim back. The file goes while the lock is held, so that a waiting runner never locks a ghost."""
        self.claim_file(key).unlink(missing_ok=True)
        lock.release()

    def claim_file(self, key: str) -> Path:
        return self.path / "claims" / f"{key}.lock"

    def checkpoints(self, key: str) -> Path:
        return self.path / "checkpoints" / key

    def forget_checkpoints(self, key: str) -> None:
        """A finished trial needs them no more."""
        shutil.rmtree(self.checkpoints(key), ignore_errors=True)

    def merge(self, other: "Store") -> tuple[int, int]:
        """Takes over the records of another store, each attempt that is not here; returns how many, and how many were.

        A record of the same key with other content becomes a further attempt. Raises `UserError`, before anything is
        written, if one of the other's has a fault: here it would get a new checksum, and nobody would find it again.
        """
        records = []
        for path in other.files():
            if found := faults(path):
                raise UserError(f"{path}: {found[0]}; move that file away, or write it anew where it was made")
            records.append(read_record(path))
        here: dict[str, set[str]] = {}
        for path in self.files():
            if known := self._load(path):
                here.setdefault(known.key, set()).add(_content(known))
        added = 0
        for record in sorted(records, key=lambda record: (record.key, record.attempt)):
            contents = here.setdefault(record.key, set())
            if _content(record) not in contents:
                contents.add(_content(record))
                self.add(record)
                added += 1
        return added, len(records) - added

    # Reading ----------------------------------------------------------------------------------------------------------

    def files(self) -> list[Path]:
        """All record files, in the order of their names."""
        return sorted(Path(entry) for entry in _record_files(self.path / "records"))

    def attempts(self) -> dict[str, int]:
        """The number of the latest attempt of each key, from the file names alone."""
        latest: dict[str, int] = {}
        for file in _record_files(self.path / "records"):
            key, attempt = _parse_name(file)
            latest[key] = max(attempt, latest.get(key, 0))
        return latest

    def records(self) -> Iterator[Record]:
        """The latest attempt of each key that can be read; what is no record is set aside.

        A key whose latest attempt has a later schema is left out: an earlier attempt would not be what stands.
        """
        files = [(*_parse_name(file), file) for file in _record_files(self.path / "records")]
        for _, attempts in itertools.groupby(sorted(files, reverse=True), key=lambda named: named[0]):
            for _, _, file in attempts:
                try:
                    record = self._load(Path(file))
                except LaterSchema as error:
                    self._tell(error)
                    break
                if record:
                    yield record
                    break

    def later_schema(self) -> set[str]:
        """Keys whose latest attempt was written by a later allwin."""
        attempts = self.attempts()
        frame = self.frame() if attempts else frame_of([])
        standing = dict(zip(frame["key"], frame["attempt"], strict=True))
        found = set()
        for file in _record_files(self.path / "records"):
            key, attempt = _parse_name(file)
            # Another runner may have added one since the frame was made: only the file itself tells.
            if attempt == attempts.get(key) and attempt > standing.get(key, 0):
                try:
                    self._load(Path(file))
                except LaterSchema:
                    found.add(key)
        return found

    def _load(self, path: Path) -> Record | None:
        """A record of this store; None if its file has gone, or had to be set aside. Raises `LaterSchema`."""
        try:
            record = read_record(path)
            if path.name != file_name(record.key, record.attempt):
                raise NotARecord(f"{path.name}: it holds {file_name(record.key, record.attempt)}; set it aside")
        except FileNotFoundError:
            return None
        except NotARecord:
            self._set_aside(path)
            return None
        return record

    def _tell(self, error: LaterSchema) -> None:
        if not self._told:
            log.warning("%s: left out, as is all that is like it: %s", self.path, error)
            self._told = True

    def frame(self) -> pd.DataFrame:
        """One row for the latest attempt of each key; reads only files that `frame.parquet` does not hold yet.

        As `records` has it: no row where the latest attempt has a later schema.
        """
        known = self._derived()
        seen = set(known["path"]) if known is not None else set()
        above = len(str(self.path)) + 1
        present = {file[above:]: file for file in _record_files(self.path / "records")}
        fresh = []
        later: list[tuple[str, int]] = []
        for name, file in present.items():
            if name not in seen:
                try:
                    record = self._load(Path(file))
                except LaterSchema as error:
                    self._tell(error)
                    later.append(_parse_name(file))
                    continue
                if record:
                    fresh.append(row_of(record, name))
        gone = seen - set(present)
        tables = [known[~known["path"].isin(gone)]] if known is not None else []
        if fresh:
            tables.append(pd.DataFrame(fresh))
        frame = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(ROW))
        if fresh or gone:
            self._keep(frame)
        for key, attempt in later:
            frame = frame[(frame["key"] != key) | (frame["attempt"] > attempt)]
        if not len(frame):
            return frame
        frame = frame.sort_values(["key", "attempt"]).drop_duplicates("key", keep="last")
        return frame.sort_values(["task", "dataset", "method", "seed", "key"]).reset_index(drop=True)

    def _derived(self) -> pd.DataFrame | None:
        path = self.path / "frame.parquet"
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError, TypeError, LookupError, MemoryError, pa.ArrowException):
            # None yet, or spoilt: it is made again, and written over the spoilt one.
            return None
        # A table of an older layout is as good as none: it is made again.
        return frame if set(ROW) <= set(frame.columns) else None

    def _keep(self, frame: pd.DataFrame) -> None:
        try:
            handle, name = tempfile.mkstemp(dir=self.path, prefix=".frame-", suffix=".tmp")
            os.close(handle)
            frame.to_parquet(name)
            Path(name).replace(self.path / "frame.parquet")
        except OSError:
            # A store that may only be read has no derived table; the records are enough.
            return

    def _set_aside(self, path: Path) -> None:
        """Keeps a file that is no record for a look, and frees its place. Nothing is deleted or written over."""
        folder = self.path / "set-aside"
        try:
            folder.mkdir(exist_ok=True)
            for number in itertools.count(1):
                name = path.name if number == 1 else f"{path.stem}.{number}{path.suffix}"
                try:
                    os.link(path, folder / name)
                except FileExistsError:
                    continue
                break
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            # Another runner was faster.
            return
        except OSError as error:
            raise UserError(f"{path.name}: cannot be read, nor moved to {folder} ({error.strerror}); move it") from None


ROW = (
    "key",
    "attempt",
    "task",
    "dataset",
    "method",
    "settings",
    "parameters",
    "budget",
    "seed",
    "device",
    "status",
    "cause",
    "message",
    "hardware",
    "suite",
    "ended",
    "path",
    "account",
)
"""The columns that every frame has; `metric.*`, `cost.*` and `training.*` follow where a record has them."""


def row_of(record: Record, path: str) -> dict[str, Any]:
    """The flat columns of one record."""
    spec, failure = record.spec, record.failure
    row = {
        "key": record.key,
        "attempt": record.attempt,
        "task": spec.task,
        "dataset": spec.dataset,
        "method": spec.method,
        "settings": canonical(spec.settings),
        "parameters": canonical(spec.parameters),
        "budget": spec.budget,
        "seed": spec.seed,
        "device": spec.device,
        "status": record.status,
        "cause": failure.cause if failure else "",
        "message": failure.message if failure else "",
        "hardware": record.provenance.hardware,
        "suite": record.provenance.suite,
        "ended": record.ended,
        "path": path,
        "account": _account(record),
    }
    for prefix, group in (("metric", record.metrics), ("cost", record.costs), ("training", record.training)):
        for name, item in group.items():
            row[f"{prefix}.{name}"] = item.value
    return row


def _account(record: Record) -> str:
    """What a record says besides its values and its seed, as JSON; most records of a row say the same."""
    # A value of 1 equals True, and is no flag.
    costs = {
        group: [
            (name, item.unit, item.reason, [flag for flag, value in item.detail.items() if value is True])
            for name, item in measurements.items()
        ]
        for group, measurements in (("cost", record.costs), ("training", record.training))
    }
    return canonical(
        {
            "stages": record.spec.stages,
            "claim_level": record.claim_level,
            "oracle": record.oracle,
            "sources": [record.parts.get(part, "") for part in ("task source", "data", "method source")],
            "metric": [(name, item.unit, item.better) for name, item in record.metrics.items()],
            **costs,
        }
    )


class Stored(Mapping[str, Record]):
    """The records of a frame by their keys, each read when it is asked for."""

    def __init__(self, path: Path, frame: pd.DataFrame) -> None:
        self._path = path
        self._files = dict(zip(frame["key"], frame["path"], strict=True))

    def __getitem__(self, key: str) -> Record:
        return read_record(self._path / self._files[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def frame_of(records: Iterable[Record]) -> pd.DataFrame:
    """The same frame from records at hand; `path` is empty."""
    rows = [row_of(record, "") for record in records]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(ROW))


def _content(record: Record) -> str:
    """What two attempts differ in if they are not the same one."""
    return record.model_dump_json(exclude={"attempt", "checksum"})


def _record_files(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    for shard in os.scandir(folder):
        if shard.is_dir():
            for entry in os.scandir(shard.path):
                if entry.name.endswith(".json") and entry.is_file():
                    yield entry.path


def _parse_name(path: str) -> tuple[str, int]:
    key, _, attempt = os.path.basename(path).removesuffix(".json").rpartition("-")  # noqa: PTH119 -- 100,000 of them
    return key, int(attempt) if attempt.isdecimal() else 0
