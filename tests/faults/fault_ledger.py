"""What was killed and what became of the records: counted while it happens, shown as a table at the end."""

import platform
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

from bench import provenance
from bench.record import Record

COLUMNS = (
    "what was killed",
    "while",
    "kills",
    "records before -> after",
    "lost",
    "doubled",
    "trials tried again",
    "longest wait for the next record (s)",
)


@dataclass(eq=False)
class Kill:
    """One SIGKILL, or several at once for a node with all its processes."""

    what: str
    stage: str
    records_before: int
    explains: int
    """How many trials may fail because of it."""
    pids: tuple[int, ...] = ()
    at: float = field(default_factory=time.time)
    wait_s: float = 0.0
    """Until the next record was there, whoever wrote it; 0 if something else was killed first."""
    tried_again: int = 0


@dataclass(eq=False)
class Siege:
    """One grid from its first kill until it was whole."""

    name: str
    cells: int
    kills: list[Kill] = field(default_factory=list)
    records_after: int = 0
    """When its grid was whole."""
    lost: int = 0
    """Records that were there once and were not, or were different, later."""
    doubled: int = 0
    """Keys with more than one good record."""
    leftovers: int = 0
    """Half-written files with names that nothing reads."""
    hit_twice: int = 0
    """Trials whose second attempt was killed too: they stay failed until `--retry crash`."""

    def attribute(self, failed: list[Record]) -> None:
        """A failed attempt belongs to the kill of its worker, or else to the last one before it ended."""
        for record in failed:
            ended = datetime.fromisoformat(record.ended).timestamp()
            earlier = [kill for kill in self.kills if kill.at <= ended + 0.001]
            assert earlier, f"{record.key} failed before anything was killed"
            its_own = [kill for kill in earlier if record.provenance.worker_pid in kill.pids]
            (its_own or earlier)[-1].tried_again += 1

    def time_waits(self, written: list[float]) -> None:
        """From when each record was written: how long after a kill the next one was."""
        kills = [*(kill.at for kill in self.kills), float("inf")]
        for kill, following in zip(self.kills, kills[1:], strict=True):
            after = min((moment for moment in written if moment > kill.at), default=kill.at)
            kill.wait_s = after - kill.at if after <= following else 0.0


def as_markdown(sieges: list[Siege]) -> str:
    """One row for each kind of kill at each stage, and a last one for all."""
    rows: list[tuple[str, ...]] = []
    for siege_name in dict.fromkeys(siege.name for siege in sieges):
        alike = [siege for siege in sieges if siege.name == siege_name]
        kinds = dict.fromkeys((kill.what, kill.stage) for siege in alike for kill in siege.kills)
        for what, stage in sorted(kinds):
            concerned = [r for r in alike if any((kill.what, kill.stage) == (what, stage) for kill in r.kills)]
            kills = [kill for r in concerned for kill in r.kills if (kill.what, kill.stage) == (what, stage)]
            rows.append(_row(f"{what} ({siege_name})", stage, kills, concerned))
    rows.append(_row("all", "", [kill for siege in sieges for kill in siege.kills], sieges))
    head = [COLUMNS, ("---", "---", *["---:"] * (len(COLUMNS) - 2))]
    return "".join("| " + " | ".join(row) + " |\n" for row in (*head, *rows))


def _row(what: str, stage: str, kills: list[Kill], sieges: list[Siege]) -> tuple[str, ...]:
    """Records before: those at the first of these kills of each siege."""
    before = sum(next(kill.records_before for kill in siege.kills if kill in kills) for siege in sieges)
    return (
        what,
        stage,
        str(len(kills)),
        f"{before} -> {sum(siege.records_after for siege in sieges)}",
        str(sum(siege.lost for siege in sieges)),
        str(sum(siege.doubled for siege in sieges)),
        str(sum(kill.tried_again for kill in kills)),
        f"{max((kill.wait_s for kill in kills), default=0):.1f}",
    )


def headline(command: str) -> str:
    """Date, machine and command: what a table without them is worth nothing for."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("ray", "torch"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {provenance.hardware('cpu')}, Python {platform.python_version()}, {packages}; "
        f"`{command}`"
    )


EXPLANATION = """# Faults

`tox -e faults` kills processes with SIGKILL, at random moments, under grids of {cells} trivial cells, and holds what
the stores then have against what they had. The suite wrote this page.

{headline}

{kills} kills. After each the record files are compared byte for byte with those before it; a file that is gone or
different is *lost*. When the kills of a grid are over, the same command runs until the grid is whole, and then

* each cell has exactly one good record, else it is *doubled*; its metrics are those of a run without any kill;
* an earlier attempt has failed with the cause `crash`, and there are no more of these than the kills explain;
* `allwin verify` finds no fault, nothing was set aside, and no process is left.

What is killed: **drivers**, while they start and in mid-grid; **workers**; with profiles on, also the **warden** of
the node, the **server** that forks the processes which measure, and such a **profile** itself; **Ray's** own two
servers under a driver, which then ends with one line; and on a cluster of two working nodes a **node**, by its raylet
alone or with all its processes, which is put back afterwards. Lost and doubled are counted over the whole grid to
which a row belongs, and records before are those at its first kill. Tried again are failed records, two for a trial
that was hit twice; a driver or a node that is lost leaves none.

{table}
{hit_twice} trials lost both of their attempts to kills, and ran a third time with `--retry crash`. {leftovers}
half-written files stayed behind, under names that nothing reads.
"""


def page(sieges: list[Siege], command: str) -> str:
    """The whole page of the documentation."""
    return EXPLANATION.format(
        cells=" and ".join(str(cells) for cells in sorted({siege.cells for siege in sieges})),
        headline=headline(command),
        kills=sum(len(siege.kills) for siege in sieges),
        table=as_markdown(sieges),
        hit_twice=sum(siege.hit_twice for siege in sieges),
        leftovers=sum(siege.leftovers for siege in sieges),
    )
