"""The trials that count, sorted by board, row and seed, with the averages of every row.

All that can be is worked out for all trials at once: one row or board at a time would cost milliseconds each.
"""

import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.stats import half_widths
from reports.board import Cell, Quantity

COMPARABLE = ("task", "dataset", "settings", "budget", "device", "hardware")
"""Rows are held against each other only where all of these agree, and the protocol."""

VARIANT = ("method", "parameters", "stages")
"""What makes a row of a board."""

GAINS = {"throughput_per_s"}
"""Of a cost, less is better; of these, more."""

GROUPS = ("metric", "cost", "training")


@dataclass(frozen=True)
class Account:
    """What a record says besides its values and its seed; most records of a row say the same."""

    stages: tuple[str, ...]
    protocol: str
    """Versions of the task and of the data: what tells two protocols of one name apart."""
    claim_level: str
    oracle: bool
    sources: tuple[str, str]
    """Of the task's and of the method's code."""
    quantities: tuple[Quantity, ...]
    """All that was measured or tried, in the record's order."""
    reasons: Mapping[str, str]
    """Why a quantity has no value."""
    flags: tuple[tuple[str, str], ...]
    """Measurements with the flags that their instruments raised."""


def accounts_of(texts: Iterable[str]) -> list[Account]:
    """One a record. Equal ones are one object: 100,000 of their own would keep the garbage collector busy."""
    known: dict[str, Account] = {}
    found = []
    for text in texts:
        account = known.get(text)
        if account is None:
            account = known[text] = _account(json.loads(text))
        found.append(account)
    return found


def _account(said: Mapping[str, Any]) -> Account:
    """From what the store's frame has of it."""
    quantities = [Quantity(f"metric.{name}", unit, better) for name, unit, better in said["metric"]]
    reasons: dict[str, str] = {}
    flags: list[tuple[str, str]] = []
    for group in ("cost", "training"):
        for name, unit, reason, raised in said[group]:
            quantities.append(Quantity(f"{group}.{name}", unit, "high" if name in GAINS else "low"))
            if reason:
                reasons[f"{group}.{name}"] = reason
            flags += [(name, flag) for flag in raised]
    task, data, method = said["sources"]
    version, _, source = task.partition(" ")
    return Account(
        stages=tuple(said["stages"]),
        protocol=", ".join(part for part in (version, data) if part),
        claim_level=said["claim_level"],
        # A frame that was kept before there were oracles has none.
        oracle=said.get("oracle", False),
        sources=(source, method),
        quantities=tuple(quantities),
        reasons=reasons,
        flags=tuple(flags),
    )


