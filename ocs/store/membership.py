"""Membership: trackers made, found by name, and joined by tasks in the transaction that writes those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import NotFound, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.trackers import MOST_MEMBERS, ThenOn, TrackerStatus
from ocs.rules.wording import local
from ocs.store.audit import record
from ocs.store.tables_tasks import Task
from ocs.store.tables_teams import Tracker, TrackerMember

LOCK = "trackers"
"""Of those who make a tracker: of those with one name one is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTracker:
    """A tracker to be made. `targets` hear of its end, `then_job` runs after it; `team` is whose gate it is."""

    name: str
    members: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    then_job: str | None = None
    then_on: ThenOn = ThenOn.SUCCESS
    deadline_at: datetime | None = None
    team: str | None = None


async def make(session: AsyncSession, new: NewTracker, by: Attribution) -> Tracker:
    """Write a tracker; under the lock of all who make one.

    Raises:
        Refused: one of that name is open.
    """
    if (known := await newest(session, new.name)) is not None and known.ended_at is None:
        raise Refused(
            f'The tracker "{new.name}" is open already, since {local(known.created_at)}.',
            hint=f"Choose another name, or end it: ocs tasks close {new.name}",
        )
    tracker = Tracker(
        name=new.name,
        team=new.team,
        targets=list(new.targets),
        then_job=new.then_job,
        then_on=new.then_on,
        created_by=by.actor,
        created_at=by.now,
        deadline_at=new.deadline_at,
        status=TrackerStatus.OPEN,
    )
    session.add(tracker)
    await session.flush()
    session.add_all(TrackerMember(tracker_id=tracker.id, label=label) for label in new.members)
    made = {"tracker": new.name, "members": list(new.members), "then": new.then_job, "team": new.team}
    record(session, "tracker-created", by=by, job_id=new.then_job, after=made)
    return tracker


async def newest(session: AsyncSession, name: str, *, lock: bool = False) -> Tracker | None:
    """The newest tracker of that name; locked until the transaction ends where it is to be changed."""
    wanted = select(Tracker).where(Tracker.name == name)
    in_order = wanted.order_by(col(Tracker.created_at).desc(), col(Tracker.id)).limit(1)
    return (await session.scalars(in_order.with_for_update() if lock else in_order)).first()


async def open_one(session: AsyncSession, name: str) -> Tracker:
    """The tracker of that name, locked.

    Raises:
        NotFound: there is none.
        Refused: it has ended.
    """
    tracker = await newest(session, name, lock=True)
    if tracker is None:
        raise not_found(name)
    if tracker.ended_at is not None:
        raise Refused(
            f"{name} has ended ({tracker.status}, {local(tracker.ended_at)}); nothing was changed.",
            hint=f"Make a new one: ocs tasks create {name} --member LABEL",
        )
    return tracker


def not_found(name: str) -> NotFound:
    """There is no tracker of that name."""
    return NotFound(
        f'There is no tracker "{name}".',
        hint=f"See them: ocs tasks list   Make it: ocs tasks create {name} --member LABEL",
    )


async def join(
    session: AsyncSession, joining: Mapping[str, Sequence[Task]], new: NewTracker | None, by: Attribution
) -> None:
    """Have tasks be members of open trackers; `new` is made first, unless one of its name is open.

    Raises:
        NotFound: there is no such tracker.
        Refused: it has ended, has too many members, or a member of that label is a task already or has ended.
    """
    for name in sorted(joining):
        if new is not None and new.name == name:
            await _made_or_open(session, new, by)
        tracker = await open_one(session, name)
        await _refuse_too_many(session, tracker, len(joining[name]))
        members = await session.scalars(select(TrackerMember).where(TrackerMember.tracker_id == tracker.id))
        known_members = {member.label: member for member in members}
        for task in joining[name]:
            session.add(_joined(tracker, known_members.get(task.label), task))


async def _made_or_open(session: AsyncSession, new: NewTracker, by: Attribution) -> None:
    known = await newest(session, new.name)
    if known is None or known.ended_at is not None:
        await make(session, new, by)
    elif new.targets or new.then_job:
        raise Refused(
            f"The tracker {new.name} is open already: who hears of its end, and what runs next, was said when it was "
            "made. Nothing was started.",
            hint=f"Leave --then and --summary-to out, or choose another name.   See: ocs tasks show {new.name}",
        )


def _joined(tracker: Tracker, member: TrackerMember | None, task: Task) -> TrackerMember:
    member = member or TrackerMember(tracker_id=tracker.id, label=task.label)
    if member.task_id is not None:
        raise Refused(
            f'"{task.label}" is a task of {tracker.name} already; nothing was started.',
            hint=f"If it failed, try it again: ocs runs retry   See: ocs tasks show {tracker.name}",
        )
    if member.ended is not None:
        raise Refused(f'"{task.label}" of {tracker.name} has ended ({member.ended}); nothing was started.')
    member.task_id = task.id
    return member


async def add(session: AsyncSession, name: str, labels: Sequence[str], by: Attribution) -> Tracker:
    """Add members that are no tasks yet.

    Raises:
        NotFound: there is no such tracker.
        Refused: it has ended, has too many members, or has one of that label.
    """
    tracker = await open_one(session, name)
    await _refuse_too_many(session, tracker, len(labels))
    same = select(TrackerMember.label).where(
        TrackerMember.tracker_id == tracker.id, col(TrackerMember.label).in_(labels)
    )
    if there := list(await session.scalars(same)):
        raise Refused(f'"{there[0]}" is a member of {name} already; nothing was changed.')
    session.add_all(TrackerMember(tracker_id=tracker.id, label=label) for label in labels)
    record(session, "tracker-members-added", by=by, after={"tracker": name, "members": list(labels)})
    return tracker


async def _refuse_too_many(session: AsyncSession, tracker: Tracker, more: int) -> None:
    count = await count_of_members(session, tracker.id)
    if count + more > MOST_MEMBERS:
        raise Refused(f"{tracker.name} has {count:,} members, and {MOST_MEMBERS:,} are allowed; nothing was changed.")


async def count_of_members(session: AsyncSession, tracker_id: UUID) -> int:
    """How many members a tracker has."""
    count = select(func.count()).select_from(TrackerMember).where(TrackerMember.tracker_id == tracker_id)
    return (await session.scalars(count)).one()
