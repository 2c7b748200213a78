"""Tasks: written with their dispatches, found by label, and told by the attempts of their dispatches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, exists
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import NotFound, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.costs import Use
from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.rules.guards import SkipReason
from ocs.rules.spawn import Asker
from ocs.rules.tasks import Report, TaskStatus, Wish, status_of
from ocs.rules.wording import SHORT, local
from ocs.spec import Job
from ocs.store import membership, spawning
from ocs.store.audit import record
from ocs.store.costs import note_use
from ocs.store.engine import Store
from ocs.store.membership import NewTracker
from ocs.store.outbox import OPEN, PendingDispatch, backlog, pending
from ocs.store.tables import DispatchRow, DispatchStatus, Run
from ocs.store.tables_tasks import Task

AT_ONCE = 500
ONE = "Have the second one go on with the first, once that has ended."


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to be written: `document` is the whole job that runs. `goes_on_with` is a task that has ended.

    `track` is the tracker that it is a member of; it begins at `due_at`, or now.
    """

    label: str | None
    template: str
    agent: str
    text: str
    document: Mapping[str, Any]
    model: str | None = None
    key: str | None = None
    goes_on_with: Task | None = None
    track: str | None = None
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A run asks for tasks: these wishes, or jobs of its own making."""

    asker: Asker
    wanted: Sequence[Wish | Job]


@dataclass(frozen=True, slots=True)
class Begun:
    """A task that was written, with the dispatch to publish; that is None when its key was known `already`."""

    task: Task
    dispatch: PendingDispatch | None

    @property
    def already(self) -> bool:
        """Whether it had been started before."""
        return self.dispatch is None


@dataclass(frozen=True, slots=True)
class Told:
    """A task, how it stands, and its attempts in order."""

    task: Task
    status: TaskStatus
    runs: Sequence[Run] = field(default=())
    # When it was to begin.
    due_at: datetime | None = None

    @property
    def last(self) -> Run | None:
        """The attempt that was made last."""
        return self.runs[-1] if self.runs else None


async def start(
    store: Store,
    new: Sequence[NewTask],
    *,
    max_queued: Mapping[str, int],
    tracker: NewTracker | None = None,
    ask: Ask | None = None,
    by: Attribution,
) -> list[Begun]:
    """Write tasks, all or none of them. `max_queued` says of each template how many may wait.

    They join the trackers that they name; `tracker` is made for them unless one of its name is open. With `ask` it is
    a run that wants them: each is noted as its child, and one that it has asked for before is there already.

    Raises:
        NotFound: there is no such tracker.
        SpawnRefused: the run that asks may not start them.
        Refused: a label is that of a task that has not ended, or stands there twice, too many tasks wait, or a
            tracker has ended.
    """
    templates = sorted({each.template for each in new})
    locks = ("tasks", membership.LOCK, spawning.LOCK, *(f"job:{template}" for template in templates))
    async with store.transaction(lock=locks) as session:
        before = await _before(session, new, ask)
        to_write = [each for each, known in zip(new, before, strict=True) if known is None]
        if ask is not None:
            wanted = [each for each, known in zip(ask.wanted, before, strict=True) if known is None]
            await spawning.check(session, ask.asker, wanted, by.now)
        _refuse_past(to_write, by.now)
        await _refuse_open(session, to_write)
        await _refuse_shared(session, to_write)
        await _refuse_too_many(session, Counter(each.template for each in to_write), max_queued)
        begun = [known or _write(session, each, ask, by) for each, known in zip(new, before, strict=True)]
        joining: dict[str, list[Task]] = {}
        for each, one in zip(new, begun, strict=True):
            if each.track is not None and not one.already:
                joining.setdefault(each.track, []).append(one.task)
        await membership.join(session, joining, tracker, by)
        return begun


async def known_keys(store: Store, keys: Sequence[str]) -> set[str]:
    """Those of the keys with which a task was started before."""
    async with store.reading() as session:
        return {key for key in await _by_key(session, keys) if key is not None}


async def by_label(store: Store, label: str) -> Told:
    """The newest task of that label; one without a label of its own is known by the beginning of its id.

    Raises:
        NotFound: there is none.
    """
    newest = select(Task).where(Task.label == label).order_by(col(Task.created_at).desc(), col(Task.id)).limit(1)
    async with store.reading() as session:
        task = (await session.scalars(newest)).first()
        if task is None:
            raise NotFound(f'There is no task "{label}".', hint="See them: ocs dispatch list")
        return (await told_of(session, [task]))[0]


async def told_of(session: AsyncSession, tasks: Sequence[Task]) -> list[Told]:
    """Of each task its attempts: the runs of its dispatch, and those that retry them, generation by generation."""
    attempts: dict[UUID, list[Run]] = {task.id: [] for task in tasks}
    dispatches: dict[UUID, DispatchRow] = {}
    coming: set[UUID] = set()
    for start_at in range(0, len(tasks), AT_ONCE):
        ids = [task.id for task in tasks[start_at : start_at + AT_ONCE]]
        rows = await session.scalars(select(DispatchRow).where(col(DispatchRow.id).in_(ids)))
        dispatches |= {row.id: row for row in rows}
        first = await session.scalars(select(Run).where(col(Run.dispatch_id).in_(ids)))
        # A flow run that came too late is recorded as well, and says nothing of the task.
        in_order = sorted(first, key=lambda run: (run.skip_reason is not SkipReason.DUPLICATE, run.started_at))
        generation = [(run.dispatch_id, run) for run in in_order if run.dispatch_id is not None]
        while generation:
            task_of = {run.id: task_id for task_id, run in generation}
            for task_id, run in generation:
                attempts[task_id].append(run)
            coming |= await _with_more_to_come(session, list(task_of))
            following = await session.scalars(select(Run).where(col(Run.retry_of).in_(task_of)))
            generation = [(task_of[run.retry_of], run) for run in following if run.retry_of is not None]
    return [_one(task, dispatches.get(task.id), attempts[task.id], coming) for task in tasks]


def has_ended(told: Told) -> Refused:
    """Why nothing can be done any more about a task that has ended."""
    at = told.last.finished_at if told.last else None
    when = f", {local(at)}" if at else ""
    label = told.task.label
    return Refused(
        f"{label} has ended ({told.status}{when}).", hint=f"Go on with it: ocs dispatch start --continue {label}"
    )


async def newest(store: Store, *, limit: int) -> list[Told]:
    """The newest tasks, newest first."""
    in_order = select(Task).order_by(col(Task.created_at).desc(), col(Task.id)).limit(limit)
    async with store.reading() as session:
        return await told_of(session, list(await session.scalars(in_order)))


async def open_ones(store: Store) -> list[Told]:
    """Every task that has not ended, newest first."""
    async with store.reading() as session:
        in_order = select(Task).order_by(col(Task.created_at).desc(), col(Task.id))
        return [told for told in await told_of(session, list(await session.scalars(in_order))) if told.status.is_open]


async def task_of_dispatch(store: Store, dispatch_id: UUID) -> Task | None:
    """The task that a dispatch is, if it is one."""
    async with store.reading() as session:
        return await session.get(Task, dispatch_id)


async def write_report(store: Store, task: Task, report: Report, *, by: Attribution) -> None:
    """Keep what the agent says of its work; a further report takes the place of an earlier one."""
    said = {"summary": report.summary, "checklist": dict(report.checklist), "sha": report.sha, "by": by.actor}
    async with store.transaction() as session:
        row = await session.get_one(Task, task.id, with_for_update=True)
        row.report, row.reported_at = said, by.now
        record(session, "task-reported", job_id=row.template, by=by, after={"task": str(row.id), **said})


async def note_activity(store: Store, run_id: UUID, *, doing: str | None, uses: Sequence[Use], now: datetime) -> None:
    """Keep what a run's agent does now, and what its model calls have used, while the run goes on."""
    async with store.transaction() as session:
        run = await session.get(Run, run_id, with_for_update=True)
        if run is not None and run.status is RunStatus.RUNNING:
            run.last_activity_at, run.doing = now, doing
            await note_use(session, run, uses)


