"""The catalogue's mechanism: where real data lies, whether a layout is complete, and what was loaded.

The cards are in `tasks/*/datasets.py`. The data root is `--data`, else `ALLWIN_DATA`, else `../shared/data` beside the
checkout if it is there.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.contracts import DatasetCard
from bench.errors import MissingData, UserError

ENVIRONMENT = "ALLWIN_DATA"


def root() -> Path | None:
    """The folder of real data, or None. Raises `UserError` if the one that was named does not exist."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        if not Path(named).is_dir():
            raise UserError(f"{ENVIRONMENT} names {named}, which is no folder; set it to the folder of your data sets")
        return Path(named)
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    return beside if beside.is_dir() else None


def locate(card: DatasetCard, base: Path | None = None) -> Path:
    """The folder of a data set whose files are all there. Raises `MissingData` naming the first that is not."""
    base = base or next((place for place in _places(card) if _whole(card, place)), root())
    if base is None:
        raise MissingData(
            f"data set {card.name} is not here; set {ENVIRONMENT} to the folder that holds {card.folder}/"
        )
    for state in check(card, base):
        if state.state != "ok":
            raise MissingData(
                f"data set {card.name}: {base / card.folder / state.path} is {state.state}; "
                f"`allwin data check {card.name}` lists its layout"
            )
    return base / card.folder


@dataclass(frozen=True)
class FileState:
    path: str
    state: Literal["ok", "missing", "wrong size", "wrong checksum"]


def check(card: DatasetCard, base: Path, checksums: bool = False) -> list[FileState]:
    """Each file of the layout, and whether it is as the card says; checksums are read only when asked for."""
    if not (base / card.folder).is_dir():
        return [FileState(".", "missing")]
    states = []
    for file in card.files:
        path = base / card.folder / file.path
        unpacked = path.with_suffix("")
        if path.suffix == ".gz" and not path.exists() and unpacked.exists():
            # Size and checksum are those of the packed file; the loader reads either.
            states.append(FileState(file.path, "ok"))
            continue
        state: Literal["ok", "missing", "wrong size", "wrong checksum"] = "ok"
        if not path.exists():
            state = "missing"
        elif file.size_bytes is not None and path.stat().st_size != file.size_bytes:
            state = "wrong size"
        elif checksums and file.sha256 and sha256_file(path) != file.sha256:
            state = "wrong checksum"
        states.append(FileState(file.path, state))
    return states


def here(card: DatasetCard) -> bool:
    """Whether a data set can be loaded now."""
    return card.kind != "files" or any(_whole(card, place) for place in _places(card))


def _places(card: DatasetCard) -> list[Path]:
    """The folders in which that of a data set may lie."""
    return [place for place in (root(), Path(card.system) if card.system else None) if place is not None]


def _whole(card: DatasetCard, base: Path) -> bool:
    return all(state.state == "ok" for state in check(card, base))


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(chunks: Iterable[bytes]) -> str:
    """SHA-256 over the data as loaded."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def package_file(package: str, *parts: str) -> Path:
    """A file inside an installed package, found without running the package's code."""
    from bench.source import package_folders

    for folder in package_folders(package):
        path = folder.joinpath(*parts)
        if path.exists():
            return path
    raise MissingData(f"{'/'.join(parts)} of the package {package} is not installed; run `pip install {package}`")
