"""Trackers: who ends the last member closes its tracker in that transaction, with what is told and what runs next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import NotFound, Refused
from ocs.rules import trackers as rule
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchKind
from ocs.rules.shell_result import cut
from ocs.rules.tasks import TaskStatus
from ocs.rules.trackers import MemberStatus, TrackerStatus
from ocs.rules.wording import local
from ocs.store import deliveries, membership
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.membership import NewTracker
from ocs.store.outbox import PendingDispatch, pending
from ocs.store.tables import DispatchRow, Run
from ocs.store.tables_tasks import Task
from ocs.store.tables_teams import Tracker, TrackerMember
from ocs.store.tasks import AT_ONCE, Told, told_of

MESSAGE = 2000
"""Bytes that are kept with a member of what its task said; its run has all."""
BY_ITSELF = "tracker"


@dataclass(frozen=True, slots=True)
class Standing:
    """A member, how it stands, and the task that it is."""

    member: TrackerMember
    status: MemberStatus
    told: Told | None = None

    @property
    def shown(self) -> rule.Member:
        """As people are told of it."""
        return rule.Member(self.member.label, self.status, self.member.message)


async def create(store: Store, new: NewTracker, *, by: Attribution) -> Tracker:
    """Make a tracker.

    Raises:
        Refused: one of that name is open.
    """
    async with store.transaction(lock=(membership.LOCK,)) as session:
        return await membership.make(session, new, by)


async def add(store: Store, name: str, labels: Sequence[str], *, by: Attribution) -> Tracker:
    """Add members to an open tracker.

    Raises:
        NotFound: there is no such tracker.
        Refused: it has ended, or has one of that label.
    """
    async with store.transaction() as session:
        return await membership.add(session, name, labels, by)


async def heartbeat(store: Store, name: str, label: str, *, by: Attribution) -> None:
    """Note that a member that is no task works.

    Raises:
        NotFound: there is no such tracker or member.
        Refused: it has ended, or is a task.
    """
    async with store.transaction() as session:
        _, member = await _open_member(session, name, label)
        member.heard_at = by.now


async def end_member(
    store: Store, name: str, label: str, ended: MemberStatus, *, message: str, by: Attribution
) -> list[PendingDispatch]:
    """Note that a member that is no task has ended, and close the tracker if it was the last.

    Returns what follows then, to be published.

    Raises:
        NotFound: there is no such tracker or member.
        Refused: it has ended, or is a task.
    """
    async with store.transaction() as session:
        tracker, member = await _open_member(session, name, label)
        member.ended, member.ended_at, member.heard_at, member.message = ended, by.now, by.now, message
        said = {"tracker": name, "member": label, "ended": str(ended)}
        record(session, "tracker-member-ended", by=by, after=said)
        return [pending(row) for row in await _close_if_done(session, tracker, by.now)]


async def close(store: Store, name: str, *, why: str, by: Attribution) -> Tracker:
    """End a tracker before its members have; its tasks go on, and no job follows.

    Raises:
        NotFound: there is no such tracker.
        Refused: it has ended.
    """
    async with store.transaction() as session:
        tracker = await membership.open_one(session, name)
        said = f"{by.actor} closed it: {why}" if why else f"{by.actor} closed it."
        await _end(session, tracker, TrackerStatus.CLOSED, by, closed=said)
        return tracker


async def note_run(session: AsyncSession, run: Run, now: datetime) -> list[DispatchRow]:
    """What follows when the task that a run is an attempt at has ended, in the transaction that ends the run."""
    first = await first_dispatch(session, run.dispatch_id, run.retry_of)
    return await note_tasks(session, {first}, now) if first is not None else []


async def note_dispatches(session: AsyncSession, rows: Sequence[DispatchRow], now: datetime) -> list[DispatchRow]:
    """What follows when dispatches that might have been tasks will never be runs."""
    firsts = {await first_dispatch(session, row.id, row.retry_of) for row in rows}
    return await note_tasks(session, {first for first in firsts if first is not None}, now)


async def first_dispatch(session: AsyncSession, dispatch_id: UUID | None, retry_of: UUID | None) -> UUID | None:
    """The dispatch of the first attempt, None where it is not known any more."""
    while retry_of is not None:
        before = await session.get(Run, retry_of)
        if before is None:
            return None
        dispatch_id, retry_of = before.dispatch_id, before.retry_of
    return dispatch_id


async def note_tasks(session: AsyncSession, task_ids: Collection[UUID], now: datetime) -> list[DispatchRow]:
    """Note those tasks that have ended with their trackers, and close these; returns the dispatches that follow.

    A tracker is locked before its members are read: of two that end at once the second sees the first.
    """
    await session.flush()
    found: set[UUID] = set()
    wanted = list(task_ids)
    for start in range(0, len(wanted), AT_ONCE):
        some = select(TrackerMember.tracker_id).where(col(TrackerMember.task_id).in_(wanted[start : start + AT_ONCE]))
        found |= set(await session.scalars(some))
    rows: list[DispatchRow] = []
    for tracker_id in sorted(found):
        tracker = await session.get_one(Tracker, tracker_id, with_for_update=True, populate_existing=True)
        rows += await _look(session, tracker, now, only=set(task_ids))
    return rows


async def look(store: Store, now: datetime) -> list[UUID]:
    """The trackers that are open, oldest first: each is to be looked at by itself."""
    async with store.reading() as session:
        open_ones = select(Tracker.id).where(col(Tracker.ended_at).is_(None), col(Tracker.created_at) <= now)
        return list(await session.scalars(open_ones.order_by(col(Tracker.created_at))))


async def look_at(store: Store, tracker_id: UUID, now: datetime) -> bool:
    """Note members that are dead, and tasks whose end nobody has noted; returns whether the tracker has ended by it."""
    async with store.transaction() as session:
        tracker = await session.get_one(Tracker, tracker_id, with_for_update=True)
        await _look(session, tracker, now)
        return tracker.ended_at is not None


async def by_name(store: Store, name: str) -> tuple[Tracker, list[Standing]]:
    """The newest tracker of that name, and how its members stand, in the order in which they joined.

    Raises:
        NotFound: there is none.
    """
    async with store.reading() as session:
        tracker = await membership.newest(session, name)
        if tracker is None:
            raise membership.not_found(name)
        return tracker, await _standings(session, tracker)


async def newest(
    store: Store, *, limit: int, only_open: bool = False, team: str | None = None
) -> list[tuple[Tracker, list[Standing]]]:
    """The newest trackers with their members, newest first."""
    wanted = select(Tracker).order_by(col(Tracker.created_at).desc(), col(Tracker.id)).limit(limit)
    if only_open:
        wanted = wanted.where(col(Tracker.ended_at).is_(None))
    if team is not None:
        wanted = wanted.where(Tracker.team == team)
    async with store.reading() as session:
        return [(tracker, await _standings(session, tracker)) for tracker in await session.scalars(wanted)]


async def names(store: Store, *, limit: int) -> list[str]:
    """The names of the newest trackers, each once, newest first."""
    wanted = select(Tracker.name).order_by(col(Tracker.created_at).desc(), col(Tracker.id)).limit(limit)
    async with store.reading() as session:
        return list(dict.fromkeys(await session.scalars(wanted)))


async def of_dispatch(store: Store, dispatch_id: UUID) -> tuple[Tracker, list[rule.Member]] | None:
    """The tracker that a dispatch follows, with all that each member said; None when it follows none."""
    async with store.reading() as session:
        tracker = (await session.scalars(select(Tracker).where(Tracker.then_dispatch == dispatch_id))).first()
        if tracker is None:
            return None
        return tracker, [await _with_all(session, each) for each in await _standings(session, tracker)]


async def name_of_dispatch(store: Store, dispatch_id: UUID) -> str | None:
    """The name of the tracker that a dispatch follows."""
    async with store.reading() as session:
        named = select(Tracker.name).where(Tracker.then_dispatch == dispatch_id)
        return (await session.scalars(named)).first()


async def prune_trackers(store: Store, *, before: datetime) -> int:
    """Delete those that ended before that moment, with their members; returns how many."""
    old = delete(Tracker).where(col(Tracker.ended_at) < before)
    async with store.transaction() as session:
        return int(getattr(await session.execute(old), "rowcount", 0))


async def _open_member(session: AsyncSession, name: str, label: str) -> tuple[Tracker, TrackerMember]:
    tracker = await membership.newest(session, name, lock=True)
    if tracker is None:
        raise membership.not_found(name)
    same = select(TrackerMember).where(TrackerMember.tracker_id == tracker.id, TrackerMember.label == label)
    member = (await session.scalars(same)).first()
    if member is None:
        raise NotFound(f'"{label}" is no member of {name}.', hint=f"See them: ocs tasks show {name}")
    if member.ended is not None:
        when = f", {local(member.ended_at)}" if member.ended_at else ""
        raise Refused(f"{label} has ended ({member.ended}{when}); nothing was changed.")
    if tracker.ended_at is not None:
        raise Refused(f"{name} has ended ({tracker.status}, {local(tracker.ended_at)}); nothing was changed.")
    if member.task_id is not None:
        raise Refused(f"{label} is a task: it needs no heartbeat, and ends when its run does. Nothing was changed.")
    return tracker, member


async def _look(
    session: AsyncSession, tracker: Tracker, now: datetime, *, only: Collection[UUID] | None = None
) -> list[DispatchRow]:
    """Note which members have ended, of `only` these tasks if they are named, and close the tracker if all have."""
    if tracker.ended_at is not None:
        return []
    for standing in await _standings(session, tracker, only=only, open_only=True):
        if standing.status.ended:
            _note_end(standing, now)
        elif only is None and (why := _why_dead(tracker, standing, now)) is not None:
            standing.member.ended, standing.member.ended_at, standing.member.message = MemberStatus.DEAD, now, why
    return await _close_if_done(session, tracker, now)


def _note_end(standing: Standing, now: datetime) -> None:
    member, last = standing.member, standing.told.last if standing.told else None
    member.ended, member.ended_at = standing.status, (last.finished_at if last else None) or now
    member.run_id, member.message = (last.id if last else None), _said(standing.told)


def _said(told: Told | None) -> str:
    last = told.last if told else None
    if told is None or last is None:
        return "It was ended before it began."
    said = last.stdout.strip() or last.summary if told.status is TaskStatus.OK else last.error or str(told.status)
    return cut(said, MESSAGE)


def _why_dead(tracker: Tracker, standing: Standing, now: datetime) -> str | None:
    return rule.why_dead(
        created_at=tracker.created_at,
        deadline=tracker.deadline_at,
        heard_at=standing.member.heard_at if standing.told is None else None,
        begun=standing.status is MemberStatus.RUNNING,
        now=now,
    )


async def _standings(
    session: AsyncSession, tracker: Tracker, *, only: Collection[UUID] | None = None, open_only: bool = False
) -> list[Standing]:
    wanted = select(TrackerMember).where(TrackerMember.tracker_id == tracker.id)
    if open_only:
        wanted = wanted.where(col(TrackerMember.ended).is_(None))
    if only is not None and len(only) <= AT_ONCE:
        wanted = wanted.where(col(TrackerMember.task_id).in_(only))
    in_order = wanted.order_by(col(TrackerMember.label)).execution_options(populate_existing=True)
    members = list(await session.scalars(in_order))
    told = await _told(session, [member for member in members if member.ended is None])
    return [_standing(member, told.get(member.task_id) if member.task_id else None) for member in members]


def _standing(member: TrackerMember, told: Told | None) -> Standing:
    if member.ended is not None:
        return Standing(member, member.ended)
    if member.task_id is not None:
        # A task without a record any more was withdrawn long ago.
        return Standing(member, rule.of_task(told.status) if told else MemberStatus.FAILED, told)
    return Standing(member, MemberStatus.RUNNING if member.heard_at else MemberStatus.PENDING)


async def _told(session: AsyncSession, members: Sequence[TrackerMember]) -> dict[UUID, Told]:
    ids = [member.task_id for member in members if member.task_id is not None]
    tasks: list[Task] = []
    for start in range(0, len(ids), AT_ONCE):
        tasks += await session.scalars(select(Task).where(col(Task.id).in_(ids[start : start + AT_ONCE])))
    return {told.task.id: told for told in await told_of(session, tasks)}


async def _close_if_done(session: AsyncSession, tracker: Tracker, now: datetime) -> list[DispatchRow]:
    await session.flush()
    of_it = select(TrackerMember).where(TrackerMember.tracker_id == tracker.id)
    if (await session.scalars(of_it.where(col(TrackerMember.ended).is_(None)).limit(1))).first() is not None:
        return []
    failed = list(await session.scalars(of_it.where(TrackerMember.ended == MemberStatus.FAILED)))
    if await _tried_again(session, failed, now):
        return []
    ends = list(await session.scalars(select(TrackerMember.ended).where(TrackerMember.tracker_id == tracker.id)))
    status = rule.ended_as([end for end in ends if end is not None])
    return await _end(session, tracker, status, Attribution("scheduler", BY_ITSELF, now))


async def _tried_again(session: AsyncSession, failed: Sequence[TrackerMember], now: datetime) -> bool:
    """Whether a person has had a failed task tried again that goes on; one that then went well has not failed."""
    goes_on = False
    told = await _told(session, failed)
    for member in failed:
        again = told.get(member.task_id) if member.task_id else None
        if again is None:
            continue
        if again.status.is_open:
            member.ended = member.ended_at = None
            goes_on = True
        elif again.status is TaskStatus.OK:
            _note_end(Standing(member, MemberStatus.COMPLETED, again), now)
    await session.flush()
    return goes_on


async def _end(
    session: AsyncSession, tracker: Tracker, status: TrackerStatus, by: Attribution, *, closed: str | None = None
) -> list[DispatchRow]:
    """Close it, with what is told and what runs next. That is not held to `limits.max_queued`: it comes once."""
    await session.flush()
    members = [standing.shown for standing in await _standings(session, tracker)]
    follows = tracker.then_job if tracker.then_job and rule.fires(tracker.then_on, status) else None
    tracker.status, tracker.ended_at = status, by.now
    tracker.summary = rule.summary(members, follows, closed)
    deliveries.enqueue(
        session,
        job_id=tracker.name,
        run_id=None,
        targets=tracker.targets,
        subject=rule.subject(tracker.name, status, members),
        body=f"{tracker.summary}\n\nSee: ocs tasks show {tracker.name}",
        kind=rule.KIND,
        dedup=f"tracker:{tracker.id}",
        now=by.now,
    )
    row = None
    if follows is not None:
        row = DispatchRow(job_id=follows, kind=DispatchKind.CHAIN, scheduled_for=by.now, created_at=by.now)
        session.add(row)
        await session.flush()
        tracker.then_dispatch = row.id
    ended = {"tracker": tracker.name, "status": str(status), "then": follows}
    record(session, "tracker-ended", by=by, job_id=follows, after=ended)
    return [row] if row is not None else []


async def _with_all(session: AsyncSession, standing: Standing) -> rule.Member:
    run = await session.get(Run, standing.member.run_id) if standing.member.run_id else None
    said = standing.shown
    if run is not None and standing.status is MemberStatus.COMPLETED and run.stdout.strip():
        return rule.Member(said.label, said.status, run.stdout)
    return said
