"""Trials share a memory only as far as it reaches."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from record_factory import record

from bench.admission import MARGIN, USABLE, Memory, Needs
from bench.record import Measurement

GIB = 2**30


def peaked(value: float | None, seed: int = 0, **detail: Any) -> Any:
    reason = "" if value is not None else "no counter"
    peak = Measurement(value=value, unit="byte", reason=reason, detail=detail)
    return record(seed=seed, training={"fit_peak_memory_bytes": peak})


@given(
    st.integers(1, 80 * GIB),
    st.lists(st.tuples(st.booleans(), st.one_of(st.none(), st.integers(0, 100 * GIB))), max_size=30),
)
def test_a_gpu_never_holds_more_than_its_memory_unless_by_one_alone(total: int, moves: list[Any]) -> None:
    memory = Memory(total, careful=True)
    for number, (ends, need) in enumerate(moves):
        if ends and memory.needs:
            memory.leave(next(iter(memory.needs)))
        elif memory.admits(need):
            memory.enter(str(number), need)
        if len(memory.needs) > 1:
            assert None not in memory.needs.values()
            assert sum(need or 0 for need in memory.needs.values()) <= USABLE * total


def test_a_trial_of_unknown_need_has_a_gpu_to_itself() -> None:
    memory = Memory(80 * GIB, careful=True)
    memory.enter("known", 1 * GIB)
    assert not memory.admits(None)
    memory.leave("known")
    assert memory.admits(None)
    memory.enter("unknown", None)
    assert not memory.admits(1)


def test_a_host_whose_trials_are_watched_lets_unknown_ones_in_and_counts_the_known() -> None:
    memory = Memory(10 * GIB, careful=False)
    memory.enter("unknown", None)
    assert memory.admits(None)
    assert memory.admits(9 * GIB)
    assert not memory.admits(10 * GIB)


def test_what_is_larger_than_the_memory_may_try_alone() -> None:
    assert Memory(1 * GIB, careful=True).admits(2 * GIB)


def test_the_largest_peak_of_a_kind_counts_with_a_margin_whatever_the_seed() -> None:
    needs = Needs([peaked(1_000, seed=0), peaked(3_000, seed=1), peaked(2_000, seed=2)])
    assert needs.of(peaked(0, seed=9).spec, None) == int(MARGIN * 3_000)


def test_what_the_allocator_reserved_counts_where_it_is_known() -> None:
    assert Needs([peaked(1_000, reserved_bytes=4_000)]).of(peaked(0).spec, None) == int(MARGIN * 4_000)


def test_what_was_learned_wins_over_what_was_declared_and_nothing_is_made_up() -> None:
    other = record(budget="gpu").spec
    assert Needs([peaked(1_000)]).of(peaked(0).spec, 50) == int(MARGIN * 1_000)
    assert Needs([peaked(1_000)]).of(other, 50) == 50
    assert Needs([peaked(None)]).of(peaked(0).spec, None) is None
