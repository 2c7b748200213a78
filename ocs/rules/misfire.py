"""Misfire: whether an occurrence that comes too late runs."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ocs.spec import format_duration
from ocs.timing import timing

if TYPE_CHECKING:
    from ocs.spec import Schedule


@dataclass(frozen=True, slots=True)
class Newer:
    """An occurrence of the same job that is newer and was claimed already; `stands` says what became of it."""

    due: datetime
    stands: str = "runs instead"


def is_late(schedule: Schedule, due: datetime, now: datetime) -> bool:
    """Whether an occurrence comes so late that a newer one takes its place, where there is one."""
    return now - due - schedule.jitter > timing().punctual


def missed(schedule: Schedule, due: datetime, now: datetime, newer: Newer | None = None) -> str | None:
    """Why an occurrence due at `due` does not run at `now`, or None when it does.

    Missed occurrences coalesce into the newest, and each leaves a record. A late one runs all the same as long as no
    newer one was claimed: a machine that is too slow for a schedule makes every occurrence late, and skips none for
    another that never runs.
    """
    late = now - due - schedule.jitter
    if schedule.grace is not None and late > schedule.grace:
        allowed = format_duration(schedule.grace)
        return f"Missed: it was due {_ago(late)} ago, and the schedule's grace is {allowed}."
    if late <= timing().punctual or schedule.misfire == "all":
        return None
    if schedule.misfire == "skip":
        return f"Missed: it was due {_ago(late)} ago, and the schedule skips missed occurrences."
    if newer is None:
        return None
    return f"Missed: a newer occurrence, of {newer.due:%Y-%m-%d %H:%M:%S} UTC, {newer.stands}."


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Which occurrences that never became runs are dispatched now, and which are not."""

    dispatched: tuple[datetime, ...] = ()
    left_out: tuple[datetime, ...] = ()


def catch_up(schedule: Schedule, occurrences: Sequence[datetime], known: Container[datetime], most: int) -> CatchUp:
    """Of all `occurrences` of a time in which something was down, choose those without a record that run now.

    Of coalescing schedules that is the newest occurrence, if it has none; a schedule that skips gets the newest too,
    so that its record says so. With `all` the newest `most` run.
    """
    missing = [instant for instant in occurrences if instant not in known]
    if schedule.misfire == "all":
        chosen = missing[-most:]
    else:
        chosen = [instant for instant in occurrences[-1:] if instant in missing]
    return CatchUp(tuple(chosen), tuple(instant for instant in missing if instant not in chosen))


def _ago(span: timedelta) -> str:
    return format_duration(timedelta(seconds=round(span.total_seconds())))
