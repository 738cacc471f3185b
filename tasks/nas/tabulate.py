"""Makes the table of `digits-cells` from the records of its training.

    allwin run nas-cells --store results/nas-cells
    python -m tasks.nas.tabulate results/nas-cells

A row for each cell and seed: what the network trained with it reached, what it holds and costs, and which record says
so. Whatever changes the table also raises the version of the card of `digits-cells`, which is part of every key.
"""

import csv
import io
import sys
from collections.abc import Iterable
from pathlib import Path

from bench import UserError
from bench.record import Record
from bench.store import Store
from tasks.nas.datasets import DIGITS_CELLS, DIGITS_CELLS_TABLE

COLUMNS = ("cell", "seed", "architecture", "validation", "test", "parameters", "macs", "key", "commit")


def table_of(records: Iterable[Record]) -> str:
    """The table as text. Raises `UserError` if a cell lacks a seed that another has, or is there twice."""
    rows: dict[tuple[int, int], dict[str, object]] = {}
    for record in records:
        if record.spec.dataset != "digits-cells-training" or record.status != "ok":
            continue
        cell, seed = int(record.spec.parameters["cell"]), record.spec.seed
        if (cell, seed) in rows:
            raise UserError(f"cell {cell} with seed {seed} has two records; tabulate a store of one protocol only")
        rows[cell, seed] = {
            "cell": cell,
            "seed": seed,
            "architecture": str(DIGITS_CELLS.architecture(cell)),
            "validation": f"{record.metrics['validation_accuracy'].value:.4f}",
            "test": f"{record.metrics['accuracy'].value:.4f}",
            "parameters": int(record.metrics["network_parameters"].value),
            "macs": int(record.metrics["network_macs"].value),
            "key": record.key,
            "commit": record.provenance.git_commit,
        }
    seeds = {seed for _, seed in rows}
    missing = sorted({(cell, seed) for cell in range(DIGITS_CELLS.size) for seed in seeds} - set(rows))
    if missing or not rows:
        cell, seed = missing[0] if missing else (0, 0)
        raise UserError(
            f"{len(rows)} records of cells, and none of cell {cell} with seed {seed}; run the suite to its end"
        )
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[place] for place in sorted(rows))
    return text.getvalue()


if __name__ == "__main__":
    DIGITS_CELLS_TABLE.write_text(table_of(Store.open(Path(sys.argv[1])).records()))
