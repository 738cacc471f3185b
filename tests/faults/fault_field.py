"""A grid of trivial cells under fire: drivers are started, processes found and killed, records counted."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from fault_ledger import Kill, Siege
from toy_grid import write_suite

from bench.record import Record
from bench.record_file import read_record
from bench.store import Store

MARK = "ALLWIN_FAULTS_MARK"
"""In the environment of every process of a field, by inheritance: by it they are told from others of this machine."""

METHODS = "sample-mean, {{descent: {{steps: 10, pause_s: {pause_s}}}}}"

KILLS = int(os.environ.get("ALLWIN_FAULTS", "100"))
"""At least so many, over all fields."""

SEEDS = min(150, 40 + KILLS)
"""Of the largest grid; a smaller one has the first of them."""

WAIT_S = 300.0
"""So long a next record, a process to kill, or an end is waited for; more is a hang."""

Metrics = dict[tuple[str, int], dict[str, float]]
"""Method and seed -> the values of its metrics."""


def metrics_of(records: list[Record]) -> Metrics:
    return {(r.spec.method, r.spec.seed): {name: m.value for name, m in r.metrics.items()} for r in records}


class Field:
    """A folder with a suite and a store, and the driver that works on it."""

    def __init__(self, folder: Path, name: str, dice: random.Random, seeds: int, stages: str, pause_s: float) -> None:
        self.siege = Siege(name, cells=2 * seeds)
        self.store = folder / "store"
        self.driver: subprocess.Popen[bytes] | None = None
        self.mark = str(folder)
        self._folder = folder
        self._dice = dice
        self._known: dict[str, bytes] = {}
        self._at_start = 0
        folder.mkdir(parents=True)
        write_suite(folder, METHODS.format(pause_s=pause_s), seeds, stages)

    # The driver -------------------------------------------------------------------------------------------------------

    def start(self, *words: str) -> None:
        self._at_start = self.count()
        with (self._folder / "output").open("w") as output, (self._folder / "errors").open("w") as errors:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "allwin", "run", "grid.yaml", "--store", "store", *words],
                cwd=self._folder,
                env=os.environ | {MARK: self.mark},
                stdout=output,
                stderr=errors,
            )

    @property
    def running(self) -> bool:
        return self.driver is not None and self.driver.poll() is None

    def errors(self) -> str:
        return (self._folder / "errors").read_text()

    def moved(self) -> bool:
        """Whether the driver has written something, or has ended."""
        return self.count() > self._at_start or not self.running

    # Killing ----------------------------------------------------------------------------------------------------------

    def kill(self, what: str, victims: list[psutil.Process], explains: int) -> bool:
        """SIGKILL for these at once; False if none was there any more."""
        kill = Kill(what, self._stage(), self.look(), explains, tuple(victim.pid for victim in victims))
        if not _kill(victims):
            return False
        self.siege.kills.append(kill)
        return True

    def wait_for_more(self) -> None:
        """Until there is a record that was not there at the last kill, or the driver ends."""
        before = self.siege.kills[-1].records_before
        self.until(lambda: self.count() > before or not self.running)

    def _stage(self) -> str:
        if any(is_profile(process) for process in self.processes()):
            return "profile"
        return "mid-grid" if self.count() > self._at_start else "starting"

    def processes(self) -> Iterator[psutil.Process]:
        """All of this field that live."""
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    yield process
            except psutil.Error:
                continue

    def find(self, wanted: Callable[[psutil.Process], bool]) -> psutil.Process | None:
        """One of them, by the dice."""
        found = [process for process in self.processes() if wanted(process)]
        return self._dice.choice(sorted(found, key=lambda process: process.pid)) if found else None

    def pause(self, longest_s: float) -> None:
        time.sleep(self._dice.uniform(0, longest_s))

    def until(self, holds: Callable[[], bool]) -> None:
        """Returns once it holds; fails if for long it does not and no record comes either."""
        records, since = self.count(), time.monotonic()
        while not holds():
            if self.count() > records:
                records, since = self.count(), time.monotonic()
            assert time.monotonic() - since < WAIT_S, f"nothing for {WAIT_S:g} s: {self.errors()[-2000:]}"
            time.sleep(0.02)

    # Records ----------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        return sum(1 for _ in self.store.glob("records/*/*.json"))

    def look(self) -> int:
        """How many record files there are; those of the last look that are gone or different are lost."""
        now = {path.name: path.read_bytes() for path in self.store.glob("records/*/*.json")}
        self.siege.lost += sum(now.get(name) != content for name, content in self._known.items())
        self._known = now
        return len(now)

    def settle(self, undisturbed: Metrics, *words: str) -> None:
        """The same command until the grid is whole; then everything that was promised is checked."""
        self.until(lambda: not self.running)
        self.start("--json", *words)
        self.until(lambda: not self.running)
        output = (self._folder / "output").read_text()
        assert output, self.errors()
        if failed_still := json.loads(output)["failed"]:
            self.siege.hit_twice += failed_still
            self.start("--json", "--retry", "crash", *words)
            self.until(lambda: not self.running)
        assert self.driver and self.driver.returncode == 0, f"{self.driver}: {output}, {self.errors()}"
        self.siege.records_after = self.look()
        self.siege.leftovers = sum(1 for _ in self.store.rglob(".*.tmp"))
        # Each attempt, not only the latest; a file that is no record raises.
        files = Store(self.store).files()
        self.siege.time_waits([path.stat().st_mtime for path in files])
        records = [read_record(path) for path in files]
        good = [record for record in records if record.status == "ok"]
        failed = [record for record in records if record.status != "ok"]
        self.siege.doubled = sum(times > 1 for times in Counter(record.key for record in good).values())
        self.siege.attribute(failed)
        assert self.siege.lost == 0
        assert self.siege.doubled == 0
        assert len(good) == self.siege.cells
        assert not (self.store / "set-aside").exists()
        assert {record.failure.cause for record in failed if record.failure} <= {"crash"}
        assert len(failed) <= sum(kill.explains for kill in self.siege.kills)
        found = metrics_of(good)
        assert len(found) == self.siege.cells
        assert found == {where: undisturbed[where] for where in found}
        verify = [sys.executable, "-m", "allwin", "verify", "--store", "store"]
        verified = subprocess.run(verify, cwd=self._folder, capture_output=True, text=True, check=False, timeout=120)
        assert verified.returncode == 0, verified.stdout

    def nothing_left(self) -> None:
        """No process of this field may stay; Ray's own agents take up to half a minute to notice a killed driver."""
        self.until(lambda: not any(self.processes()))

    def end(self) -> None:
        """What is still there after a test that failed."""
        _kill(list(self.processes()))


NewField = Callable[..., Field]
"""Called with a name, and with seeds, stages and pause_s where they differ from the usual ones."""


def _kill(victims: list[psutil.Process]) -> bool:
    hit = False
    for victim in victims:
        try:
            victim.send_signal(signal.SIGKILL)
            hit = True
        except psutil.NoSuchProcess:
            continue
    return hit


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; empty for one that has gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def is_worker(process: psutil.Process) -> bool:
    return any(word.startswith("ray::Worker") for word in words_of(process)[:1])


def is_warden(process: psutil.Process) -> bool:
    return any(word.startswith("ray::Warden") for word in words_of(process)[:1])


def is_profile_server(process: psutil.Process) -> bool:
    return "bench.fresh" in words_of(process) and not is_profile(process)


def is_profile(process: psutil.Process) -> bool:
    """A fork of the server."""
    parent = process.parent() if "bench.fresh" in words_of(process) else None
    return parent is not None and "bench.fresh" in words_of(parent)


def is_raylet(process: psutil.Process) -> bool:
    return any(word.endswith("/raylet") for word in words_of(process)[:1])


def is_gcs(process: psutil.Process) -> bool:
    return any(word.endswith("/gcs_server") for word in words_of(process)[:1])
