"""Retention: deletes old records. It never touches what has not ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func
from sqlmodel import col, select

from ocs.rules.dispatch import RunStatus
from ocs.store.costs import prune_uses
from ocs.store.deliveries import prune_deliveries
from ocs.store.engine import Store
from ocs.store.incidents import prune_incidents
from ocs.store.ledger import prune_keys
from ocs.store.messages import prune_messages
from ocs.store.occurrences import behind, caught_up_until
from ocs.store.outbox import OPEN
from ocs.store.proposals import prune_proposals
from ocs.store.running import is_unfinished
from ocs.store.spawning import prune_spawned
from ocs.store.tables import Approval, DispatchRow, Run
from ocs.store.tasks import prune_tasks
from ocs.store.trackers import prune_trackers

DISPATCHES_KEPT = timedelta(days=30)
APPROVALS_KEPT = timedelta(days=30)
DELIVERIES_KEPT = timedelta(days=30)
INCIDENTS_KEPT = timedelta(days=90)
TRACKERS_KEPT = timedelta(days=90)
COSTS_KEPT = timedelta(days=400)
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many records of each sort were deleted."""

    runs: int = 0
    keys: int = 0
    dispatches: int = 0
    approvals: int = 0
    deliveries: int = 0
    messages: int = 0
    incidents: int = 0
    tasks: int = 0
    trackers: int = 0
    spawned: int = 0
    costs: int = 0
    proposals: int = 0

    @property
    def total(self) -> int:
        """How many records were deleted, of all sorts."""
        return sum(astuple(self))


async def prune(store: Store, keep: dict[str, int], *, otherwise: int, now: datetime) -> Pruned:
    """Keep the newest runs of each job (`keep`, or `otherwise`), keys that still block, and what is open."""
    looked_at, late = await caught_up_until(store), await behind(store)
    async with store.reading() as session:
        counts = (await session.execute(select(Run.job_id, func.count()).group_by(col(Run.job_id)))).all()
    runs = 0
    for job_id, count in counts:
        if count > (kept := keep.get(job_id, otherwise)):
            runs += await _prune_runs(store, job_id, kept, late.since(job_id) or looked_at)
    return Pruned(
        runs,
        await prune_keys(store, now=now),
        await _prune_dispatches(store, now, min(late.marks.values(), default=looked_at)),
        await _prune_approvals(store, now),
        await prune_deliveries(store, before=now - DELIVERIES_KEPT),
        await prune_messages(store, now=now),
        await prune_incidents(store, before=now - INCIDENTS_KEPT),
        await prune_tasks(store, before=now - DISPATCHES_KEPT),
        await prune_trackers(store, before=now - TRACKERS_KEPT),
        await prune_spawned(store, before=now - DISPATCHES_KEPT),
        await prune_uses(store, before=now - COSTS_KEPT),
        await prune_proposals(store, before=now - APPROVALS_KEPT),
    )


async def known_runs(store: Store, run_ids: Iterable[UUID]) -> set[UUID]:
    """Which of these runs have a record."""
    wanted = list(run_ids)
    found: set[UUID] = set()
    async with store.reading() as session:
        for start in range(0, len(wanted), AT_ONCE):
            some = select(Run.id).where(col(Run.id).in_(wanted[start : start + AT_ONCE]))
            found |= set(await session.scalars(some))
    return found


async def _prune_runs(store: Store, job_id: str, kept: int, looked_at: datetime | None) -> int:
    """But for occurrences that catch-up has not looked at yet: without a record it would dispatch them."""
    ended = (Run.job_id == job_id, ~is_unfinished())
    past = select(Run.id).where(*ended).order_by(col(Run.started_at).desc()).offset(kept)
    if looked_at is not None:
        past = select(Run.id).where(col(Run.id).in_(past), col(Run.scheduled_for) < looked_at)
    async with store.transaction() as session:
        ids = list(await session.scalars(past.limit(AT_ONCE)))
        await session.execute(delete(Run).where(col(Run.id).in_(ids)))
    return len(ids)


async def _prune_dispatches(store: Store, now: datetime, looked_at: datetime | None) -> int:
    used = select(Run.dispatch_id).where(col(Run.dispatch_id).is_not(None))
    past = delete(DispatchRow).where(
        col(DispatchRow.status).not_in(OPEN),
        col(DispatchRow.created_at) < now - DISPATCHES_KEPT,
        col(DispatchRow.id).not_in(used),
    )
    if looked_at is not None:
        past = past.where(col(DispatchRow.scheduled_for) < looked_at)
    async with store.transaction() as session:
        return int(getattr(await session.execute(past), "rowcount", 0))


async def _prune_approvals(store: Store, now: datetime) -> int:
    """What was decided long ago; the audit trail keeps who did it."""
    waiting = select(Run.id).where(col(Run.status) == RunStatus.WAITING_APPROVAL)
    past = delete(Approval).where(col(Approval.decided_at) < now - APPROVALS_KEPT, col(Approval.run_id).not_in(waiting))
    async with store.transaction() as session:
        return int(getattr(await session.execute(past), "rowcount", 0))
