"""More is due than can run: a simulation over the agenda and the rule of misfires, with service times by chance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.client.schemas.objects import FlowRun

from ocs.rules.misfire import Newer, missed
from ocs.spec import Schedule
from ocs.timing import timing
from ocs.worker.due_queue import LONG_AGO, DueQueue, Held

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
STEP = 3 * SECOND
MINUTE = timedelta(minutes=1)
SCHEDULE = Schedule.model_validate({"every": "1m"})


@dataclass
class Machine:
    """Runs what the agenda gives it in so many slots; claims as the store does, and passes over as the upkeep does."""

    slots: int
    service: list[int]
    due_queue: DueQueue = field(default_factory=DueQueue)
    now: datetime = NOON
    waiting: dict[UUID, Held] = field(default_factory=dict[UUID, Held])
    running: list[tuple[datetime, int, Held]] = field(default_factory=list[tuple[datetime, int, Held]])
    begun: list[tuple[datetime, Held]] = field(default_factory=list[tuple[datetime, Held]])
    skipped: list[tuple[Held, datetime]] = field(default_factory=list[tuple[Held, datetime]])
    claimed: dict[UUID, datetime] = field(default_factory=dict[UUID, datetime])
    number: int = 0

    def becomes_due(self, job: int, due: datetime) -> None:
        self.number += 1
        flow_run = FlowRun(
            id=UUID(int=self.number), flow_id=UUID(int=1), deployment_id=UUID(int=job), expected_start_time=due
        )
        self.waiting[flow_run.id] = Held(flow_run, due, self.now, due + timing().punctual)

    def goes_on(self, until: datetime) -> None:
        """Begin what is due, skip what is superseded, and end what has had its time."""
        while self.now < until:
            while self.running and self.running[0][0] <= self.now:
                self.due_queue.ended(heappop(self.running)[2].id)
            self.due_queue.update(self.waiting.values(), complete=True, except_for=set())
            while len(self.running) < self.slots and (held := self.due_queue.take(self.now)):
                self.begin(held)
            self.skip_superseded()
            self.now += STEP

    def begin(self, held: Held) -> None:
        if self.skips(held):
            self.due_queue.ended(held.id)
            return
        del self.waiting[held.id]
        takes = self.service[len(self.begun) % len(self.service)]
        self.begun.append((self.now, held))
        self.claimed[line(held)] = max(self.claimed.get(line(held), LONG_AGO), held.starts_at)
        heappush(self.running, (self.now + takes * SECOND, held.id.int, held))

    def skip_superseded(self) -> None:
        found = self.due_queue.superseded(self.now, 50)
        self.due_queue.looked_at(found, {held.id for each in found for held in each.held if self.skips(held)})

    def skips(self, held: Held) -> bool:
        newest = self.claimed.get(line(held))
        newer = Newer(newest) if newest is not None and newest > held.starts_at else None
        if missed(SCHEDULE, held.starts_at, self.now, newer) is None:
            return False
        assert newer is not None
        self.skipped.append((held, newer.due))
        del self.waiting[held.id]
        return True


def line(held: Held) -> UUID:
    assert held.flow_run.deployment_id is not None
    return held.flow_run.deployment_id


loads = st.fixed_dictionaries(
    {
        "jobs": st.integers(1, 8),
        "slots": st.integers(1, 3),
        "minutes": st.integers(3, 12),
        "service": st.lists(st.integers(1, 90), min_size=1, max_size=7),
    }
)


@settings(max_examples=40)
@given(load=loads, was_down=st.integers(0, 20))
def test_every_job_has_its_turn_and_whatever_is_skipped_has_a_newer_run(
    load: dict[str, list[int]], was_down: int
) -> None:
    """All jobs are due every minute; a turn may take longer, and before the beginning everything was down."""
    jobs, minutes = int(load["jobs"]), int(load["minutes"])  # pyright: ignore[reportArgumentType]
    machine = Machine(load["slots"], load["service"])  # pyright: ignore[reportArgumentType]
    for minute in range(-was_down, minutes):
        for job in range(jobs):
            machine.becomes_due(job, NOON + minute * MINUTE)
        if minute >= 0:
            machine.goes_on(NOON + (minute + 1) * MINUTE)
    occurrences = {(line(held), held.starts_at) for _, held in machine.begun}
    assert all((line(held), newer) in occurrences for held, newer in machine.skipped)
    of_each = counts(machine, jobs)
    assert max(of_each) - min(of_each) <= 2
    waits_long = [held for held in machine.waiting.values() if machine.now - held.starts_at > 2 * timing().punctual]
    assert len(machine.running) == machine.slots or not waits_long


def counts(machine: Machine, jobs: int) -> list[int]:
    served = Counter(line(held) for _, held in machine.begun)
    return [served[UUID(int=job)] for job in range(jobs)]


def test_after_an_hour_in_which_everything_was_down_the_newest_runs_and_the_others_say_so() -> None:
    machine = Machine(slots=1, service=[1])
    for minute in range(-60, 0):
        machine.becomes_due(7, NOON + minute * MINUTE)
    machine.goes_on(NOON + 10 * SECOND)
    newest = NOON - MINUTE
    assert [held.starts_at for _, held in machine.begun] == [newest]
    assert [newer for _, newer in machine.skipped] == [newest] * 59
    assert not machine.waiting
