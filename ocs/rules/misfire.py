"""Misfire: what becomes of an occurrence that comes too late."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ocs.rules.occurrences import next_occurrence
from ocs.spec import Schedule, format_duration

PUNCTUAL = timedelta(seconds=60)
"""An occurrence at most this late was not missed: the machine was busy."""


def missed(schedule: Schedule, due: datetime, now: datetime) -> str | None:
    """Why an occurrence due at `due` does not run at `now`, or None when it does.

    Missed occurrences coalesce into the newest, as in the reference (B-2.4); unlike there each leaves a
    record (W37).
    """
    late = now - due - schedule.jitter
    if schedule.grace is not None and late > schedule.grace:
        allowed = format_duration(schedule.grace)
        return f"Missed: it was due {_ago(late)} ago, and the schedule's grace is {allowed}."
    if late <= PUNCTUAL or schedule.misfire == "all":
        return None
    if schedule.misfire == "skip":
        return f"Missed: it was due {_ago(late)} ago, and the schedule skips missed occurrences."
    newer = next_occurrence(schedule, due)
    if newer is not None and newer <= now:
        return f"Missed: a newer occurrence, of {newer:%Y-%m-%d %H:%M:%S} UTC, runs instead."
    return None


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Which occurrences that never became runs are dispatched now, and which are not."""

    dispatched: tuple[datetime, ...] = ()
    left_out: tuple[datetime, ...] = ()


def catch_up(schedule: Schedule, occurrences: Sequence[datetime], known: Container[datetime], most: int) -> CatchUp:
    """Of all `occurrences` of a time in which something was down, choose those without a record that run now (W37).

    Of coalescing schedules that is the newest occurrence, if it has none; a schedule that skips gets the newest too,
    so that its record says so. With `all` the newest `most` are made up for.
    """
    missing = [instant for instant in occurrences if instant not in known]
    if schedule.misfire == "all":
        chosen = missing[-most:]
    else:
        chosen = [instant for instant in occurrences[-1:] if instant in missing]
    return CatchUp(tuple(chosen), tuple(instant for instant in missing if instant not in chosen))


def _ago(span: timedelta) -> str:
    return format_duration(timedelta(seconds=round(span.total_seconds())))
