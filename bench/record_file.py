"""One record in its file: how it is named, written and read, and what can be wrong with it."""

import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from bench.errors import UserError, first_problem
from bench.keys import canonical, digest, key_of, spec_parts
from bench.record import SCHEMA, Record


class NotARecord(UserError):
    """A file that is half-written, foreign, or not the record that its name says."""


class LaterSchema(UserError):
    """A record that a later allwin wrote: sound, but not for us to read."""


def file_name(key: str, attempt: int) -> str:
    return f"{key}-{attempt}.json"


def checksum(content: dict[str, Any]) -> str:
    """Of a record's JSON, whatever its layout in the file."""
    return digest(canonical({name: value for name, value in content.items() if name != "checksum"}))


def faults(path: Path) -> list[str]:
    """What is wrong with a record's file, in words; nothing for a sound one. Changes nothing."""
    try:
        record = read_record(path)
        content = from_json(path.read_bytes())
        told = checksum(content)
    except UserError as error:
        return [str(error)]
    except (OSError, ValueError) as error:
        return [f"{path.name}: not a record ({error})"]
    found = []
    if record.checksum != told:
        found.append("its checksum does not fit its content: it was changed after it was written")
    if record.key != key_of(record.parts):
        found.append("its key is not the hash of its parts")
    if not spec_parts(record.spec).items() <= record.parts.items():
        found.append("its parts do not fit its spec")
    if path.name != file_name(record.key, record.attempt):
        found.append(f"its name is not {file_name(record.key, record.attempt)}")
    return found


def read_record(path: Path) -> Record:
    """A record from its file.

    Raises `NotARecord`, `LaterSchema`, or `UserError` if the system does not let us read the file;
    `FileNotFoundError` if there is none.
    """
    try:
        # Without a buffer: there may be 100,000 of them, each read once and whole.
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            data = file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); mend that, or move it away") from error
    try:
        # Strict: what is no number in the file is none in a table either.
        return Record.model_validate_json(data, strict=True)
    except ValidationError as error:
        if schema := _later_schema(data):
            raise LaterSchema(f"{path.name}: schema {schema} is newer than this allwin; update allwin") from error
        raise NotARecord(f"{path.name}: not a record ({first_problem(error)}); set it aside") from error


def _later_schema(data: bytes) -> int:
    """The schema that a file names, if it is later than ours and the file is whole; else 0.

    Whatever else a schema changes, the checksum is made as ours is: a slip of a bit is not taken for a new version.
    """
    try:
        content = from_json(data)
        schema = content["schema_version"]
        whole = content["checksum"] == checksum(content)
    except (ValueError, TypeError, LookupError, RecursionError):
        return 0
    return schema if type(schema) is int and schema > SCHEMA and whole else 0


def write_new(path: Path, content: bytes) -> bool:
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
