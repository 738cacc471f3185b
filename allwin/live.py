"""What one sees while a grid runs: done, running, failed, time left. On standard error, so that tables can be piped."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

if TYPE_CHECKING:
    from bench.record import Record
    from bench.runner import Progress

LINE_EVERY_S = 2.0
"""Away from a terminal a line is printed at most this often, and for each failure."""


class Display:
    """What is shown while something runs: on a terminal it stands and changes; elsewhere it is printed now and then."""

    def __init__(self, *, quiet: bool) -> None:
        self._display: Any = None
        self._printed = 0.0
        self._terminal = sys.stderr.isatty() and not quiet
        self._quiet = quiet

    def __enter__(self) -> Self:
        if self._terminal:
            from rich.console import Console
            from rich.live import Live

            self._display = Live(console=Console(stderr=True), refresh_per_second=2, transient=True)
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display:
            self._display.stop()


class Live(Display):
    """The listener of a run."""

    def __init__(self, title: str, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._title = title
        self._started = time.monotonic()
        self._ended = 0
        self._failures: list[str] = []

    def __call__(self, progress: "Progress", record: "Record | None") -> None:
        if record:
            again = record.key in progress.retrying
            self._ended += not again
            if record.failure and record.status == "failed" and not again:
                spec, cause = record.spec, record.failure.cause
                self._failures.append(f"{spec.task}/{spec.method} on {spec.dataset}, seed {spec.seed}: {cause}")
        if self._display:
            self._display.update(self._table(progress))
        elif not self._quiet:
            self._print(progress, record)

    def _print(self, progress: "Progress", record: "Record | None") -> None:
        now = time.monotonic()
        last = record is not None and progress.done == progress.total
        if record and record.key in progress.retrying:
            click.echo(
                f"lost, and tried once more: {record.spec.task}/{record.spec.method}, {record.key[:12]}", err=True
            )
        elif record and record.status == "failed" and record.failure:
            click.echo(f"failed: {self._failures[-1]}: {record.failure.message}", err=True)
        elif last or now - self._printed >= LINE_EVERY_S:
            self._printed = now
            click.echo(self._line(progress), err=True)

    def _line(self, progress: "Progress") -> str:
        parts = [f"{progress.done} of {progress.total} done", f"{progress.failed} failed"]
        if progress.reused:
            parts.append(f"{progress.reused} reused")
        starting = not (progress.running or progress.waiting) and progress.done < progress.total
        parts.append("the workers start" if starting else f"{len(progress.running)} running")
        if progress.waiting:
            parts.append(f"{progress.waiting} to profile")
        if progress.draining:
            parts.append("Ctrl-C: the running trials end first; once more to stop at once")
        elif left := self._left(progress.total - progress.done):
            parts.append(left)
        return ", ".join(parts)

    def _left(self, cells: int) -> str:
        """From the pace so far; nothing before there is one."""
        if not self._ended or not cells:
            return ""
        seconds = (time.monotonic() - self._started) / self._ended * cells
        if seconds >= 90:
            return f"about {seconds / 60:.0f} min left"
        return f"about {max(1, seconds):.0f} s left"

    def _table(self, progress: "Progress") -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        running = [
            Text(f"  · {text}", style="dim", overflow="ellipsis", no_wrap=True) for text in progress.running.values()
        ]
        failures = [Text(f"  ✗ {text}", style="red", overflow="ellipsis", no_wrap=True) for text in self._failures[-5:]]
        bar = ProgressBar(total=max(1, progress.total), completed=progress.done, width=40)
        return Group(Text(self._title, style="bold"), bar, Text(self._line(progress)), *running[:8], *failures)
