"""From the store's frame to boards: groups what may be compared, averages over seeds, marks what is missing.

Rules: of several records of one cell (its code changed in between) the latest counts; the numbers of a failed trial are
never used. How rows are then ranked is in `ranking.py`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.record import Record, Spec
from bench.stats import noise_floor
from reports.board import CLAIM_LEVELS, Board, Cell, Quantity, Row
from reports.ranking import FRONT_COSTS, Judged, floor_told, front, judged, rule
from reports.text import label, message
from reports.trials import GROUPS, Trials

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


def leaderboard(frame: pd.DataFrame, records: Mapping[str, Record]) -> list[Board]:
    """All boards of a frame, ordered by what they compare. Of `records`, looked up by key, one a row is read."""
    if not len(frame):
        return []
    trials = Trials(frame)
    spans = zip(trials.boards, trials.boards[1:], strict=False)
    return _titled([_board(trials, range(start, stop), records) for start, stop in spans])


def _board(trials: Trials, rows: range, records: Mapping[str, Record]) -> Board:
    positions = range(trials.bounds[rows.start], trials.bounds[rows.stop])
    seeds = tuple(sorted(set(trials.seeds[positions.start : positions.stop])))
    specs = [records[trials.keys[trials.bounds[row]]].spec for row in rows]
    quantities = _in_order(trials.quantities(positions))
    ok = [trials.having("ok", trials.positions(row)) for row in rows]
    cells = [
        {quantity.key: trials.cell(quantity, row, known) for quantity in quantities}
        for row, known in zip(rows, ok, strict=True)
    ]
    ranking = next((quantity for quantity in quantities if quantity.group == "metric"), None)
    oracles = [trials.oracle(row) for row in rows]
    order = list(range(len(rows)))
    noise = None
    standings = [Judged()] * len(order)
    if ranking:
        means = [told[ranking.key].mean for told in cells]
        order = _order(specs, means, oracles, ranking)
        competing = [place for place in order if not oracles[place]]
        values = trials.matrix(ranking.key, rows, seeds)
        ranked = judged([means[place] for place in competing], values[competing], ranking.better)
        by_place = dict(zip(competing, ranked, strict=True))
        standings = [by_place.get(place, Judged()) for place in order]
        noise = noise_floor([row[~np.isnan(row)] for row in values[competing]], len(seeds))
    fronts = _fronts([{} if oracles[place] else cells[place] for place in order], ranking)
    labels = _labels(specs)
    shown = tuple(
        _row(trials, rows[place], seeds, specs[place], labels[place], ok[place], cells[place], standing, on)
        for place, standing, on in zip(order, standings, fronts, strict=True)
    )
    spec, first = specs[0], positions.start
    return Board(
        task=spec.task,
        dataset=spec.dataset,
        settings=spec.settings,
        protocol=trials.accounts[first].protocol,
        budget=spec.budget,
        device=spec.device,
        hardware=records[trials.keys[first]].provenance.hardware,
        title="",
        quantities=quantities,
        rows=shown,
        seeds=seeds,
        rule=rule(shown, ranking),
        noise=noise,
        notes=(*_notes(trials, rows, ok, specs, len(seeds)), *([floor_told(noise, ranking)] if ranking else [])),
    )


def _order(
    specs: Sequence[Spec], means: Sequence[float | None], oracles: Sequence[bool], ranking: Quantity
) -> list[int]:
    """By mean, oracles after all others and those without a mean last; then by name: the same every time."""
    sign = -1.0 if ranking.better == "high" else 1.0

    def place(index: int) -> tuple[bool, bool, float, str, str]:
        value, spec = means[index], specs[index]
        return value is None, oracles[index], sign * (value or 0.0), spec.method, repr(spec.parameters)

    return sorted(range(len(means)), key=place)


def _fronts(cells: Sequence[Mapping[str, Cell]], ranking: Quantity | None) -> list[dict[str, bool]]:
    """For each row by cost: whether it is on the front; only where its cells have both."""
    fronts: list[dict[str, bool]] = [{} for _ in cells]
    for cost in FRONT_COSTS if ranking else ():
        assert ranking
        prices, values = ([told[key].mean if key in told else None for told in cells] for key in (cost, ranking.key))
        for place, on in front(values, prices, ranking.better).items():
            fronts[place][cost] = on
    return fronts


def _row(
    trials: Trials,
    row: int,
    seeds: tuple[int, ...],
    spec: Spec,
    name: str,
    ok: list[int],
    cells: Mapping[str, Cell],
    standing: Judged,
    fronts: Mapping[str, bool],
) -> Row:
    positions = trials.positions(row)
    complete = len(ok) == len(positions)
    tried = trials.seeds[positions.start : positions.stop]
    levels = {trials.accounts[position].claim_level for position in ok or positions}
    return Row(
        method=spec.method,
        label=name,
        parameters=spec.parameters,
        stages=spec.stages,
        cells=cells,
        seeds=tuple(trials.seeds[position] for position in ok),
        failed=() if complete else tuple(trials.seeds[p] for p in trials.having("failed", positions)),
        skipped=() if complete else tuple(trials.seeds[p] for p in trials.having("skipped", positions)),
        not_run=() if len(tried) == len(seeds) else tuple(seed for seed in seeds if seed not in set(tried)),
        causes={} if complete else dict(Counter(trials.causes[p] for p in positions if trials.causes[p])),
        keys=dict(zip(tried, trials.keys[positions.start : positions.stop], strict=True)),
        claim_level=min(levels, key=CLAIM_LEVELS.index),
        oracle=trials.oracle(row),
        rank=standing.rank,
        standing=standing.standing,
        difference=standing.difference,
        p=standing.p,
        fronts=fronts,
    )


def _in_order(quantities: Iterable[Quantity]) -> tuple[Quantity, ...]:
    """As tables show them."""

    def place(quantity: Quantity) -> tuple[int, int]:
        known = COST_ORDER.index(quantity.key) if quantity.key in COST_ORDER else len(COST_ORDER)
        return GROUPS.index(quantity.group), known

    return tuple(sorted(quantities, key=place))


def _notes(
    trials: Trials, rows: range, ok: Sequence[Sequence[int]], specs: Sequence[Spec], seeds: int
) -> Iterator[str]:
    """What a reader must know before trusting the board."""
    positions = range(trials.bounds[rows.start], trials.bounds[rows.stop])
    if superseded := sum(trials.superseded[positions.start : positions.stop]):
        yield f"{superseded} older {_plural('record', superseded)} of the same cells, made with other code, left out."
    sources = {account.sources[0] for account in trials.told(positions)}
    if len(sources) > 1:
        yield f"The trials used {len(sources)} versions of the task's code: run again what is older before comparing."
    for row, known, spec in zip(rows, ok, specs, strict=True):
        method = label(spec.method)
        if 0 < len(known) < seeds:
            yield f"{method}: means over {len(known)} of {seeds} seeds, not over the same seeds as the other rows."
        versions = {account.sources[1] for account in trials.told(trials.positions(row))}
        if len(versions) > 1:
            yield f"The trials of {method} used {len(versions)} versions of its code."
    for (name, flag), count in trials.flags(positions).items():
        yield f"{message(f'{name} flagged {flag}')} in {count} {_plural('trial', count)}."


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


def _labels(specs: Sequence[Spec]) -> list[str]:
    """Each row's method, with what tells it from other rows of the same method."""
    of_method: dict[str, list[int]] = {}
    for place, spec in enumerate(specs):
        of_method.setdefault(spec.method, []).append(place)
    labels = [spec.method for spec in specs]
    for method, places in of_method.items():
        if len(places) > 1:
            told = [{**specs[place].parameters, "trial stages": "+".join(specs[place].stages)} for place in places]
            for place, suffix in zip(places, suffixes(told), strict=True):
                labels[place] = f"{method}{suffix}"
    return labels


def _titled(boards: list[Board]) -> list[Board]:
    """Titles say in what boards of one task and data set differ."""
    of_data: dict[tuple[str, str], list[Board]] = {}
    for board in boards:
        of_data.setdefault((board.task, board.dataset), []).append(board)
    titled = []
    for (task, dataset), group in of_data.items():
        circumstances = [
            {
                **board.settings,
                "budget": board.budget,
                "device": board.device,
                "hardware": board.hardware,
                "protocol": board.protocol,
            }
            for board in group
        ]
        for board, suffix in zip(group, suffixes(circumstances), strict=True):
            titled.append(replace(board, title=f"{task} on {dataset}{suffix}"))
    return titled
