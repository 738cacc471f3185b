"""The append-only home of records: one JSON file each, whole or not at all. Tables are derived and may be deleted.

records/ab/<key>-<attempt>.json   one record; never changed once written
set-aside/                        files that could not be read, kept for a look
claims/<key>.lock                 held while a runner works on a trial
checkpoints/<key>/                phases of an unfinished `fit`
frame.parquet                     derived: the flat columns of all records
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import BaseFileLock, FileLock, Timeout
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from bench.errors import UserError
from bench.keys import canonical, digest, key_of, spec_parts
from bench.record import SCHEMA, Record


class Store:
    """A folder of records. Safe with several runners at once and with a kill at any moment."""

    def __init__(self, path: Path) -> None:
        self.path = path

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
            path = folder / f"{record.key}-{attempt}.json"
            if _write_new(path, to_json(content, indent=1)):
                return path
            attempt += 1

    def claim(self, key: str) -> BaseFileLock | None:
        """The right to work on a trial, held until released or until this process ends; None if another has it."""
        (self.path / "claims").mkdir(exist_ok=True)
        lock = FileLock(self.path / "claims" / f"{key}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        return lock

    def release(self, key: str, lock: BaseFileLock) -> None:
        """Gives a claim back. The file goes while the lock is held, so that a waiting runner never locks a ghost."""
        (self.path / "claims" / f"{key}.lock").unlink(missing_ok=True)
        lock.release()

    def checkpoints(self, key: str) -> Path:
        return self.path / "checkpoints" / key

    def forget_checkpoints(self, key: str) -> None:
        """A finished trial needs them no more."""
        shutil.rmtree(self.checkpoints(key), ignore_errors=True)

    def merge(self, other: "Store") -> tuple[int, int]:
        """Takes over the records of another store, each attempt that is not here; returns how many, and how many were.

        A record of the same key with other content becomes a further attempt. Raises `UserError`, before anything is
        written, if one of the other's cannot be read.
        """
        records = [read_record(path) for path in other.files()]
        here: dict[str, set[str]] = {}
        for path in self.files():
            here.setdefault(_parse_name(str(path))[0], set()).add(_content(read_record(path)))
        added = 0
        for record in sorted(records, key=lambda record: (record.key, record.attempt)):
            known = here.setdefault(record.key, set())
            if _content(record) not in known:
                known.add(_content(record))
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

    def read(self, key: str, attempt: int) -> Record | None:
        """One record; None if its file is not there or had to be set aside."""
        path = self.path / "records" / key[:2] / f"{key}-{attempt}.json"
        try:
            return read_record(path)
        except FileNotFoundError:
            return None
        except UserError:
            self._set_aside(path)
            return None

    def records(self) -> Iterator[Record]:
        """The latest attempt of each key; what cannot be read is set aside."""
        for key, attempt in sorted(self.attempts().items()):
            record = self.read(key, attempt)
            if record:
                yield record

    def frame(self) -> pd.DataFrame:
        """One row for the latest attempt of each key; reads only files that `frame.parquet` does not hold yet."""
        known = self._derived()
        seen = set(known["path"]) if known is not None else set()
        above = len(str(self.path)) + 1
        present = {file[above:]: file for file in _record_files(self.path / "records")}
        fresh = []
        for name, file in present.items():
            if name not in seen:
                row = self._row(file, name)
                if row:
                    fresh.append(row)
        gone = seen - set(present)
        tables = [known[~known["path"].isin(gone)]] if known is not None else []
        if fresh:
            tables.append(pd.DataFrame(fresh))
        frame = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(ROW))
        if fresh or gone:
            self._keep(frame)
        if not len(frame):
            return frame
        frame = frame.sort_values(["key", "attempt"]).drop_duplicates("key", keep="last")
        return frame.sort_values(["task", "dataset", "method", "seed", "key"]).reset_index(drop=True)

    def _derived(self) -> pd.DataFrame | None:
        path = self.path / "frame.parquet"
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError):
            path.unlink(missing_ok=True)
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

    def _row(self, path: str, name: str) -> dict[str, Any] | None:
        try:
            # Plain functions: there may be 100,000 of them, and a `Path` each would take longer than the parsing.
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123
                return row_of(from_json(file.read()), name)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._set_aside(Path(path))
            return None

    def _set_aside(self, path: Path) -> None:
        """Keeps an unreadable file for a look, and frees its place. Nothing is deleted."""
        folder = self.path / "set-aside"
        try:
            folder.mkdir(exist_ok=True)
            path.rename(folder / path.name)
        except OSError as error:
            raise UserError(f"{path.name}: cannot be read, nor moved to {folder} ({error.strerror}); move it") from None


def checksum(content: dict[str, Any]) -> str:
    """Of a record's JSON, whatever its layout in the file."""
    return digest(canonical({name: value for name, value in content.items() if name != "checksum"}))


