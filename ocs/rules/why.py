"""Why: what became of an occurrence, as one line: whatever is known of it, and what follows where nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.rules.guards import SkipReason
from ocs.rules.triggers import follows
from ocs.rules.wording import SHORT

if TYPE_CHECKING:
    from ocs.spec import After, Job

PUNCTUAL = timedelta(seconds=60)


class What(StrEnum):
    """What became of it, in a word."""

    RAN = "ran"
    FAILED = "failed"
    RUNNING = "running"
    SKIPPED = "skipped"
    WAITING = "waiting"
    MISSED = "missed"
    REFUSED = "refused"
    LATE = "late"
    OFF = "off"
    EXCLUDED = "excluded"
    UNKNOWN = "unknown"
    NO_RECORD = "no record"
    """It is before the first record of its job, which may not have been there yet."""
    COMING = "coming"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run of an occurrence, the last of its attempts. `decided` is what a person said to it, and who."""

    run_id: UUID
    due: datetime
    kind: DispatchKind
    status: RunStatus
    started_at: datetime
    attempt: int = 1
    skip_reason: SkipReason | None = None
    said: str = ""
    decided_by: str | None = None
    is_declined: bool = False
    parent_run: UUID | None = None


@dataclass(frozen=True, slots=True)
class InLine:
    """A dispatch that has become no run: it waits, or somebody has withdrawn it."""

    due: datetime
    is_withdrawn: bool
    why: str
    parent_run: UUID | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Occurrences in this span never became runs; `dispatched` of them were made up for."""

    first: datetime
    last: datetime
    dispatched: int


@dataclass(frozen=True, slots=True)
class Switched:
    """Somebody enabled or disabled the job."""

    at: datetime
    enabled: bool
    by: str


@dataclass(frozen=True, slots=True)
class Past:
    """All that is on record of a job in a span.

    `begins` is its first record; until `looked_until` a worker has looked for occurrences that became no runs.
    """

    attempts: Sequence[Attempt] = ()
    in_line: Sequence[InLine] = ()
    gaps: Sequence[Gap] = ()
    switches: Sequence[Switched] = ()
    begins: datetime | None = None
    looked_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one occurrence."""

    due: datetime
    what: What
    why: str
    kind: DispatchKind = DispatchKind.SCHEDULED
    run_id: UUID | None = None
    by: str | None = None


def lines(due: Sequence[datetime], past: Past, *, enabled: bool, now: datetime) -> list[Line]:
    """A line for every occurrence that was due, and for every run that began otherwise, in the order of time."""
    scheduled = {each.due: each for each in past.attempts if each.kind is DispatchKind.SCHEDULED}
    waiting = {each.due: each for each in past.in_line}
    instants = sorted({*due, *scheduled})
    found = [_line(instant, scheduled.get(instant), waiting.get(instant), past, enabled, now) for instant in instants]
    found += [_of_attempt(each) for each in past.attempts if each.kind is not DispatchKind.SCHEDULED]
    found += [_of_line(each, now) for instant, each in waiting.items() if instant not in instants]
    return sorted(found, key=lambda line: line.due)


def not_followed(job: Job, ends: Sequence[Attempt], past: Past) -> list[Line]:
    """A line for each end of a job's parent that the job has not followed."""
    if job.after is None:
        return []
    followed = {each.parent_run for each in (*past.attempts, *past.in_line)}
    return [
        Line(each.due, *_not_followed(job, job.after, each), DispatchKind.CHAIN)
        for each in ends
        if each.status.final and each.run_id not in followed
    ]


def _not_followed(job: Job, after: After, end: Attempt) -> tuple[What, str]:
    ended = f"{after.job} ended {end.status} ({str(end.run_id)[:SHORT]})"
    if not follows(job.changed({"enabled": True}), end.status):
        return What.SKIPPED, f"{ended}, and this runs on its {after.on}."
    if not job.enabled:
        return What.OFF, f"{ended}, and this is off."
    if after.match is not None:
        why = "what it said did not fulfil after.match, this was added later, or too many follow it"
        return What.SKIPPED, f"{ended}; {why}."
    return What.UNKNOWN, f"{ended}, and nothing is on record of this: it was off or another job then, or was pruned."


def _line(
    due: datetime, attempt: Attempt | None, waits: InLine | None, past: Past, enabled: bool, now: datetime
) -> Line:
    if attempt is not None:
        return _of_attempt(attempt)
    if waits is not None:
        return _of_line(waits, now)
    if due > now:
        return Line(due, What.COMING, "It is still to come.")
    return _without_record(due, past, enabled, now)


def _of_attempt(each: Attempt) -> Line:
    what, why = _end(each)
    late = each.started_at - each.due
    if what in (What.RAN, What.FAILED, What.RUNNING) and late > PUNCTUAL and each.kind is DispatchKind.SCHEDULED:
        why = f"{round(late.total_seconds())} s late. {why}"
    if each.attempt > 1:
        why = f"Attempt {each.attempt}. {why}"
    return Line(each.due, what, why.strip(), each.kind, each.run_id, each.decided_by)


def _end(each: Attempt) -> tuple[What, str]:
    match each.status:
        case RunStatus.OK:
            return What.RAN, each.said
        case RunStatus.RUNNING:
            return What.RUNNING, "It is at work."
        case RunStatus.WAITING_APPROVAL:
            return What.WAITING, "It waits for somebody's approval."
        case RunStatus.SKIPPED if each.skip_reason is SkipReason.MISSED:
            return What.MISSED, each.said
        case RunStatus.SKIPPED if each.skip_reason is SkipReason.DISABLED:
            return What.OFF, each.said
        case RunStatus.SKIPPED if each.skip_reason is SkipReason.EXCLUDED:
            return What.EXCLUDED, each.said
        case RunStatus.SKIPPED:
            return What.SKIPPED, each.said
        case _:
            return (What.REFUSED if each.is_declined else What.FAILED), f"{each.status}: {each.said}".rstrip(": ")


def _of_line(each: InLine, now: datetime) -> Line:
    if each.is_withdrawn:
        return Line(each.due, What.REFUSED, "It was withdrawn before it began.")
    return Line(each.due, What.WAITING if each.due <= now else What.COMING, each.why)


def _without_record(due: datetime, past: Past, enabled: bool, now: datetime) -> Line:
    """Nothing was written of it: the job was off, everything was down, or it is before all that is on record."""
    before = [each for each in past.switches if each.at <= due]
    after = [each for each in past.switches if each.at > due]
    if before and not before[-1].enabled:
        return Line(due, What.OFF, f"The job was off since {_at(before[-1].at)}.", by=before[-1].by)
    if not before and after and after[0].enabled:
        return Line(due, What.OFF, f"The job was off until {_at(after[0].at)}.", by=after[0].by)
    for gap in past.gaps:
        if gap.first <= due <= gap.last:
            instead = "a newer one ran instead" if gap.dispatched else "none was made up for"
            return Line(due, What.MISSED, f"Everything was down, and {instead}.")
    if not (after or before) and not enabled:
        return Line(due, What.OFF, "The job is off.")
    if past.begins is None or due < past.begins:
        return Line(due, What.NO_RECORD, "It is before all that is on record of the job.")
    if past.looked_until is None or due > past.looked_until:
        waited = round((now - due).total_seconds())
        return Line(due, What.LATE, f"It is {waited} s late, and no worker has looked for it yet.")
    return Line(due, What.UNKNOWN, "Nothing is on record: it was pruned, or the schedule was another one then.")


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
