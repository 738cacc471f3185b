"""A paper's sentences put to the test on records: effect, interval and verdict.

The effect of a comparison is first minus second, turned so that positive speaks for the claim. Over several data sets a
side's values are averaged within each seed, every data set with the same weight, and the seeds are the pairs: the
verdict is about the mean over these data sets. A correlation is Spearman's over the methods' means, its interval a
percentile bootstrap over seeds; over several data sets the coefficients are averaged.
"""

import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from scipy import stats

from bench.contracts import STAGES, Budget
from bench.evidence import GRAVITY, Ask, Evidence, Measured
from bench.grid import Cell
from bench.papers import Claim, Paper, Side, Where
from bench.stats import LEVEL, half_widths, paired_difference

Verdict = Literal["supported", "contradicted", "undecided", "not run"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

LEAST_PAIRS = 3
"""Fewer seeds decide nothing."""

MOST_SEEDS = 1000
"""As far as it is reckoned how many seeds would decide."""

RESAMPLES = 999
"""Of the bootstrap."""


@dataclass(frozen=True)
class Finding:
    """A claim at a budget, and what the records say of it."""

    paper: str
    claim: Claim
    budget: Budget
    verdict: Verdict
    effect: float | None
    """Positive speaks for the claim; of a correlation, the coefficient."""
    low: float | None
    """Ends of the 95 % interval."""
    high: float | None
    n: int
    """Seeds for which every value stands."""
    why: str
    """One line."""
    cells: tuple[Cell, ...] = ()
    """The trials that it asks for; none where a run would not decide it."""


def findings(paper: Paper, budget: Budget | None, evidence: Evidence) -> list[Finding]:
    """Every claim at a budget; without one, at each budget that it offers."""
    return [_finding(paper, claim, at, evidence) for claim in paper.claims for at in ([budget] if budget else claim.at)]


def _finding(paper: Paper, claim: Claim, budget: Budget, evidence: Evidence) -> Finding:
    where = claim.at.get(budget)
    if where is None:
        why = f"nothing at {budget} budget; it has {', '.join(claim.at)}"
        return Finding(paper.name, claim, budget, "not run", None, None, None, 0, why)
    sides = claim.methods if claim.test == "correlation" else [side for side in (claim.first, claim.second) if side]
    quantities = [claim.quantity, *([claim.other] if claim.other and claim.test == "correlation" else [])]
    # By quantity, data set and side.
    measured = [
        [
            [evidence.measured(_ask(claim, side, where, dataset, quantity), budget) for side in sides]
            for dataset in where.datasets
        ]
        for quantity in quantities
    ]
    flat = [one for by_place in measured for by_side in by_place for one in by_side]
    cells = tuple({cell.key: cell for one in flat for cell in one.cells}.values())
    n = len(set.intersection(*(set(one.values) for one in flat)))
    better = claim.better or evidence.better(claim.task, claim.quantity)
    if not better and claim.test != "correlation" and all(one.cells for one in flat):
        # Told before anything is run in vain.
        why = f"which way is {claim.quantity} good? task {claim.task} does not say; say so in `better`"
        return Finding(paper.name, claim, budget, "not run", None, None, None, n, why)
    if gaps := [(one.gap, one.cells) for one in flat if one.gap]:
        gap, theirs = min(gaps, key=lambda pair: GRAVITY.index(pair[0].state))
        why = f"{theirs[0].spec.method} on {theirs[0].spec.dataset}: {gap.why}" if theirs else gap.why
        if gap.state == "not run":
            why += f"; `allwin claims {paper.name} --budget {budget} --run` runs it"
        # To run one side is in vain while there is no code of the other.
        waiting = any(gap.state == "not here" for gap, _ in gaps)
        return Finding(paper.name, claim, budget, "not run", None, None, None, n, why, () if waiting else cells)
    if claim.test == "correlation":
        return Finding(paper.name, claim, budget, *_correlated(claim, *map(_by_seed, measured)), cells=cells)
    first, second = _by_seed(measured[0]).mean(axis=0)
    pair = (first, second) if better == "high" else (second, first)
    return Finding(paper.name, claim, budget, *compare(claim.test, claim.minimum_effect, *pair), cells=cells)


def _ask(claim: Claim, side: Side, where: Where, dataset: str, quantity: str) -> Ask:
    return Ask(
        task=claim.task,
        method=side.method,
        quantity=quantity,
        seeds=where.seeds,
        # What tells the sides apart wins over what they share.
        parameters={**where.parameters, **side.parameters},
        dataset=side.dataset or dataset,
        settings={**where.settings, **side.settings},
        stages=tuple(where.stages or STAGES),
    )


def _by_seed(measured: Sequence[Sequence[Measured]]) -> Any:
    """Values by data set, side and seed."""
    return np.array([[[one.values[seed] for seed in sorted(one.values)] for one in sides] for sides in measured])


Judged = tuple[Verdict, float | None, float | None, float | None, int, str]
"""Verdict, effect, low, high, n and why."""


def compare(test: str, minimum_effect: float, favoured: Sequence[float], other: Sequence[float]) -> Judged:
    """`better` or `not-worse`, from values by seed that are good where they are high."""
    difference = paired_difference(favoured, other)
    bar = minimum_effect if test == "better" else -minimum_effect
    mean, low, high, n = difference.mean, difference.low, difference.high, difference.n
    if low is None or high is None:
        return "undecided", mean, low, high, n, "one seed; how many would decide cannot be told from one"
    verdict, why = _verdict(low, high, bar, n)
    if verdict == "undecided":
        deviation = statistics.stdev(float(a) - float(b) for a, b in zip(favoured, other, strict=True))
        needed = seeds_to_decide(mean, deviation, bar)
        why += f"; about {needed} seeds would decide" if needed else f"; more than {MOST_SEEDS:,} seeds would decide"
    return verdict, mean, low, high, n, why


def _verdict(low: float, high: float, bar: float, n: int) -> tuple[Verdict, str]:
    if n < LEAST_PAIRS:
        return "undecided", f"{n} seeds, and fewer than {LEAST_PAIRS} decide nothing"
    if low > bar:
        return "supported", f"the interval lies above {bar:g}"
    if high < bar:
        return "contradicted", f"the interval lies below {bar:g}"
    return "undecided", f"the interval holds {bar:g}"


def seeds_to_decide(mean: float, deviation: float, bar: float) -> int | None:
    """The fewest seeds whose interval would leave out the bar, were mean and deviation to stay; None beyond 1,000."""
    counts = np.arange(LEAST_PAIRS, MOST_SEEDS + 1)
    enough = half_widths(deviation, counts) < abs(mean - bar)
    return int(counts[enough][0]) if enough.any() else None


def _correlated(claim: Claim, quantity: Any, other: Any) -> Judged:
    """From values by data set, method and seed."""
    n = quantity.shape[2]

    def coefficient(seeds: Any) -> float:
        pairs = zip(quantity[:, :, seeds].mean(axis=2), other[:, :, seeds].mean(axis=2), strict=True)
        return float(np.mean([stats.spearmanr(x, y).statistic for x, y in pairs]))

    with warnings.catch_warnings():
        # Equal values have no ranks: the coefficient is then not a number, which is told below.
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        rho = coefficient(np.arange(n))
        if np.isnan(rho):
            return "undecided", None, None, None, n, "the methods do not differ, so there are no ranks"
        if n == 1:
            return "undecided", rho, None, None, n, "one seed; how many would decide cannot be told from one"
        interval = stats.bootstrap(
            (np.arange(n),),
            coefficient,
            n_resamples=RESAMPLES,
            vectorized=False,
            confidence_level=LEVEL,
            method="percentile",
            random_state=np.random.default_rng(0),
        ).confidence_interval
    low, high = float(interval.low), float(interval.high)
    if np.isnan(low) or np.isnan(high):
        return "undecided", rho, None, None, n, "in some resamples the methods do not differ, so there is no interval"
    verdict, why = _verdict(low, high, claim.minimum_effect, n)
    if verdict == "undecided":
        why += "; how many seeds would decide cannot be told from a bootstrap"
    return verdict, rho, low, high, n, why
