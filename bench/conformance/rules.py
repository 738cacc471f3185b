"""What a rule is, and what it found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from bench.conformance.subject import Subject


class Broken(Exception):
    """A rule is not kept. `cause` is the likeliest reason, where it is another than the rule's own."""

    def __init__(self, saw: str, cause: str = "") -> None:
        super().__init__(saw)
        self.cause = cause


class NotApplicable(Exception):
    """A rule has nothing to say here, and why."""


@dataclass(frozen=True)
class Outcome:
    """What a rule found."""

    rule: str
    meaning: str
    state: Literal["pass", "fail", "skip"]
    saw: str
    cause: str = ""
    """The likeliest cause of a failure, and its mend."""


@dataclass(frozen=True)
class Rule:
    """One thing that must hold. `holds` returns what it saw, or raises `Broken` or `NotApplicable`."""

    name: str
    meaning: str
    holds: Callable[[Subject], str]
    cause: str
    """The likeliest cause where it does not hold."""
    needs: tuple[str, ...]
    """Rules that must have passed. So one fault shows as one failure."""

    def apply(self, subject: Subject, before: Mapping[str, Outcome]) -> Outcome:
        missing = [name for name in self.needs if name in before and before[name].state != "pass"]
        if missing:
            return Outcome(self.name, self.meaning, "skip", f"needs {' and '.join(missing)}")
        try:
            return Outcome(self.name, self.meaning, "pass", self.holds(subject))
        except NotApplicable as reason:
            return Outcome(self.name, self.meaning, "skip", str(reason))
        except Broken as fault:
            return Outcome(self.name, self.meaning, "fail", str(fault), fault.cause or self.cause)
        except (Exception, SystemExit) as error:  # the code under check may do anything
            return Outcome(self.name, self.meaning, "fail", told(error), self.cause)


def rule(
    name: str, meaning: str, *, cause: str, needs: tuple[str, ...] = ()
) -> Callable[[Callable[[Subject], str]], Rule]:
    """Makes a function a rule."""
    return lambda holds: Rule(name, meaning, holds, cause, needs)


def told(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")