class Trials:
    """Of several records of one cell (its code changed in between) the latest counts.

    `bounds` are where rows begin, and the end; `boards` where boards begin among the rows, and the end.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        accounts = accounts_of(frame["account"].tolist())
        cells, order = _latest(frame, accounts)
        frame = frame.iloc[order]
        self.accounts = [accounts[place] for place in order.tolist()]
        self.keys: list[str] = frame["key"].tolist()
        self.seeds: list[int] = frame["seed"].tolist()
        self.statuses: list[str] = frame["status"].tolist()
        self.causes: list[str] = frame["cause"].tolist()
        self.messages: list[str] = frame["message"].tolist()
        self.superseded: list[int] = cells.superseded[order].tolist()
        board_of, row_of = cells.board[order], cells.row[order]
        starts = np.flatnonzero(np.diff(row_of, prepend=-1))
        self.bounds: list[int] = [*starts.tolist(), len(order)]
        self.boards: list[int] = [*np.flatnonzero(np.diff(board_of[starts], prepend=-1)).tolist(), len(starts)]
        self._average(frame, np.repeat(np.arange(len(starts)), np.diff(self.bounds)))

    def _average(self, frame: pd.DataFrame, row_of: Any) -> None:
        columns = [name for name in frame.columns if name.partition(".")[0] in GROUPS]
        values = frame[columns].astype(float).where(frame["status"] == "ok", np.nan).reset_index(drop=True)
        self.values = {name: values[name].to_numpy() for name in columns}
        by_row = values.groupby(row_of)
        counts, means, deviations = by_row.count(), by_row.mean(), by_row.std()
        self.counts: dict[str, list[int]] = {name: counts[name].tolist() for name in columns}
        self.means: dict[str, list[float]] = {name: means[name].tolist() for name in columns}
        self.half_widths: dict[str, list[float]] = {
            name: half_widths(deviations[name], counts[name]).tolist() for name in columns
        }

    def positions(self, row: int) -> range:
        """The trials of a row, by seed."""
        return range(self.bounds[row], self.bounds[row + 1])

    def oracle(self, row: int) -> bool:
        """Whether one of its records says so: what was learnt later holds for the older ones too."""
        return any(account.oracle for account in self.told(self.positions(row)))

    def having(self, status: str, positions: range) -> list[int]:
        return [position for position in positions if self.statuses[position] == status]

    def average(self, quantity: str, row: int) -> Cell | None:
        """The mean over the seeds of a row; None where no seed has a value."""
        if quantity not in self.counts or not self.counts[quantity][row]:
            return None
        half_width = self.half_widths[quantity][row]
        return Cell(
            mean=self.means[quantity][row],
            half_width=None if half_width != half_width else half_width,
            n=self.counts[quantity][row],
        )

    def cell(self, quantity: Quantity, row: int, ok: list[int]) -> Cell:
        """The average, or the mark and the reasons of a blank. `ok` are the row's trials that gave a result."""
        average = self.average(quantity.key, row)
        if average and average.n == len(ok):
            return average
        # Where a seed has no value, the record tells whether an instrument failed or nobody asked.
        told = (self.accounts[position].reasons.get(quantity.key) for position in ok)
        reasons = tuple(dict.fromkeys(reason for reason in told if reason))
        if average:
            return Cell(average.mean, average.half_width, average.n, reasons=reasons)
        if ok:
            return Cell(mark="not measured" if reasons else "not run", reasons=reasons)
        positions = self.positions(row)
        failed = self.having("failed", positions)
        reasons = tuple(dict.fromkeys(f"{self.causes[p]}: {self.messages[p]}" for p in failed or positions))
        return Cell(mark="failed" if failed else "skipped", reasons=reasons)

    def matrix(self, quantity: str, rows: range, seeds: tuple[int, ...]) -> Any:
        """Values by row and seed; NaN where there is none."""
        place_of = {seed: place for place, seed in enumerate(seeds)}
        start, stop = self.bounds[rows.start], self.bounds[rows.stop]
        found = np.full((len(rows), len(seeds)), np.nan)
        places = [place_of[seed] for seed in self.seeds[start:stop]]
        lengths = np.diff(self.bounds[rows.start : rows.stop + 1])
        found[np.repeat(np.arange(len(rows)), lengths), places] = self.values[quantity][start:stop]
        return found

    def told(self, positions: range) -> list[Account]:
        """The accounts of some trials, each once, in their order."""
        known = self.accounts[positions.start : positions.stop]
        return list({id(account): account for account in known}.values())

    def quantities(self, positions: range) -> list[Quantity]:
        """Of the trials that gave a result; of one key the first."""
        ok = {id(self.accounts[p]): self.accounts[p] for p in positions if self.statuses[p] == "ok"}
        found: dict[str, Quantity] = {}
        for account in ok.values():
            for quantity in account.quantities:
                found.setdefault(quantity.key, quantity)
        return list(found.values())

    def flags(self, positions: range) -> Counter[tuple[str, str]]:
        """How often a measurement was flagged among the trials that gave a result."""
        told = (self.accounts[p].flags for p in positions if self.statuses[p] == "ok" and self.accounts[p].flags)
        return Counter(flag for flags in told for flag in flags)


@dataclass(frozen=True)
class _Cells:
    """By record: the number of its board and of its row, and how many older records of its cell it stands for."""

    board: Any
    row: Any
    superseded: Any


def _latest(frame: pd.DataFrame, accounts: list[Account]) -> tuple[_Cells, Any]:
    """The places of the records that count, sorted by board, row and seed.

    Which of two records is the latest is asked before protocols are told apart: what was run again under a new protocol
    is not shown under the old one as well.
    """
    stages = [" ".join(account.stages) for account in accounts]
    comparable = _numbered(*(frame[name] for name in COMPARABLE))
    variant = _numbered(*(stages if name == "stages" else frame[name] for name in VARIANT))
    seeds = frame["seed"].to_numpy(dtype=np.int64)
    cell = _numbered(comparable, variant, seeds)
    by_age = np.lexsort((_codes(frame["key"]), _codes(frame["ended"]), cell))
    last = np.diff(cell[by_age], append=-1) != 0
    counting = by_age[last]
    superseded = np.zeros(len(frame), dtype=int)
    superseded[counting] = np.diff(np.flatnonzero(last), prepend=-1) - 1
    board = _numbered(comparable, [account.protocol for account in accounts])
    row = _numbered(board, variant)
    order = counting[np.lexsort((seeds[counting], row[counting]))]
    return _Cells(board, row, superseded), order


def _codes(values: Any) -> Any:
    """Numbers in the order of the values, equal ones alike."""
    return pd.factorize(pd.Series(values), sort=True)[0].astype(np.int64)


def _numbered(*columns: Any) -> Any:
    """One number for each combination of values, in the order of the columns."""

    def joined(left: Any, right: Any) -> Any:
        return np.unique(left * (right.max(initial=0) + 1) + right, return_inverse=True)[1]

    return functools.reduce(joined, map(_codes, columns))
