"""Steers in the store: written while their task goes on, told by its attempts, and none swallowed by its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, func, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.rules.plain_text import one_line
from ocs.rules.steering import MOST_UNREAD, WAITING, SteerOutcome
from ocs.rules.tasks import TaskStatus
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.tables import DispatchRow
from ocs.store.tables_tasks import Steer, Task
from ocs.store.tasks import AT_ONCE, Told, has_ended, told_of

IN_AUDIT = 500
"""Characters of a steer that the audit trail has."""
BEFORE_IT_RUNS = (TaskStatus.QUEUED, TaskStatus.WAITING, TaskStatus.WAITING_APPROVAL)


async def add(store: Store, task: Task, text: str, *, at_once: bool = False, by: Attribution) -> tuple[Steer, Told]:
    """Write what a person says to a task; returns it, and how the task stood.

    Raises:
        Refused: the task has ended or is ending, a person decides on it as it is, or too much is unread.
    """
    async with store.transaction(lock=(_lock(task.id),)) as session:
        row = await session.get_one(Task, task.id)
        told = (await told_of(session, [row]))[0]
        await _refuse(session, told)
        unread = select(func.count()).where(col(Steer.task_id) == task.id, col(Steer.outcome).in_(WAITING))
        if (await session.scalars(unread)).one() >= MOST_UNREAD:
            raise Refused(
                f"{task.label} has {MOST_UNREAD} steers unread; no more are taken.",
                hint=f"See them: ocs dispatch show {task.label}",
            )
        steer = Steer(task_id=task.id, text=text, actor=by.actor, at_once=at_once, created_at=by.now)
        session.add(steer)
        said = {"task": str(task.id), "label": task.label, "steer": str(steer.id), "now": at_once}
        run_id = told.last.id if told.last else None
        after = {**said, "text": one_line(text, IN_AUDIT)}
        record(session, "task-steered", job_id=task.template, run_id=run_id, by=by, after=after)
        return steer, told


async def of_task(store: Store, task_id: UUID) -> list[Steer]:
    """All that people said to a task, oldest first."""
    async with store.reading() as session:
        in_order = select(Steer).where(col(Steer.task_id) == task_id).order_by(col(Steer.created_at), col(Steer.id))
        return list(await session.scalars(in_order))


async def one(store: Store, steer_id: UUID) -> Steer | None:
    """A steer as it stands now."""
    async with store.reading() as session:
        return await session.get(Steer, steer_id)


async def unsettled(store: Store, task_ids: Sequence[UUID]) -> list[Steer]:
    """What is not known to be read of what was said to these tasks, oldest first."""
    found: list[Steer] = []
    async with store.reading() as session:
        for start_at in range(0, len(task_ids), AT_ONCE):
            some = task_ids[start_at : start_at + AT_ONCE]
            wanted = select(Steer).where(col(Steer.task_id).in_(some), col(Steer.settled_at).is_(None))
            found += await session.scalars(wanted.order_by(col(Steer.created_at), col(Steer.id)))
    return found


async def tell(store: Store, steer_ids: Collection[UUID], run_id: UUID, *, while_pending: bool = False) -> int:
    """Note, before it is done, that an attempt's agent is told them; returns of how many that is so.

    With `while_pending` only of those that nobody has told or held meanwhile.
    """
    of_these = col(Steer.id).in_(steer_ids), col(Steer.settled_at).is_(None)
    only = (col(Steer.outcome) == SteerOutcome.PENDING,) if while_pending else ()
    return await _change(
        store, (*of_these, *only), {"outcome": SteerOutcome.SENT, "told": col(Steer.told) + 1, "run_id": run_id}
    )


async def take_back(store: Store, steer_ids: Collection[UUID], run_id: UUID, outcome: SteerOutcome) -> None:
    """Note that they were not told after all."""
    sent = col(Steer.id).in_(steer_ids), col(Steer.run_id) == run_id, col(Steer.outcome) == SteerOutcome.SENT
    await _change(store, sent, {"outcome": outcome, "told": col(Steer.told) - 1})


async def hold(store: Store, steer_ids: Collection[UUID]) -> None:
    """Note that they are told after the turn: its gateway takes nothing meanwhile."""
    pending = col(Steer.id).in_(steer_ids), col(Steer.outcome) == SteerOutcome.PENDING
    await _change(store, pending, {"outcome": SteerOutcome.HELD})


async def settle(store: Store, steer_ids: Collection[UUID], outcome: SteerOutcome, *, now: datetime) -> None:
    """Note what became of them; what is settled stays so."""
    open_ones = col(Steer.id).in_(steer_ids), col(Steer.settled_at).is_(None)
    await _change(store, open_ones, {"outcome": outcome, "settled_at": now})


async def renew(store: Store, task_id: UUID) -> None:
    """All is to be told again: an attempt begins in another conversation, which knows nothing of it."""
    anew = {"outcome": SteerOutcome.PENDING, "told": 0, "settled_at": None}
    await _change(store, (col(Steer.task_id) == task_id, col(Steer.told) > 0), anew)


async def close(store: Store, task_id: UUID, run_id: UUID, *, leave_unread: bool = False) -> bool:
    """Take no more steers while this attempt's result is recorded. False, and nothing is changed: one is not settled.

    A steer is written before this, and stands against it, or after this, and is refused. `leave_unread` leaves what
    waits to the next attempt.
    """
    async with store.transaction(lock=(_lock(task_id),)) as session:
        task = await session.get(Task, task_id, with_for_update=True)
        if task is None:
            return True
        waits = select(Steer.id).where(col(Steer.task_id) == task_id, col(Steer.settled_at).is_(None)).limit(1)
        if not leave_unread and (await session.scalars(waits)).first() is not None:
            return False
        task.closed_by = run_id
        return True


async def _refuse(session: AsyncSession, told: Told) -> None:
    task, last = told.task, told.last
    if not told.status.is_open:
        raise has_ended(told)
    if told.status is TaskStatus.RUNNING and last is not None and task.closed_by == last.id:
        raise Refused(
            f"{task.label} is ending: its agent has said its last word.",
            hint=f"When it has ended, go on with it: ocs dispatch start --continue {task.label}",
        )
    if told.status in BEFORE_IT_RUNS and await _needs_approval(session, task):
        raise Refused(
            f"{task.label} waits for a person who decides on it as it stands; nothing is added to it.",
            hint=f"Steer it when it runs, or end it and start it anew: ocs dispatch cancel {task.label}",
        )


async def _needs_approval(session: AsyncSession, task: Task) -> bool:
    row = await session.get(DispatchRow, task.id)
    job: Mapping[str, Any] = (row.parameters or {}).get("job", {}) if row else {}
    approval: Any = job.get("approval")
    return isinstance(approval, dict) and cast("dict[str, Any]", approval).get("required") is True


async def _change(store: Store, wanted: Sequence[ColumnElement[bool]], values: Mapping[str, Any]) -> int:
    async with store.transaction() as session:
        changed = await session.execute(update(Steer).where(*wanted).values(**values))
        return int(getattr(changed, "rowcount", 0))


def _lock(task_id: UUID) -> str:
    return f"steer:{task_id}"
