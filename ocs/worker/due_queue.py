"""The due queue: runs that the worker holds until they are due, and which one begins when more are due than fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from ocs.timing import timing

REMEMBERED = 10_000
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Held:
    """A run that the worker holds until `starts_at`. The server's answer of `seen_at` said that it is Scheduled.

    From `late_from` on a newer occurrence of its job supersedes it; without one, none ever does.
    """

    flow_run: FlowRun
    starts_at: datetime
    seen_at: datetime
    late_from: datetime | None = None
    rests_until: datetime = LONG_AGO

    @property
    def id(self) -> UUID:
        return self.flow_run.id

    @property
    def may_begin(self) -> datetime:
        return max(self.starts_at, self.rests_until)

    def is_late(self, now: datetime) -> bool:
        return self.late_from is not None and self.late_from < now


@dataclass(slots=True)
class RunsOfJob:
    """The runs of one job: those that are held, and those that were taken and may still supersede one of them."""

    held: dict[UUID, Held] = field(default_factory=dict[UUID, Held])
    taken: dict[UUID, Held] = field(default_factory=dict[UUID, Held])
    ended: set[UUID] = field(default_factory=set[UUID])

    @property
    def is_over(self) -> bool:
        return not self.held and self.ended.issuperset(self.taken)

    def superseded(self, now: datetime) -> list[Held]:
        """Late occurrences that a newer one supersedes, which is due too or was taken; oldest first."""
        late = {key: at for key, held in self.held.items() if (at := held.late_from) is not None and at < now}
        if not late:
            return []
        due = (held for held in (*self.held.values(), *self.taken.values()) if held.starts_at <= now)
        newest = max((held.late_from for held in due if held.late_from is not None), default=LONG_AGO)
        return [self.held[key] for key in sorted(late, key=lambda key: late[key]) if late[key] < newest]

    def next(self, now: datetime) -> Held | None:
        """The run that begins next; None when none may."""
        superseded = {held.id for held in self.superseded(now)}
        due = (held for held in self.held.values() if held.may_begin <= now and held.id not in superseded)
        return min(due, key=lambda held: held.starts_at, default=None)


@dataclass(frozen=True, slots=True)
class Superseded:
    """Superseded runs of one job at one look; if these were all of them, which of its taken runs had ended by then."""

    job: UUID
    held: Sequence[Held]
    ended: AbstractSet[UUID]


class DueQueue:
    """Gives a job's runs in the order in which they are due, but for late ones that a newer one supersedes.

    Of several jobs the one that began a run longest ago comes first. So a job with many runs, or with runs that are
    always late, keeps no other from running, and none keeps it.
    """

    def __init__(self) -> None:
        self._jobs: defaultdict[UUID, RunsOfJob] = defaultdict(RunsOfJob)
        self._last_taken: dict[UUID, int] = {}
        self._taken_so_far = 0

    def __len__(self) -> int:
        return sum(len(runs.held) for runs in self._jobs.values())

    def update(self, found: Iterable[Held], *, complete: bool, except_for: AbstractSet[UUID]) -> list[Held]:
        """Hold what the server answered; returns what is new.

        A `complete` answer drops what it does not name: that was deleted, paused, taken or rescheduled.
        Runs in `except_for` began after the server was asked: the answer is older than that.
        """
        answer = {held.id: held for held in found if held.id not in except_for}
        known = {key: held for runs in self._jobs.values() for key, held in runs.held.items()}
        if complete:
            for runs in self._jobs.values():
                runs.held = {key: held for key, held in runs.held.items() if key in answer}
        for key, held in answer.items():
            first_seen = known.get(key)
            rests_until = first_seen.rests_until if first_seen else _rests_until(held)
            self._jobs[_job_of(held)].held[key] = replace(held, rests_until=rests_until)
        self._forget_what_is_over()
        return [held for key, held in answer.items() if key not in known]

    def take(self, before: datetime) -> Held | None:
        """Take the next run of those that are due before the given moment; it is not held any more."""
        ready = [(key, held) for key, runs in self._jobs.items() if (held := runs.next(before)) is not None]
        if not ready:
            return None
        key, first = min(ready, key=lambda each: (self._last_taken.get(each[0], 0), each[1].starts_at))
        runs = self._jobs[key]
        runs.taken[first.id] = runs.held.pop(first.id)
        self._note_taken(key)
        return first

    def ended(self, flow_run_id: UUID) -> None:
        """A run that was taken has ended; it supersedes older ones until somebody has looked at them."""
        for runs in self._jobs.values():
            if (taken := runs.taken.get(flow_run_id)) is not None:
                if any(held.starts_at < taken.starts_at for held in runs.held.values()):
                    runs.ended.add(flow_run_id)
                else:
                    del runs.taken[flow_run_id]
        self._forget_what_is_over()

    def superseded(self, now: datetime, most: int) -> list[Superseded]:
        """Late occurrences that one supersedes which was taken, at most `most`, the oldest of each job first."""
        found: list[Superseded] = []
        for key, runs in self._jobs.items():
            if most > 0 and runs.taken and (held := runs.superseded(now)):
                found.append(Superseded(key, held[:most], frozenset(runs.ended if len(held) <= most else ())))
                most -= len(held)
        return found

    def looked_at(self, found: Sequence[Superseded], gone: AbstractSet[UUID]) -> None:
        """Drop the superseded runs that are `gone`; the rest no run supersedes any more that had ended by the look."""
        for each in found:
            runs = self._jobs.pop(each.job, None)
            if runs is None:
                continue
            self._jobs[each.job] = runs  # behind the others, so that each job is looked at
            runs.held = {key: held for key, held in runs.held.items() if key not in gone}
            runs.taken = {key: taken for key, taken in runs.taken.items() if key not in each.ended}
            runs.ended -= each.ended
        self._forget_what_is_over()

    def next_start(self, after: datetime = LONG_AGO) -> datetime | None:
        """When the next run may begin, after the moment up to which every run was taken that could be."""
        starts = (held.may_begin for runs in self._jobs.values() for held in runs.held.values())
        return min((start for start in starts if start > after), default=None)

    def drop(self, flow_run_id: UUID) -> None:
        """Hold it no longer, if it is held."""
        for runs in self._jobs.values():
            runs.held.pop(flow_run_id, None)
        self._forget_what_is_over()

    def clear(self) -> int:
        """Hold nothing any more; returns how many runs were held."""
        held = len(self)
        self._jobs.clear()
        return held

    def _note_taken(self, key: UUID) -> None:
        self._taken_so_far += 1
        self._last_taken.pop(key, None)  # so that the longest ago is the first in the dictionary
        self._last_taken[key] = self._taken_so_far
        if len(self._last_taken) > REMEMBERED:
            del self._last_taken[next(iter(self._last_taken))]

    def _forget_what_is_over(self) -> None:
        for key in [key for key, runs in self._jobs.items() if runs.is_over]:
            del self._jobs[key]


def _job_of(held: Held) -> UUID:
    """The job of a run is its deployment; a run without one is a job of its own."""
    return held.flow_run.deployment_id or held.id


def _rests_until(held: Held) -> datetime:
    return held.seen_at + timing().late_rest if held.is_late(held.seen_at) else LONG_AGO