async def prune_tasks(store: Store, *, before: datetime) -> int:
    """Delete old tasks of which neither a run nor a dispatch is kept any more."""
    has_run = exists().where(col(Run.dispatch_id) == col(Task.id))
    has_dispatch = exists().where(col(DispatchRow.id) == col(Task.id))
    past = delete(Task).where(col(Task.created_at) < before, ~has_run, ~has_dispatch)
    async with store.transaction() as session:
        return int(getattr(await session.execute(past), "rowcount", 0))


async def _before(session: AsyncSession, new: Sequence[NewTask], ask: Ask | None) -> list[Begun | None]:
    """What was started of it before: by its key, or by the line of descent of the run that asks, by its label."""
    if ask is None:
        keys = await _by_key(session, [each.key for each in new if each.key])
        return [keys.get(each.key) if each.key else None for each in new]
    labels = await spawning.known(session, ask.asker, [each.label for each in new if each.label])
    found = [await session.get(Task, labels[each.label]) if each.label in labels else None for each in new]
    return [Begun(task, None) if task else None for task in found]


async def _by_key(session: AsyncSession, keys: Sequence[str]) -> dict[str | None, Begun]:
    known: dict[str | None, Begun] = {}
    for start_at in range(0, len(keys), AT_ONCE):
        some = select(Task).where(col(Task.key).in_(keys[start_at : start_at + AT_ONCE]))
        known |= {task.key: Begun(task, None) for task in await session.scalars(some)}
    return known


