"""From the store's frame to boards: groups what may be compared, averages over seeds, marks what is missing.

Rules: of several records of one cell (its code changed in between) the latest counts; the numbers of a failed trial are
never used. How rows are then ranked is in `ranking.py`.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.record import Measurement, Record
from bench.stats import half_widths
from reports.board import Board, Cell, Quantity, Row
from reports.ranking import ranked, rule

COMPARABLE = ["task", "dataset", "settings", "budget", "device", "hardware"]
"""Rows are held against each other only where all of these agree."""

VARIANT = ["method", "parameters", "stages"]
"""What makes a row of a board."""

COST_ORDER = (
    "cost.latency_ms",
    "cost.throughput_per_s",
    "cost.macs",
    "cost.parameters",
    "cost.peak_memory_bytes",
    "cost.energy_j",
    "training.fit_s",
    "training.fit_macs",
    "training.fit_energy_j",
    "training.fit_peak_memory_bytes",
)
"""How costs are ordered; others follow in the order in which the records have them."""

GAINS = {"throughput_per_s"}
"""Of a cost, less is better; of these, more."""

GROUPS = ("metric", "cost", "training")


def leaderboard(frame: pd.DataFrame, records: Mapping[str, Record]) -> list[Board]:
    """All boards of a frame, ordered by what they compare. `records` are looked up by the frame's keys."""
    if not len(frame):
        return []
    stages = [" ".join(records[key].spec.stages) for key in frame["key"]]
    cells = frame.assign(stages=stages).sort_values(["ended", "key"])
    repeated = cells.duplicated([*COMPARABLE, *VARIANT, "seed"], keep="last")
    superseded = cells[repeated].groupby(COMPARABLE).size().to_dict()
    trials = _Trials(cells[~repeated].sort_values([*COMPARABLE, *VARIANT, "seed"], ignore_index=True))
    boards = []
    for identity, positions in trials.groups(COMPARABLE):
        boards.append(_board(trials, positions, records, superseded.get(identity, 0)))
    return _titled(boards)


