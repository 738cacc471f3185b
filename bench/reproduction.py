"""Published figures held against what was measured here.

Three kinds of agreement are never mixed: `exact` must round to the printed digits, `full` must come within a bar of the
printed value, `scaled` reproduces nothing. A recalled figure is shown beside what was measured, and judges nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Literal, get_args

from bench.contracts import STAGES, Budget
from bench.evidence import Ask, Evidence, Measured
from bench.grid import Cell
from bench.papers import Figure, Kind, Paper, PaperTable, Recipe, TableColumn, TableRow
from bench.stats import Interval, mean_interval

Verdict = Literal["reproduced", "not reproduced", "could not run", "not attempted"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

SEEDS = 3
"""Of a figure that says nothing else; an exact one takes a single seed, since none changes it."""

DIGITS = 400
"""More than any figure of a record has."""


@dataclass(frozen=True)
class Reproduction:
    """One cell of a published table: what was printed, what was measured, and what follows."""

    paper: str
    table: PaperTable
    row: TableRow
    column: TableColumn
    kind: Kind | None
    """None where nothing says how it is measured."""
    measured: Interval | None
    """In the printed unit; of the seeds that have a value."""
    difference: float | None
    """Measured minus printed."""
    verdict: Verdict
    why: str
    """One line."""
    cells: tuple[Cell, ...] = ()
    """The trials that measure it; none where it is not attempted."""

    @property
    def figure(self) -> Figure:
        return self.row.cells[self.column.id]


def reproductions(paper: Paper, tables: Iterable[PaperTable], budget: Budget, evidence: Evidence) -> list[Reproduction]:
    """Every cell of these tables, in the order of the page."""
    return [
        _reproduction(paper, table, row, column, budget, evidence)
        for table in tables
        for row in table.rows
        for column in table.columns
        if column.id in row.cells
    ]


def _reproduction(
    paper: Paper, table: PaperTable, row: TableRow, column: TableColumn, budget: Budget, evidence: Evidence
) -> Reproduction:
    general = table.recipe(row, column)
    recipe = general.at_budget(budget)
    figure = row.cells[column.id]
    kind = (recipe or general).kind
    ask = _asked(general, recipe, figure, budget)
    if isinstance(ask, str):
        return Reproduction(paper.name, table, row, column, kind, None, None, "not attempted", ask)
    assert recipe
    # What needs no data is measured as published, whatever the budget: a preset would shrink it.
    at = "paper" if recipe.kind == "exact" else budget
    found = evidence.measured(ask, at)
    measured = in_print(found, recipe)
    difference = float(Decimal(str(measured.mean)) - _number(figure)) if measured else None
    if found.gap:
        verdict: Verdict = "could not run" if found.gap.state == "could not run" else "not attempted"
        why = found.gap.why
        if found.gap.state == "not run":
            why += f"; `allwin reproduce {paper.name}/{table.id} --budget {budget}` runs it"
    else:
        assert measured
        verdict, why = judge(figure, recipe, measured, f"{found.cells[0].spec.dataset} at {at} budget")
    return Reproduction(paper.name, table, row, column, kind, measured, difference, verdict, why, found.cells)


def _asked(general: Recipe, recipe: Recipe | None, figure: Figure, budget: Budget) -> Ask | str:
    """What has to be measured for a figure; or, as a text, why nothing is."""
    if reason := (recipe or general).impossible:
        return " ".join(reason.split())
    if recipe is None:
        return f"nothing at {budget} budget; it has {', '.join(general.at)}"
    if figure.printed is None:
        return "nothing is printed there"
    if recipe.task is None or recipe.method is None or recipe.quantity is None or recipe.kind is None:
        missing = [name for name in ("task", "method", "quantity", "kind") if getattr(recipe, name) is None]
        return f"its paper's file does not say how it is measured: no {', no '.join(missing)}"
    return Ask(
        task=recipe.task,
        method=recipe.method,
        quantity=recipe.quantity,
        seeds=recipe.seeds if recipe.seeds is not None else 1 if recipe.kind == "exact" else SEEDS,
        parameters=recipe.parameters,
        dataset=recipe.dataset,
        settings=recipe.settings,
        stages=tuple(recipe.stages or STAGES),
    )


def in_print(found: Measured, recipe: Recipe) -> Interval | None:
    """The values as they would be printed: scale x measured + offset. None where no seed has one."""
    # In decimals, so that an exact figure is not lost to the binary image of a scale such as 1e-6.
    scale = Decimal(str(1.0 if recipe.scale is None else recipe.scale))
    offset = Decimal(str(recipe.offset or 0.0))
    values = [float(scale * Decimal(str(value)) + offset) for value in found.values.values()]
    return mean_interval(values) if values else None


def judge(figure: Figure, recipe: Recipe, measured: Interval, where: str = "") -> tuple[Verdict, str]:
    """The verdict on a figure that was measured with every seed, and the bar that it was held against."""
    if recipe.kind == "scaled":
        return "not attempted", f"scaled: measured on {where}, which can support a claim, not reproduce a figure"
    if figure.certainty == "recalled":
        return "not attempted", "recalled figure: no bar to pass"
    with localcontext(prec=DIGITS):
        mean, printed = Decimal(str(measured.mean)), _number(figure)
        if recipe.kind == "exact":
            if mean.quantize(printed, ROUND_HALF_EVEN) == printed:
                return "reproduced", f"rounds to the printed {figure.printed}"
            if recipe.tolerance is not None and abs(mean - printed) <= Decimal(str(recipe.tolerance)):
                off = f"off by {float(abs(mean - printed)):.3g}"
                return "reproduced", f"{off}, within the {recipe.tolerance:g} that its source leaves open"
            return "not reproduced", f"measured {mean.normalize():f}, printed {figure.printed}"
        distance = abs(mean - printed)
        bar, name = _bar(figure, recipe, measured)
        verdict: Verdict = "reproduced" if distance <= bar else "not reproduced"
        within = "within" if distance <= bar else "beyond"
        return verdict, f"off by {float(distance):.3g}, {within} {name} of {float(bar):.3g}"


def _bar(figure: Figure, recipe: Recipe, measured: Interval) -> tuple[Decimal, str]:
    """How far off a `full` figure may be, in the printed unit, and by what right."""
    if recipe.tolerance is not None:
        return Decimal(str(recipe.tolerance)), "the tolerance"
    spread = Decimal((figure.spread or "0").replace(",", ""))
    if spread > 0:
        return spread, "the published spread"
    half_unit = Decimal(5).scaleb(int(_number(figure).as_tuple().exponent) - 1)
    half_width = Decimal(str(measured.half_width or 0.0))
    if half_width > half_unit:
        return half_width, "the measured interval's half width"
    return half_unit, "half a unit of the last printed place"


def _number(figure: Figure) -> Decimal:
    assert figure.printed is not None
    return Decimal(figure.printed.replace(",", ""))
