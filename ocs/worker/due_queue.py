"""The agenda: runs that are known and not begun, and whose turn it is among them when there are more than can begin."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from ocs.timing import timing

REMEMBERED_TURNS = 10_000
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Held:
    """A run that waits until `starts_at`. It was seen waiting in the server's answer of `seen_at`.

    An occurrence makes way for a newer one of its job from `late_from` on; what has none never does.
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
class Line:
    """The runs of one job: those that are held, and those that were taken and still matter to them."""

    held: dict[UUID, Held] = field(default_factory=dict[UUID, Held])
    taken: dict[UUID, Held] = field(default_factory=dict[UUID, Held])
    ended: set[UUID] = field(default_factory=set[UUID])

    @property
    def is_over(self) -> bool:
        return not self.held and self.ended.issuperset(self.taken)

    def superseded(self, now: datetime) -> list[Held]:
        """Late occurrences that make way for a newer one, which is due too or was taken; oldest first."""
        late = {key: at for key, held in self.held.items() if (at := held.late_from) is not None and at < now}
        if not late:
            return []
        due = (held for held in (*self.held.values(), *self.taken.values()) if held.starts_at <= now)
        newest = max((held.late_from for held in due if held.late_from is not None), default=LONG_AGO)
        return [self.held[key] for key in sorted(late, key=lambda key: late[key]) if late[key] < newest]

    def next(self, now: datetime) -> Held | None:
        """Who is next; None when nobody may begin."""
        making_way = {held.id for held in self.superseded(now)}
        due = (held for held in self.held.values() if held.may_begin <= now and held.id not in making_way)
        return min(due, key=lambda held: held.starts_at, default=None)


@dataclass(frozen=True, slots=True)
class Superseded:
    """What of one line made way when it was looked at; if that was all, which of its taken runs had ended by then."""

    line: UUID
    held: Sequence[Held]
    ended: AbstractSet[UUID]


class DueQueue:
    """A job's runs come in the order in which they are due, except that what is late makes way for what is newer.

    Jobs take turns: the one whose last turn is longest ago comes first. So a job with many runs, or with runs that are
    always late, keeps no other from running, and is not kept from it itself.
    """

    def __init__(self) -> None:
        self._lines: defaultdict[UUID, Line] = defaultdict(Line)
        self._turns: dict[UUID, int] = {}
        self._turn = 0

    def __len__(self) -> int:
        return sum(len(line.held) for line in self._lines.values())

    def update(self, found: Iterable[Held], *, complete: bool, except_for: AbstractSet[UUID]) -> list[Held]:
        """Take over what the server answered; returns what is new.

        When the answer is `complete`, what it does not name was deleted, paused, taken or put off, and is dropped.
        Runs in `except_for` were begun since the question was asked: the answer is older than that.
        """
        answer = {held.id: held for held in found if held.id not in except_for}
        known = {key: held for line in self._lines.values() for key, held in line.held.items()}
        if complete:
            for line in self._lines.values():
                line.held = {key: held for key, held in line.held.items() if key in answer}
        for key, held in answer.items():
            first_seen = known.get(key)
            rests_until = first_seen.rests_until if first_seen else _rests_until(held)
            self._lines[_line_of(held)].held[key] = replace(held, rests_until=rests_until)
        self._forget_what_is_over()
        return [held for key, held in answer.items() if key not in known]

    def take(self, before: datetime) -> Held | None:
        """The run whose turn it is among those that are due before the given moment; it is not held any more."""
        ready = [(key, held) for key, line in self._lines.items() if (held := line.next(before)) is not None]
        if not ready:
            return None
        key, first = min(ready, key=lambda turn: (self._turns.get(turn[0], 0), turn[1].starts_at))
        line = self._lines[key]
        line.taken[first.id] = line.held.pop(first.id)
        self._note_turn(key)
        return first

    def ended(self, flow_run_id: UUID) -> None:
        """A run that was taken has ended; what it has overtaken goes on making way until that was looked at."""
        for line in self._lines.values():
            if (taken := line.taken.get(flow_run_id)) is not None:
                if any(held.starts_at < taken.starts_at for held in line.held.values()):
                    line.ended.add(flow_run_id)
                else:
                    del line.taken[flow_run_id]
        self._forget_what_is_over()

    def superseded(self, now: datetime, most: int) -> list[Superseded]:
        """Late occurrences that make way for one that was taken, at most so many, the oldest of each line first."""
        found: list[Superseded] = []
        for key, line in self._lines.items():
            if most > 0 and line.taken and (held := line.superseded(now)):
                found.append(Superseded(key, held[:most], frozenset(line.ended if len(held) <= most else ())))
                most -= len(held)
        return found

    def looked_at(self, found: Sequence[Superseded], gone: AbstractSet[UUID]) -> None:
        """Some of what was overtaken is gone; the rest needs to make way no longer for what had ended by then."""
        for each in found:
            line = self._lines.pop(each.line, None)
            if line is None:
                continue
            self._lines[each.line] = line  # behind the others: each is looked at in its turn
            line.held = {key: held for key, held in line.held.items() if key not in gone}
            line.taken = {key: taken for key, taken in line.taken.items() if key not in each.ended}
            line.ended -= each.ended
        self._forget_what_is_over()

    def next_start(self, after: datetime = LONG_AGO) -> datetime | None:
        """When the next run may begin, after the moment until which all was taken that could be."""
        starts = (held.may_begin for line in self._lines.values() for held in line.held.values())
        return min((start for start in starts if start > after), default=None)

    def drop(self, flow_run_id: UUID) -> None:
        """Hold it no longer, if it is held."""
        for line in self._lines.values():
            line.held.pop(flow_run_id, None)
        self._forget_what_is_over()

    def clear(self) -> int:
        """Hold nothing any more; returns how many runs were held."""
        held = len(self)
        self._lines.clear()
        return held

    def _note_turn(self, key: UUID) -> None:
        self._turn += 1
        self._turns.pop(key, None)  # so that the longest ago is the first in the dictionary
        self._turns[key] = self._turn
        if len(self._turns) > REMEMBERED_TURNS:
            del self._turns[next(iter(self._turns))]

    def _forget_what_is_over(self) -> None:
        for key in [key for key, line in self._lines.items() if line.is_over]:
            del self._lines[key]


def _line_of(held: Held) -> UUID:
    """Runs of one deployment stand in one line; what has none stands by itself."""
    return held.flow_run.deployment_id or held.id


def _rests_until(held: Held) -> datetime:
    return held.seen_at + timing().late_rest if held.is_late(held.seen_at) else LONG_AGO