def faults(path: Path) -> list[str]:
    """What is wrong with a record's file, in words; nothing for a sound one. Changes nothing."""
    try:
        content = from_json(path.read_bytes())
        record = Record.model_validate(content)
    except (OSError, ValidationError, ValueError, TypeError) as error:
        return [f"not a record ({str(error).splitlines()[0]})"]
    found = []
    if content.get("checksum") != checksum(content):
        found.append("its checksum does not fit its content: it was changed after it was written")
    if record.key != key_of(record.parts):
        found.append("its key is not the hash of its parts")
    if not spec_parts(record.spec).items() <= record.parts.items():
        found.append("its parts do not fit its spec")
    if path.stem != f"{record.key}-{record.attempt}":
        found.append(f"its name is not {record.key}-{record.attempt}.json")
    return found


def read_record(path: Path) -> Record:
    """A record from its file. Raises `UserError` if the file is half-written, foreign or of a later schema."""
    try:
        content = from_json(path.read_bytes())
        if isinstance(content, dict) and content.get("schema_version", SCHEMA) > SCHEMA:
            raise UserError(f"{path.name}: schema {content['schema_version']} is newer than this allwin; update allwin")
        return Record.model_validate(content)
    except (ValidationError, ValueError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path.name}: not a record ({str(error).splitlines()[0]}); set it aside") from error


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
)
"""The columns that every frame has; `metric.*`, `cost.*` and `training.*` follow where a record has them."""


def row_of(record: dict[str, Any], path: str) -> dict[str, Any]:
    """The flat columns of one record, from its JSON."""
    spec, provenance, failure = record["spec"], record["provenance"], record.get("failure") or {}
    row = {
        "key": record["key"],
        "attempt": record["attempt"],
        "task": spec["task"],
        "dataset": spec["dataset"],
        "method": spec["method"],
        "settings": canonical(spec["settings"]),
        "parameters": canonical(spec["parameters"]),
        "budget": spec["budget"],
        "seed": spec["seed"],
        "device": spec["device"],
        "status": record["status"],
        "cause": failure.get("cause", ""),
        "message": failure.get("message", ""),
        "hardware": provenance["hardware"],
        "suite": provenance["suite"],
        "ended": record["ended"],
        "path": path,
    }
    for group, prefix in (("metrics", "metric"), ("costs", "cost"), ("training", "training")):
        for name, item in record.get(group, {}).items():
            row[f"{prefix}.{name}"] = item["value"]
    return row


def frame_of(records: Iterable[Record]) -> pd.DataFrame:
    """The same frame from records at hand; `path` is empty."""
    rows = [row_of(record.model_dump(mode="json"), "") for record in records]
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
                if entry.name.endswith(".json"):
                    yield entry.path


def _parse_name(path: str) -> tuple[str, int]:
    key, _, attempt = os.path.basename(path).removesuffix(".json").rpartition("-")  # noqa: PTH119 -- 100,000 of them
    return key, int(attempt) if attempt.isdigit() else 0


def _write_new(path: Path, content: bytes) -> bool:
    """Writes a file that must not exist yet, whole or not at all, whenever the process dies; False if it is there.

    There is no `fsync`, which costs 5 to 300 ms on a busy disk: after a power cut the last seconds' records may be
    empty files, which are set aside when they are read, and their trials run again.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)
        # A hard link fails if the name is taken, which a rename would silently replace.
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True
