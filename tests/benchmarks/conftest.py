"""Figures with their aims, printed after the benchmarks: `tox -e bench` is read by people."""

from collections.abc import Callable

import pytest

FIGURES: list[tuple[str, float, str, str]] = []


@pytest.fixture
def figure() -> Callable[[str, float, str, str], None]:
    """Keeps a figure for the summary: name, value, unit, aim."""

    def keep(name: str, value: float, unit: str, aim: str) -> None:
        FIGURES.append((name, value, unit, aim))

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("what the harness costs")
        for name, value, unit, aim in FIGURES:
            terminalreporter.write_line(f"{name:<58} {value:>10.3g} {unit:<6} aim: {aim}")
