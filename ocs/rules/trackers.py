"""Trackers: members that belong together. When one has ended, when all have, what is told then and what follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ocs.errors import Refused, UsageError
from ocs.rules.fence import fenced
from ocs.rules.messages import checked_name
from ocs.rules.plain_text import one_line
from ocs.rules.shell_result import cut
from ocs.rules.tasks import TaskStatus

LONGEST_SILENCE = timedelta(minutes=5)
"""After the deadline a member that sends heartbeats is dead when it was silent for so long, or for its whole time."""
DEFAULT_TIMEOUT = timedelta(hours=2)
LONGEST_TIMEOUT = timedelta(days=366)
LONGEST_TRACKER = 64
MOST_MEMBERS = 5000
LONGEST_LINE = 200
RESULTS = 60_000
SMALLEST_RESULT = 500
"""Bytes of all that members said in the prompt of what follows, and of each when they are many."""
KIND = "tracker"
"""What a delivery reports."""


class MemberStatus(StrEnum):
    """How a member stands: it has not begun, works, or has ended."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD = "dead"

    @property
    def ended(self) -> bool:
        """Whether it stays so."""
        return self not in (MemberStatus.PENDING, MemberStatus.RUNNING)


class TrackerStatus(StrEnum):
    """How a tracker stands: members go on, all have completed, one has not, or a person closed it before."""

    OPEN = "open"
    COMPLETED = "completed"
    FAILED = "failed"
    CLOSED = "closed"


class ThenOn(StrEnum):
    """At which end of a tracker its next job runs."""

    SUCCESS = "success"
    FAILURE = "failure"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Member:
    """A member as people are told of it: its label, how it stands, and what it said."""

    label: str
    status: MemberStatus
    message: str = ""


def of_task(status: TaskStatus) -> MemberStatus:
    """How a member stands that is a task. One that waits, also for a person's decision, has not begun."""
    if status in (TaskStatus.RUNNING, TaskStatus.RETRYING):
        return MemberStatus.RUNNING
    if status.is_open:
        return MemberStatus.PENDING
    return MemberStatus.COMPLETED if status is TaskStatus.OK else MemberStatus.FAILED


def why_dead(
    *, created_at: datetime, deadline: datetime | None, heard_at: datetime | None, begun: bool, now: datetime
) -> str | None:
    """Why a member that has not ended counts as dead, None while it does not.

    `heard_at` is its last heartbeat, None for a task: that dies by its own timeouts once it has `begun`.
    """
    if deadline is None or now < deadline:
        return None
    if not begun:
        return "It had not begun by the deadline."
    if heard_at is None or now - heard_at < min(deadline - created_at, LONGEST_SILENCE):
        return None
    return f"Nothing was heard of it since {heard_at:%Y-%m-%d %H:%M:%S} UTC, and the deadline is over."


def ended_as(members: Sequence[MemberStatus]) -> TrackerStatus:
    """How the tracker has ended whose members have all ended so."""
    return TrackerStatus.COMPLETED if all(each is MemberStatus.COMPLETED for each in members) else TrackerStatus.FAILED


def fires(on: ThenOn, status: TrackerStatus) -> bool:
    """Whether the next job runs. What a person has closed has no consequences."""
    match status:
        case TrackerStatus.COMPLETED:
            return on in (ThenOn.SUCCESS, ThenOn.COMPLETE)
        case TrackerStatus.FAILED:
            return on in (ThenOn.FAILURE, ThenOn.COMPLETE)
        case TrackerStatus.OPEN | TrackerStatus.CLOSED:
            return False


def subject(name: str, status: TrackerStatus, members: Sequence[Member]) -> str:
    """The first line of what is told at the end."""
    done = Counter(member.status for member in members)[MemberStatus.COMPLETED]
    return f"{name}: {status} ({done} of {len(members)} completed)"


def summary(members: Sequence[Member], follows: str | None, closed: str | None = None) -> str:
    """What is told at the end: each member on a line, those first that did not complete.

    `follows` is the job that runs next, `closed` says who has closed the tracker, and why.
    """
    in_order = sorted(members, key=lambda member: member.status is MemberStatus.COMPLETED)
    lines = [f"- {member.label}: {member.status}{_said(member)}" for member in in_order]
    after = [f"{follows} runs next."] if follows else []
    return "\n\n".join([*([closed] if closed else []), "\n".join(lines), *after])


def _said(member: Member) -> str:
    said = one_line(member.message, LONGEST_LINE)
    return f": {said}" if said else ""


def results(name: str, status: TrackerStatus, members: Sequence[Member]) -> list[str]:
    """What the prompt of the next job has of the members: each in a fence of its own; of many as much as there is room.

    `message` is all that the member said.
    """
    told = [f'This run follows the tracker "{name}", which ended as {status}. Its members said:']
    room = max(RESULTS // max(len(members), 1), SMALLEST_RESULT)
    shown = members[: RESULTS // SMALLEST_RESULT]
    told += [fenced(f"{each.label}, {each.status}", cut(each.message.strip() or "(nothing)", room)) for each in shown]
    if left := len(members) - len(shown):
        told.append(f"{left} more members: ocs tasks show {name}")
    return told


def checked_tracker(name: str) -> str:
    """A name for a tracker, cleaned.

    Raises:
        Refused: it is empty, too long, or more than plain text on a line.
    """
    cleaned = checked_name("tracker", name)
    if len(cleaned) > LONGEST_TRACKER:
        raise Refused(f"The tracker has {len(cleaned)} characters; at most {LONGEST_TRACKER} are kept.")
    return cleaned


def checked_members(labels: Sequence[str]) -> tuple[str, ...]:
    """The members' labels, cleaned.

    Raises:
        UsageError: there is none.
        Refused: one stands there twice, is no label, or they are too many.
    """
    if not labels:
        raise UsageError("Name at least one member.", hint="Such as: --member writer --member reviewer")
    cleaned = tuple(checked_name("member", label) for label in labels)
    if twice := [label for label, count in Counter(cleaned).items() if count > 1]:
        raise Refused(f'"{twice[0]}" stands there twice.', hint="Give each member its own label.")
    if len(cleaned) > MOST_MEMBERS:
        raise Refused(f"A tracker has {MOST_MEMBERS:,} members at most.")
    return cleaned


def checked_timeout(timeout: timedelta) -> timedelta:
    """How long members have to begin, and to be heard of.

    Raises:
        Refused: it is not positive, or longer than a year.
    """
    if not timedelta(0) < timeout <= LONGEST_TIMEOUT:
        raise Refused("The timeout has to be more than nothing, and at most 366 days.", hint="Such as: --timeout 2h")
    return timeout