class _Trials:
    """The trials that count, sorted by board, row and seed, with the averages of every row.

    All averages are taken at once: one group at a time would cost milliseconds each.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.keys: list[str] = frame["key"].tolist()
        self.seeds: list[int] = frame["seed"].tolist()
        self.statuses: list[str] = frame["status"].tolist()
        self.causes: list[str] = frame["cause"].tolist()
        self.messages: list[str] = frame["message"].tolist()
        columns = [name for name in frame.columns if name.partition(".")[0] in GROUPS]
        values = frame[columns].astype(float).where(frame["status"] == "ok", np.nan)
        self.values = {name: values[name].to_numpy() for name in columns}
        self.row_of = frame.groupby([*COMPARABLE, *VARIANT], sort=False).ngroup().tolist()
        by_row = values.groupby(self.row_of)
        counts, means, deviations = by_row.count(), by_row.mean(), by_row.std()
        self.counts = {name: counts[name].to_numpy() for name in columns}
        self.means = {name: means[name].to_numpy() for name in columns}
        self.half_widths = {name: half_widths(deviations[name], counts[name]) for name in columns}

    def groups(self, columns: list[str]) -> Iterator[tuple[tuple[Any, ...], list[int]]]:
        """Runs of positions that agree in these columns, in order."""
        marks = list(zip(*(self.frame[name].tolist() for name in columns), strict=True))
        for identity, positions in itertools.groupby(range(len(marks)), key=marks.__getitem__):
            yield identity, list(positions)

    def rows(self, positions: Sequence[int]) -> Iterator[list[int]]:
        for _, run in itertools.groupby(positions, key=self.row_of.__getitem__):
            yield list(run)

    def having(self, status: str, positions: Sequence[int]) -> list[int]:
        return [position for position in positions if self.statuses[position] == status]

    def cell(self, quantity: str, position: int) -> Cell | None:
        """The mean over the row that this trial belongs to; None where no seed has a value."""
        row = self.row_of[position]
        if quantity not in self.counts or not self.counts[quantity][row]:
            return None
        half_width = float(self.half_widths[quantity][row])
        return Cell(
            mean=float(self.means[quantity][row]),
            half_width=None if np.isnan(half_width) else half_width,
            n=int(self.counts[quantity][row]),
        )


def _board(trials: _Trials, positions: list[int], records: Mapping[str, Record], superseded: int) -> Board:
    first = records[trials.keys[positions[0]]]
    seeds = tuple(sorted({trials.seeds[position] for position in positions}))
    quantities = _quantities(records[trials.keys[position]] for position in trials.having("ok", positions))
    rows = [_row(trials, run, seeds, quantities, records) for run in trials.rows(positions)]
    ranking = next((quantity for quantity in quantities if quantity.group == "metric"), None)
    if ranking:
        values = [
            {
                trials.seeds[p]: float(trials.values[ranking.key][p])
                for p in run
                if not np.isnan(trials.values[ranking.key][p])
            }
            for run in trials.rows(positions)
        ]
        rows = ranked(rows, values, ranking)
    return Board(
        task=first.spec.task,
        dataset=first.spec.dataset,
        settings=first.spec.settings,
        budget=first.spec.budget,
        device=first.spec.device,
        hardware=first.provenance.hardware,
        title="",
        quantities=quantities,
        rows=tuple(_labelled(rows)),
        seeds=seeds,
        rule=rule(rows, ranking),
        notes=tuple(_notes(trials, positions, records, superseded)),
    )


def _row(
    trials: _Trials,
    positions: list[int],
    seeds: tuple[int, ...],
    quantities: Iterable[Quantity],
    records: Mapping[str, Record],
) -> Row:
    spec = records[trials.keys[positions[0]]].spec
    ok = trials.having("ok", positions)
    tried = {trials.seeds[position] for position in positions}
    return Row(
        method=spec.method,
        label=spec.method,
        parameters=spec.parameters,
        stages=spec.stages,
        cells={quantity.key: _cell(trials, positions, quantity, records) for quantity in quantities},
        seeds=tuple(trials.seeds[position] for position in ok),
        failed=tuple(trials.seeds[position] for position in trials.having("failed", positions)),
        skipped=tuple(trials.seeds[position] for position in trials.having("skipped", positions)),
        not_run=tuple(seed for seed in seeds if seed not in tried),
        causes=dict(Counter(trials.causes[position] for position in positions if trials.causes[position])),
        keys={trials.seeds[position]: trials.keys[position] for position in positions},
    )


def _cell(trials: _Trials, positions: list[int], quantity: Quantity, records: Mapping[str, Record]) -> Cell:
    ok = trials.having("ok", positions)
    cell = trials.cell(quantity.key, positions[0])
    if cell and cell.n == len(ok):
        return cell
    # Where a seed has no value, the record tells whether an instrument failed or nobody asked.
    reasons = tuple(dict.fromkeys(reason for p in ok if (reason := _reason(records[trials.keys[p]], quantity))))
    if cell:
        return replace(cell, reasons=reasons)
    if ok:
        return Cell(mark="not measured" if reasons else "not run", reasons=reasons)
    failed = trials.having("failed", positions)
    told = failed or positions
    reasons = tuple(dict.fromkeys(f"{trials.causes[p]}: {trials.messages[p]}" for p in told))
    return Cell(mark="failed" if failed else "skipped", reasons=reasons)


def _reason(record: Record, quantity: Quantity) -> str:
    measurement = _measurements(record, quantity.group).get(quantity.name)
    return measurement.reason if measurement else ""


def _measurements(record: Record, group: str) -> Mapping[str, Measurement]:
    return {"cost": record.costs, "training": record.training}.get(group, {})


def _quantities(records: Iterable[Record]) -> tuple[Quantity, ...]:
    """All that any trial measured or tried to, in the order of the tables."""
    found: dict[str, Quantity] = {}
    seen = set()
    for record in records:
        signature = (*record.metrics, "", *record.costs, "", *record.training)
        if signature in seen:
            continue
        seen.add(signature)
        for name, value in record.metrics.items():
            found.setdefault(f"metric.{name}", Quantity(f"metric.{name}", value.unit, value.better))
        for group in ("cost", "training"):
            for name, measurement in _measurements(record, group).items():
                found.setdefault(f"{group}.{name}", Quantity(f"{group}.{name}", measurement.unit, _better(name)))

    def place(quantity: Quantity) -> tuple[int, int]:
        known = COST_ORDER.index(quantity.key) if quantity.key in COST_ORDER else len(COST_ORDER)
        return GROUPS.index(quantity.group), known

    return tuple(sorted(found.values(), key=place))


def _better(cost: str) -> Literal["high", "low"]:
    return "high" if cost in GAINS else "low"


def _notes(trials: _Trials, positions: list[int], records: Mapping[str, Record], superseded: int) -> Iterator[str]:
    """What a reader must know before trusting the board."""
    if superseded:
        yield f"{superseded} older {_plural('record', superseded)} of the same cells, made with other code, left out."
    sources = {records[trials.keys[position]].parts.get("task source", "") for position in positions}
    if len(sources) > 1:
        yield f"The trials used {len(sources)} versions of the task's code: run again what is older before comparing."
    expected = len({trials.seeds[position] for position in positions})
    for run in trials.rows(positions):
        ok = len(trials.having("ok", run))
        if 0 < ok < expected:
            method = records[trials.keys[run[0]]].spec.method
            yield f"{method}: means over {ok} of {expected} seeds, not over the same seeds as the other rows."
        versions = {records[trials.keys[position]].parts.get("method source", "") for position in run}
        if len(versions) > 1:
            yield f"The trials of {records[trials.keys[run[0]]].spec.method} used {len(versions)} versions of its code."
    flags = Counter(
        f"{group}.{name} flagged {flag}"
        for position in trials.having("ok", positions)
        for group in ("cost", "training")
        for name, measurement in _measurements(records[trials.keys[position]], group).items()
        for flag, value in measurement.detail.items()
        if value is True
    )
    for text, count in flags.items():
        yield f"{text.partition('.')[2]} in {count} {_plural('trial', count)}."


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


# Names that tell variants apart ---------------------------------------------------------------------------------------


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names: `base.lr`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def suffixes(variants: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each variant ` (name=value, …)` of the settings in which they differ; empty texts if they do not."""
    flat = [flattened(variant) for variant in variants]
    names = dict.fromkeys(name for variant in flat for name in variant)
    differing = [name for name in names if len({repr(variant.get(name)) for variant in flat}) > 1]
    texts = [", ".join(f"{name}={variant[name]}" for name in differing if name in variant) for variant in flat]
    return [f" ({text})" if text else "" for text in texts]


def _told(row: Row) -> dict[str, Any]:
    return {**row.parameters, "trial stages": "+".join(row.stages)}


def _labelled(rows: list[Row]) -> list[Row]:
    of_method: dict[str, list[Row]] = {}
    for row in rows:
        of_method.setdefault(row.method, []).append(row)
    labels = {}
    for method, variants in of_method.items():
        for row, suffix in zip(variants, suffixes([_told(row) for row in variants]), strict=True):
            labels[id(row)] = f"{method}{suffix}"
    return [replace(row, label=labels[id(row)]) for row in rows]


def _titled(boards: list[Board]) -> list[Board]:
    """Titles say in what boards of one task and data set differ."""
    of_data: dict[tuple[str, str], list[Board]] = {}
    for board in boards:
        of_data.setdefault((board.task, board.dataset), []).append(board)
    titled = []
    for (task, dataset), group in of_data.items():
        circumstances = [
            {**board.settings, "budget": board.budget, "device": board.device, "hardware": board.hardware}
            for board in group
        ]
        for board, suffix in zip(group, suffixes(circumstances), strict=True):
            titled.append(replace(board, title=f"{task} on {dataset}{suffix}"))
    return titled
