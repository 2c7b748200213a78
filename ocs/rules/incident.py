"""Incident: one time of trouble of a job, from its first sign until a run succeeds, and what is told of it when.

A job has at most one open incident. Whatever goes wrong meanwhile belongs to it: each kind of trouble is told once, all
of it again where the job wants that repeated, and its end once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from ocs.rules.delivery import LONGEST_NAME, Notification
from ocs.rules.expectation import AHEAD, Deadline, Seen
from ocs.rules.plain_text import one_line
from ocs.rules.wording import count_of, in_zone
from ocs.spec import Deliver, Job, format_duration

KIND = "incident"
"""What its deliveries report."""
SECOND = timedelta(seconds=1)


class Trouble(StrEnum):
    """What is wrong: runs fail, nothing succeeds for too long, or nothing had by the deadline."""

    FAILING = "failing"
    QUIET = "quiet"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Sign:
    """A trouble that was seen, in a sentence."""

    trouble: Trouble
    why: str


@dataclass(frozen=True, slots=True)
class Incident:
    """How an incident stands. Its `troubles` were told, the last time at `told_at`; before that nobody knows of it."""

    opened_at: datetime
    failures: int = 0
    troubles: tuple[Trouble, ...] = ()
    told_at: datetime | None = None
    times_told: int = 0
    why: str = ""

    @property
    def is_told(self) -> bool:
        return self.told_at is not None


def failed(incident: Incident | None, deliver: Deliver, why: str, now: datetime) -> tuple[Incident, bool]:
    """The incident after a further failure, and whether it is told now."""
    known = incident or Incident(now)
    known = replace(known, failures=known.failures + 1, why=why)
    if Trouble.FAILING in known.troubles or known.failures < deliver.after:
        return known, False
    return _told(known, (Trouble.FAILING,), now), True


def seen(incident: Incident | None, signs: Sequence[Sign], now: datetime) -> tuple[Incident, tuple[Sign, ...]]:
    """The incident after a look that found these signs, and those of them that are told now: the new ones."""
    known = incident or Incident(now)
    new = tuple(sign for sign in signs if sign.trouble not in known.troubles)
    if not new:
        return known, ()
    known = replace(known, why=" ".join(sign.why for sign in new))
    return _told(known, tuple(sign.trouble for sign in new), now), new


def repeated(incident: Incident, deliver: Deliver, now: datetime) -> Incident | None:
    """The incident as it is told once more, None when it is not time for that."""
    if deliver.repeat is None or incident.told_at is None:
        return None
    if -AHEAD <= now - incident.told_at < deliver.repeat:
        return None
    return _told(incident, (), now)


def tells_recovery(incident: Incident, deliver: Deliver | None) -> bool:
    """Whether its end is told: where the job wants it, and always after an alert of what was expected."""
    if not incident.is_told or deliver is None or deliver.when == "never":
        return False
    return deliver.recovery or any(trouble is not Trouble.FAILING for trouble in incident.troubles)


def signs(job: Job, known: Seen, *, is_quiet: bool, missed: Deadline | None) -> list[Sign]:
    """What a look at a job has found. `missed` is a deadline that passed without a success."""
    found: list[Sign] = []
    if missed is not None:
        found.append(Sign(Trouble.LATE, _late(job, known, missed)))
    if is_quiet:
        found.append(Sign(Trouble.QUIET, _quiet(job, known)))
    return found


def _late(job: Job, known: Seen, missed: Deadline) -> str:
    by, due = _moment(job, missed.at), _moment(job, missed.due)
    if known.last_ok_at is not None and known.last_ok_at > missed.at:
        after = _span(known.last_ok_at - missed.at)
        return f"It succeeded at {_moment(job, known.last_ok_at)}, {after} after its deadline of {by}."
    return f"It had not succeeded by {by}, and was due from {due} on."


def _quiet(job: Job, known: Seen) -> str:
    since = _moment(job, known.counts_from)
    silent = f"Nothing has succeeded since {since}"
    if known.last_ok_at != known.counts_from:
        silent = f"Nothing has succeeded since it is watched, from {since} on"
    expect = job.expect
    every = format_duration(expect.success_every) if expect and expect.success_every else ""
    grace = f", with a grace of {format_duration(expect.patience)}" if expect and expect.patience else ""
    return f"{silent}. It is expected to succeed every {every}{grace}."


def of_failure(message: Notification, failures: int) -> Notification:
    """What is told of failures in a row: the message of the last, with their number."""
    subject = message.subject if failures == 1 else f"{message.subject} {failures} times in a row"
    return replace(message, subject=subject, kind=KIND)


def of_signs(job: Job, new: Sequence[Sign]) -> Notification | None:
    """What is told of a look that found something new."""
    troubles = " and ".join(sign.trouble for sign in new)
    return _notification(job, troubles, [*(sign.why for sign in new), f"See: ocs why {job.id}"])


def of_repetition(job: Job, incident: Incident, now: datetime) -> Notification | None:
    """What is told while it goes on."""
    counted = f", {count_of(incident.failures, 'failure')}" if incident.failures else ""
    going_on = f"This goes on since {_moment(job, incident.opened_at)} ({_span(now - incident.opened_at)}{counted})."
    troubles = " and ".join(incident.troubles)
    return _notification(job, f"still {troubles}", [going_on, incident.why, f"See: ocs why {job.id}"])


def of_recovery(job: Job, incident: Incident, now: datetime, link: str | None = None) -> Notification | None:
    """What is told when a run has succeeded."""
    counted = f", with {count_of(incident.failures, 'failure')}" if incident.failures else ""
    lasted = f"It was {' and '.join(incident.troubles)} for {_span(now - incident.opened_at)}{counted}."
    parts = [f"A run succeeded at {_moment(job, now)}. {lasted}", *([f"Run: {link}"] if link else [])]
    return _notification(job, "well again", parts)


def _told(incident: Incident, troubles: tuple[Trouble, ...], now: datetime) -> Incident:
    return replace(incident, troubles=(*incident.troubles, *troubles), told_at=now, times_told=incident.times_told + 1)


def _notification(job: Job, what: str, parts: Sequence[str]) -> Notification | None:
    targets = job.deliver.of_failures if job.deliver and job.deliver.when != "never" else ()
    if not targets:
        return None
    subject = f"{one_line(job.name or job.id, LONGEST_NAME)}: {what}"
    return Notification(targets, subject, "\n\n".join(filter(None, parts)), kind=KIND)


def _moment(job: Job, moment: datetime) -> str:
    return in_zone(moment, job.schedule.timezone if job.schedule else "UTC")


def _span(span: timedelta) -> str:
    """In words short enough to read: hours and minutes, or seconds."""
    minutes = span // timedelta(minutes=1)
    if minutes < 2:
        return f"{span // SECOND} s"
    days, rest = divmod(minutes, 24 * 60)
    parts = [(days, "d"), (rest // 60, "h"), (rest % 60, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
