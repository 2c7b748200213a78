"""The agenda: what is due first comes first, and an old answer revives nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.objects import FlowRun

from ocs.timing import timing
from ocs.worker.due_queue import DueQueue, Held

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NOTHING: frozenset[UUID] = frozenset()


def held(number: int, seconds: float = 0) -> Held:
    flow_run = FlowRun(id=UUID(int=number), flow_id=UUID(int=1), name=f"run {number}")
    return Held(flow_run, NOON + timedelta(seconds=seconds), NOON)


def taken(due_queue: DueQueue, before: datetime = NOON + timedelta(days=1)) -> list[int]:
    numbers: list[int] = []
    while first := due_queue.take(before):
        numbers.append(first.flow_run.id.int)
    return numbers


def test_first_due_first_taken_and_equals_as_they_were_seen() -> None:
    due_queue = DueQueue()
    due_queue.update([held(3, 5), held(1, 9), held(2, 5)], complete=True, except_for=NOTHING)
    assert due_queue.next_start() == NOON + timedelta(seconds=5)
    assert taken(due_queue) == [3, 2, 1]
    assert due_queue.next_start() is None


def test_nothing_is_taken_before_it_is_due() -> None:
    due_queue = DueQueue()
    due_queue.update([held(1, 1), held(2, 3)], complete=True, except_for=NOTHING)
    assert taken(due_queue, NOON) == []
    assert taken(due_queue, NOON + timedelta(seconds=1)) == [1]


def test_what_a_complete_answer_does_not_name_is_dropped() -> None:
    due_queue = DueQueue()
    due_queue.update([held(1), held(2)], complete=True, except_for=NOTHING)
    assert due_queue.update([held(2), held(3)], complete=True, except_for=NOTHING) == [held(3)]
    assert taken(due_queue) == [2, 3]


def test_an_answer_that_was_cut_off_drops_nothing() -> None:
    due_queue = DueQueue()
    due_queue.update([held(1), held(2)], complete=True, except_for=NOTHING)
    due_queue.update([held(3)], complete=False, except_for=NOTHING)
    assert taken(due_queue) == [1, 2, 3]


def test_a_new_time_replaces_the_old_one() -> None:
    due_queue = DueQueue()
    due_queue.update([held(1, 1), held(2, 2)], complete=True, except_for=NOTHING)
    due_queue.update([held(1, 9), held(2, 2)], complete=True, except_for=NOTHING)
    assert taken(due_queue) == [2, 1]


def test_an_answer_that_is_older_than_the_start_of_a_run_does_not_bring_it_back() -> None:
    due_queue = DueQueue()
    due_queue.update([held(1)], complete=True, except_for=NOTHING)
    assert due_queue.take(NOON) == held(1)
    assert due_queue.update([held(1), held(2)], complete=True, except_for={UUID(int=1)}) == [held(2)]
    assert taken(due_queue) == [2]


def test_dropping_and_clearing() -> None:
    due_queue = DueQueue()
    due_queue.update([held(1), held(2), held(3)], complete=True, except_for=NOTHING)
    due_queue.drop(UUID(int=2))
    due_queue.drop(UUID(int=77))
    assert len(due_queue) == 2
    assert due_queue.clear() == 2
    assert taken(due_queue) == []


def occurrence(number: int, minute: int, line: int = 1) -> Held:
    at = NOON + timedelta(minutes=minute)
    flow_run = FlowRun(id=UUID(int=number), flow_id=UUID(int=1), deployment_id=UUID(int=line))
    return Held(flow_run, at, NOON + timedelta(hours=1), late_from=at + timedelta(minutes=1))


def test_what_is_overtaken_makes_way_until_it_was_looked_at_after_the_newer_one_has_ended() -> None:
    due_queue, later = DueQueue(), NOON + timedelta(hours=2)
    due_queue.update([occurrence(number, number) for number in range(1, 6)], complete=True, except_for=NOTHING)
    assert taken(due_queue, later) == [5]
    (found,) = due_queue.superseded(later, 2)
    assert [each.id.int for each in found.held] == [1, 2]
    due_queue.ended(UUID(int=5))
    due_queue.looked_at([found], {UUID(int=1)})
    assert taken(due_queue, later) == [], "it was looked at before the end, and not at all of it"
    (found,) = due_queue.superseded(later, 10)
    due_queue.looked_at([found], {UUID(int=2)})
    assert taken(due_queue, later) == [4], "the next newest, for the other was not claimed after all"


def test_each_job_is_looked_at() -> None:
    due_queue, later = DueQueue(), NOON + timedelta(hours=2)
    lines = [occurrence(10 * line + minute, minute, line) for line in (1, 2) for minute in range(5)]
    due_queue.update(lines, complete=True, except_for=NOTHING)
    taken(due_queue, later)
    seen: list[int] = []
    for _ in range(2):
        found = due_queue.superseded(later, 3)
        seen += [each.job.int for each in found]
        due_queue.looked_at(found, NOTHING)
    assert seen == [1, 2]


def test_a_late_one_rests_when_it_is_first_seen() -> None:
    due_queue, seen_at = DueQueue(), NOON + timedelta(hours=1)
    due_queue.update([occurrence(1, 1)], complete=True, except_for=NOTHING)
    assert taken(due_queue, seen_at) == []
    assert due_queue.next_start(seen_at) == seen_at + timing().late_rest
    due_queue.update([occurrence(2, 2)], complete=False, except_for=NOTHING)
    assert taken(due_queue, seen_at + timing().late_rest) == [2]


answers = st.lists(st.dictionaries(st.integers(1, 9), st.integers(0, 60), max_size=9), max_size=5)


@given(answers=answers, until=st.integers(0, 60))
def test_after_any_answers_exactly_the_last_ones_runs_are_taken_in_order_and_none_early(
    answers: list[dict[int, int]], until: int
) -> None:
    due_queue = DueQueue()
    for answer in answers:
        due_queue.update([held(n, s) for n, s in answer.items()], complete=True, except_for=NOTHING)
    last = answers[-1] if answers else {}
    got = taken(due_queue, NOON + timedelta(seconds=until))
    assert sorted(got) == sorted(number for number, second in last.items() if second <= until)
    assert [last[number] for number in got] == sorted(last[number] for number in got)