async def _refuse_open(session: AsyncSession, new: Sequence[NewTask]) -> None:
    labels = [each.label for each in new if each.label is not None]
    _refuse_twice(labels, "label")
    _refuse_twice([each.key for each in new if each.key is not None], "key")
    for start_at in range(0, len(labels), AT_ONCE):
        same = select(Task).where(col(Task.label).in_(labels[start_at : start_at + AT_ONCE]))
        for told in await told_of(session, list(await session.scalars(same))):
            if told.status.is_open:
                raise Refused(f'"{told.task.label}" is {_told_as(told)}.', hint=_instead(told))


def _refuse_past(new: Sequence[NewTask], now: datetime) -> None:
    """A time that was mistaken must not mean now; what was started before is not asked."""
    if past := [each.due_at for each in new if each.due_at is not None and each.due_at < now]:
        raise Refused(f"{local(past[0])} is past; nothing was started.", hint="Name a later time, or none for now.")


def _refuse_twice(given: Sequence[str], what: str) -> None:
    if twice := [each for each, count in Counter(given).items() if count > 1]:
        raise Refused(f'"{twice[0]}" stands there twice; nothing was started.', hint=f"Give each task its own {what}.")


async def _refuse_shared(session: AsyncSession, new: Sequence[NewTask]) -> None:
    """Of two turns at a time in one conversation each would take the other's answer for its own."""
    before = {each.goes_on_with.conversation: each.goes_on_with.label for each in new if each.goes_on_with is not None}
    gone_on_with = Counter(each.goes_on_with.conversation for each in new if each.goes_on_with is not None)
    if twice := [conversation for conversation, count in gone_on_with.items() if count > 1]:
        raise Refused(f'The conversation of "{before[twice[0]]}" can be gone on with by one task at a time.', hint=ONE)
    conversations = list(before)
    for start_at in range(0, len(conversations), AT_ONCE):
        same = select(Task).where(col(Task.conversation).in_(conversations[start_at : start_at + AT_ONCE]))
        for told in await told_of(session, list(await session.scalars(same))):
            if told.status.is_open:
                label = before[told.task.conversation]
                raise Refused(
                    f'"{told.task.label}" goes on in the conversation of "{label}", and is {told.status}.',
                    hint=f"Wait for it: ocs dispatch wait {told.task.label}",
                )


def _told_as(told: Told) -> str:
    if told.last is None or told.status is not TaskStatus.RUNNING:
        return f"{told.status} already"
    return f"running already (run {str(told.last.id)[:SHORT]})"


def _instead(told: Told) -> str:
    return f"Choose another label, or end it: ocs dispatch cancel {told.task.label}"


async def _refuse_too_many(session: AsyncSession, wanted: Mapping[str, int], max_queued: Mapping[str, int]) -> None:
    for template, count in wanted.items():
        waiting = await backlog(session, template)
        if waiting + count > max_queued[template]:
            raise Refused(
                f'{waiting} tasks of "{template}" wait already, {count} more would be too many: limits.max_queued '
                f"is {max_queued[template]}. Nothing was started.",
                hint="See them: ocs dispatch list --running",
            )


def _write(session: AsyncSession, new: NewTask, ask: Ask | None, by: Attribution) -> Begun:
    row = DispatchRow(
        id=uuid4(),
        job_id=new.template,
        kind=DispatchKind.MANUAL,
        scheduled_for=new.due_at or by.now,
        created_at=by.now,
        parameters={"job": dict(new.document)},
    )
    task = Task(
        id=row.id,
        label=new.label or row.id.hex[:SHORT],
        template=new.template,
        agent=new.agent,
        model=new.model,
        text=new.text,
        conversation=new.goes_on_with.conversation if new.goes_on_with else row.id,
        key=new.key,
        created_by=by.actor,
        created_at=by.now,
    )
    session.add_all((row, task))
    asker = ask.asker if ask else None
    if asker is not None:
        spawning.note(session, asker, row.id, label=task.label, job_id=new.template, now=by.now)
    after = {"task": str(task.id), "label": task.label, **({"asked_by": str(asker.run_id)} if asker else {})}
    record(session, "dispatch", job_id=new.template, by=by, after=after)
    return Begun(task, pending(row))


async def _with_more_to_come(session: AsyncSession, run_ids: Sequence[UUID]) -> set[UUID]:
    sent = select(DispatchRow.retry_of).where(col(DispatchRow.retry_of).in_(run_ids), col(DispatchRow.status).in_(OPEN))
    return {run_id for run_id in await session.scalars(sent) if run_id is not None}


def _one(task: Task, dispatch: DispatchRow | None, runs: Sequence[Run], coming: set[UUID]) -> Told:
    status = status_of(
        str(dispatch.status) if dispatch else None,
        [run.status for run in runs],
        coming=bool(runs) and runs[-1].id in coming,
        waits=dispatch is not None and dispatch.status is DispatchStatus.QUEUED,
    )
    return Told(task, status, tuple(runs), dispatch.scheduled_for if dispatch else None)
