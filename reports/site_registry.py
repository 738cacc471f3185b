"""What the pages of tasks and methods take from the sources: texts, settings, metrics and data sets."""

from collections.abc import Sequence
from typing import Any

from bench.contracts import BUDGETS, Metric
from bench.registry import Entry
from bench.source import WRAPPED
from reports.numbers import significant
from reports.text import label, message


def setting_table(entry: Entry) -> tuple[list[str], list[tuple[str, ...]]]:
    """Headers and rows: each hyper-parameter with its default, what the budgets' presets change, and its meaning."""
    budgets = [budget for budget in BUDGETS if entry.presets.get(budget)]
    searched = bool(entry.search)
    headers = ["setting", "default", *(f"at {budget}" for budget in budgets)]
    headers += [*(["searched in"] if searched else []), "type", "meaning"]
    rows = [
        (
            label(setting.name),
            "a method" if setting.name == WRAPPED else _value(setting.default),
            *(_value(entry.presets[b][setting.name]) if setting.name in entry.presets[b] else "" for b in budgets),
            *((label(entry.search.get(setting.name, "")),) if searched else ()),
            label(setting.annotation),
            message(setting.meaning),
        )
        for setting in entry.settings
    ]
    return headers, rows


def _value(value: Any) -> str:
    return label(str(value))


def metric_rows(metrics: Sequence[Metric]) -> list[tuple[str, ...]]:
    """The first ranks."""
    return [
        (
            label(metric.name),
            label(metric.unit),
            f"{metric.better} is good",
            _range(metric),
            message(metric.meaning),
        )
        for metric in metrics
    ]


def _range(metric: Metric) -> str:
    if metric.low is None and metric.high is None:
        return "any"
    if metric.high is None:
        return f"at least {significant(metric.low or 0.0)}"
    if metric.low is None:
        return f"at most {significant(metric.high)}"
    return f"{significant(metric.low)} to {significant(metric.high)}"


KINDS = {
    "embedded": "embedded: a dependency ships it",
    "generated": "generated: code makes it from a seed",
    "files": "files: the user brings it",
}


def card_rows(entry: Entry, used: Sequence[str]) -> list[tuple[str, ...]]:
    """The task's data sets, those of the store first."""
    ordered = sorted(entry.cards, key=lambda card: card.name not in used)
    return [
        (
            label(card.name),
            message(card.title),
            KINDS[card.kind],
            message(card.items),
            message(card.licence),
            message(card.origin),
            "yes" if card.name in used else "no",
        )
        for card in ordered
    ]
