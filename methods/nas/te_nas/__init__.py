"""TE-NAS: architecture search without training, by pruning a supernet at initialisation.

Chen, Gong and Wang, "Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired Perspective",
ICLR 2021.

    trainability, section 3.1            `methods/nas/_kappa.py`
    expressivity, section 3.2            `methods/nas/_regions.py`
    pruning by importance, Algorithm 1   the loop of `TENAS.fit`; ranks and rules in pruning.py
    edges of the DARTS space             `TENAS._drop_edges`

A supernet has all operators but `none` on every edge. In each round every operator is taken off by itself, and those go
that lower the condition number most and lose the fewest linear regions, by the sum of their ranks over all edges. Where
a node keeps some of its edges only, those go in the end that matter least.

Differs from the authors' code (docs/nas.md says more):
1. Weights are drawn anew in every repeat, Kaiming normal, as the paper means it; the released script draws none of
   them again (`init`).
2. A kernel that is singular has kappa 1e5 also where rounding makes its least eigenvalue negative.
3. Among equals of one edge the operator whose removal lowers kappa more goes first.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from bench import Count, Natural, Presets, Run, method
from bench.training import Memory
from methods.nas._indicators import Measure, Place, indicators
from methods.nas.te_nas.pruning import (
    WHOLE,
    Alive,
    Candidate,
    choice,
    contestants,
    drop,
    everything,
    importances,
    operator_weights,
    order_of,
    pruned,
    without,
)
from tasks.nas import Architecture, Found, NASProblem
from tasks.nas.spaces import Space, groups


class Changes(NamedTuple):
    """What taking each candidate away does, and what the network has before; None where it is not looked at."""

    kappa_drops: list[float] | None
    region_drops: list[float] | None
    kappa: float | None
    regions: float | None


@method("nas", paper="tenas")
@dataclass(frozen=True)
class TENAS:
    """Prunes a supernet at initialisation to the cell that is most trainable and most expressive; trains nothing."""

    score: Literal["both", "kappa", "regions"] = "both"
    """What is looked at: the condition number of the NTK, the number of linear regions, or both."""
    rule: Literal["rank-sum", "rank-min", "rank-max", "raw"] = "rank-sum"
    """How the two are combined: the sum, the least or the greatest of the two ranks, or the sum of the changes."""
    init: Literal["kaiming", "default"] = "kaiming"
    """Initial weights: Kaiming normal, drawn for each repeat; or torch's own, A FAULT OF THE RELEASED SCRIPT, which
    means the former and names it wrongly: one draw for kappa in all the search, and one a candidate for regions."""
    common_random_numbers: bool = False
    """Whether all candidates of a round and repeat are measured with the same weights and inputs, so that the network
    they are compared with is measured once; otherwise each has draws of its own, as in the paper."""
    repeats: Count = 3
    """Draws over which changes are averaged."""
    batch: Count = 72
    """Images of the NTK, where every edge is kept; 32 in the paper's appendix."""
    batch_darts: Count = 14
    """The same where a node keeps some edges only; 24 in the search on ImageNet."""
    prune_number: Count = 1
    """Operators that each edge loses in a round, where every edge is kept."""
    prune_number_darts: Count = 3
    """The same where a node keeps some edges only; 2 in the search on ImageNet."""
    region_batches: Count = 3
    region_batch: Count = 1000
    """Inputs in each of these batches; 5,000 in all in the paper's appendix."""
    decimals: Natural = 3
    """To which the changes of each repeat are rounded."""

    presets: ClassVar[Presets] = {
        "smoke": {"repeats": 1, "batch": 6, "batch_darts": 3, "region_batches": 1, "region_batch": 64},
        "small": {"repeats": 1, "batch": 32, "batch_darts": 8},
        "gpu": {"batch": 32},
    }

    def fit(self, problem: NASProblem, run: Run) -> Found:
        measure = indicators(
            problem,
            run,
            init=self.init,
            batch=self.batch if problem.space.kept is None else self.batch_darts,
            region_batches=self.region_batches,
            region_batch=self.region_batch,
        )
        return Found(self.find(problem.space, measure, run))

    def find(self, space: Space, measure: Measure, run: Run) -> Architecture:
        """Prunes all operators of a space to an architecture, by whatever measures networks."""
        number = self.prune_number if space.kept is None else self.prune_number_darts
        state = {"search": Memory(alive=everything(space), candidates=0, dropped=[])}
        search, operators = state["search"], len(space.operators)

        for step in run.steps(rounds(search.alive, number), state, name="prune"):
            candidates = contestants(search.alive)
            found = self._changes(measure, operators, search.alive, candidates, ("prune", step))
            importance = importances(found.kappa_drops, found.region_drops, self.rule)
            log(run, step, found, search.alive)
            search.alive = pruned(search.alive, candidates, order_of(importance, found.kappa_drops), number)
            search.candidates += len(candidates)

        if space.kept is not None:
            self._drop_edges(space, measure, run, state)
        for edge in search.dropped:
            search.alive[edge] = []
        architecture = Architecture(space, choice(search.alive))
        run.artefact("architecture", str(architecture))
        run.artefact("candidates", search.candidates)
        return architecture

    def _drop_edges(self, space: Space, measure: Measure, run: Run, state: dict[str, Memory]) -> None:
        """In each node that has more edges than it keeps, the least important go; all are measured in one network."""
        kept, search, operators = space.kept or 0, state["search"], len(space.operators)
        nodes = [group for group in groups(space) if len(group) > kept]
        for step in run.steps(len(nodes), state, name="edges"):
            candidates = [Candidate(edge, WHOLE) for edge in nodes[step]]
            found = self._changes(measure, operators, search.alive, candidates, ("edges", step))
            importance = importances(found.kappa_drops, found.region_drops, self.rule)
            log(run, step, found, search.alive)
            going = order_of(importance, found.kappa_drops)[: len(candidates) - kept]
            search.dropped = [*search.dropped, *(candidates[place].edge for place in going)]
            search.candidates += len(candidates)

    def _changes(
        self, measure: Measure, operators: int, alive: Alive, candidates: Sequence[Candidate], round_: tuple[str, int]
    ) -> Changes:
        """The mean changes of both indicators when each candidate is taken away."""
        kappas, regions = (
            self._one_indicator(measure, operators, name, alive, candidates, round_)
            if self.score in ("both", name)
            else None
            for name in ("kappa", "regions")
        )
        return Changes(
            kappa_drops=kappas and kappas[0],
            region_drops=regions and regions[0],
            kappa=kappas and kappas[1],
            regions=regions and regions[1],
        )

    def _one_indicator(
        self,
        measure: Measure,
        operators: int,
        name: str,
        alive: Alive,
        candidates: Sequence[Candidate],
        round_: tuple[str, int],
    ) -> tuple[list[float], float]:
        """The mean drops of an indicator, and its median before, over all draws."""
        indicator = measure.kappa if name == "kappa" else measure.regions
        drops: list[list[float]] = [[] for _ in candidates]
        whole: list[float] = []
        for repeat in range(self.repeats):
            before: float | None = None
            for number, candidate in enumerate(candidates):
                inputs_at: Place = (*round_, repeat) if self.common_random_numbers else (*round_, repeat, number)
                weights_at = self._weights_at(name, inputs_at, round_, number)
                if before is None or not self.common_random_numbers:
                    before = indicator(operator_weights(alive, operators), weights_at, inputs_at)
                    whole.append(before)
                after = indicator(operator_weights(without(alive, candidate), operators), weights_at, inputs_at)
                drops[number].append(drop(before, after, self.decimals))
        return [statistics.fmean(each) for each in drops], statistics.median(whole)

    def _weights_at(self, name: str, inputs_at: Place, round_: tuple[str, int], number: int) -> Place:
        """Where the weights are drawn: with the inputs, or as seldom as the released script does."""
        if self.init == "kaiming":
            return inputs_at
        if name == "kappa":
            return ()
        return round_ if self.common_random_numbers else (*round_, number)


def rounds(alive: Alive, number: int) -> int:
    """After how many rounds every edge has one operator."""
    return -(-(max(len(there) for there in alive) - 1) // number)


def log(run: Run, step: int, found: Changes, alive: Alive) -> None:
    """What the supernet has before a round: the median of kappa, of regions, and the operators that are there."""
    values = {"kappa": found.kappa, "regions": found.regions, "alive": float(sum(len(there) for there in alive))}
    run.log(step, **{name: value for name, value in values.items() if value is not None})
