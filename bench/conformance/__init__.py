"""The rules that a task and a method must keep, each a small function with a name. `allwin check` runs them."""

from bench.conformance import declared, fitted
from bench.conformance.rules import Outcome, Rule
from bench.conformance.subject import Subject

__all__ = ["RULES", "Outcome", "Rule", "Subject", "check"]

DECLARED = (
    declared.imports,
    declared.source,
    declared.constructs,
    declared.frozen,
    declared.presets,
    declared.ranges,
)

RULES = {
    "task": (*DECLARED, fitted.same_problem),
    "method": (
        *DECLARED,
        declared.search,
        fitted.loads,
        fitted.no_network,
        fitted.fits,
        fitted.writes,
        fitted.random_state,
        fitted.global_flags,
        fitted.problem_untouched,
        fitted.protocol,
        fitted.metrics,
        fitted.workload,
        fitted.same_seed,
        fitted.other_seed,
        fitted.resumes,
    ),
}
"""In the order in which they are applied, by kind of entry."""


def check(subject: Subject) -> list[Outcome]:
    """What every rule for this kind of entry found."""
    outcomes: dict[str, Outcome] = {}
    for rule in RULES[subject.entry.kind]:
        outcomes[rule.name] = rule.apply(subject, outcomes)
    return list(outcomes.values())
