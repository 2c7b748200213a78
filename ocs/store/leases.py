"""Leases: who executes a run, and until when without a further heartbeat.

The database's clock gives and judges them: an owner's own may be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import col, select

from ocs.rules.dispatch import Dispatch, DispatchContext
from ocs.store.clock import database_clock
from ocs.store.engine import Store
from ocs.store.readable import readable
from ocs.store.running import is_running
from ocs.store.tables import Run
from ocs.timing import timing


@dataclass(frozen=True, slots=True)
class Lease:
    """A run that has not ended, who executes it, and which process or conversation it is (None before there is one).

    `has_run_out` is by the clock that gave it, at the moment of the question.
    """

    context: DispatchContext
    owner: str
    until: datetime
    has_run_out: bool = False
    pid: int | None = None
    pid_started_at: float | None = None
    session_key: str | None = None


async def leases(store: Store) -> list[Lease]:
    """Every run that executes, or did when its owner ended."""
    async with store.reading() as session:
        now = await database_clock(session)
        return [_lease(run, now) for run in await readable(session, Run, select(Run).where(is_running()))]


async def renew_leases(store: Store, run_ids: Sequence[UUID]) -> set[UUID]:
    """Send a heartbeat for these runs; returns those that are still ours."""
    async with store.transaction() as session:
        held = list(await session.scalars(select(Run).where(col(Run.id).in_(run_ids), is_running())))
        until = await database_clock(session) + timing().lease
        for run in held:
            run.lease_until = until
        return {run.id for run in held}


async def record_process(store: Store, run_id: UUID, pid: int, started_at: float) -> None:
    """Remember which process (group) a run is, by id and start time."""
    async with store.transaction() as session:
        run = await session.get_one(Run, run_id)
        run.pid, run.pid_started_at = pid, started_at


async def record_session(
    store: Store, run_id: UUID, key: str, *, agent: str | None = None, model: str | None = None
) -> None:
    """Remember which conversation a run is a turn of, whose turn it is, and which model it asks for, if not its own."""
    async with store.transaction() as session:
        run = await session.get_one(Run, run_id)
        run.session_key, run.agent, run.model = key, agent or run.agent, model


def dispatch_behind(run: Run) -> Dispatch:
    """The dispatch a run came from."""
    return Dispatch(
        run.kind, run.scheduled_for, run.dispatch_id, run.parent_run, run.retry_of, run.attempt, run.replays
    )


def context_of(run: Run) -> DispatchContext:
    """A claimed run as its tasks know it. One that somebody wrote into the store by hand has no key."""
    key = run.idempotency_key or ""
    return DispatchContext(run.id, run.job_id, run.flow_run_id, dispatch_behind(run), key, run.started_at)


def last_heartbeat_of(run: Run) -> datetime:
    """Until when its owner executes it, by its last heartbeat."""
    return run.lease_until or run.started_at


def _lease(run: Run, now: datetime) -> Lease:
    until = last_heartbeat_of(run)
    return Lease(context_of(run), run.owner or "", until, until < now, run.pid, run.pid_started_at, run.session_key)
