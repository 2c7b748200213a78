"""What people ask of the store: runs, open dispatches, states. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_
from sqlmodel import col, select

from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.store.engine import Store
from ocs.store.outbox import OPEN, PendingDispatch, pending
from ocs.store.queue import newest_running
from ocs.store.readable import readable
from ocs.store.running import is_running
from ocs.store.shortened import begins, that_begin, the_one
from ocs.store.tables import DispatchRow, JobState, Run

AT_ONCE = 500


async def runs(
    store: Store,
    *,
    job: str | None = None,
    status: Sequence[RunStatus] = (),
    since: datetime | None = None,
    limit: int = 100,
) -> list[Run]:
    """Runs, newest first."""
    wanted = select(Run).order_by(col(Run.started_at).desc()).limit(limit)
    if job is not None:
        wanted = wanted.where(Run.job_id == job)
    if status:
        wanted = wanted.where(col(Run.status).in_(status))
    if since is not None:
        wanted = wanted.where(col(Run.started_at) >= since)
    async with store.reading() as session:
        return await readable(session, Run, wanted)


async def run_by_prefix(store: Store, prefix: str) -> Run:
    """The run whose id begins so, or that of its dispatch or its flow run, which has begun so last.

    Raises:
        NotFound: none does, or several do; they are named.
    """
    columns = (col(Run.id), col(Run.flow_run_id), col(Run.dispatch_id))
    wanted = select(Run).where(or_(*(begins(column, prefix) for column in columns)))
    async with store.reading() as session:
        found = list(await session.scalars(wanted.order_by(col(Run.started_at).desc()).limit(AT_ONCE)))
    itself = that_begin(found, prefix, by=lambda run: run.id)
    others = {run.flow_run_id: run for run in reversed(found) if run not in itself}
    chosen = itself or list(others.values())
    return the_one(chosen, prefix, "run", by=lambda run: run.id, hint="See the newest: ocs runs list")


async def waiting_by_any_id(store: Store, prefix: str) -> list[str]:
    """The jobs of what waits and has such an id, of the dispatch or its flow run."""
    rows = await queue(store)
    ids = (that_begin(rows, prefix, by=lambda row: row.id), that_begin(rows, prefix, by=lambda row: row.flow_run_id))
    return [row.job_id for found in ids for row in found]


async def run(store: Store, run_id: UUID) -> Run | None:
    """The run of exactly that id."""
    async with store.reading() as session:
        return await session.get(Run, run_id)


@dataclass(frozen=True, slots=True)
class Forebear:
    """A run that another came from, as Prefect and people know it."""

    job_id: str
    flow_run_id: UUID


async def forebears(store: Store, run_ids: Iterable[UUID | None]) -> dict[UUID, Forebear]:
    """Those of these runs that are on record."""
    wanted = {run_id for run_id in run_ids if run_id is not None}
    if not wanted:
        return {}
    columns = select(Run.id, Run.job_id, Run.flow_run_id).where(col(Run.id).in_(wanted))
    async with store.reading() as session:
        return {run_id: Forebear(job_id, flow_run_id) for run_id, job_id, flow_run_id in await session.execute(columns)}


async def newest_by_flow_run(store: Store, flow_run_ids: Sequence[UUID]) -> dict[UUID, Run]:
    """The last attempt of each of these flow runs that has become a run."""
    found: dict[UUID, Run] = {}
    async with store.reading() as session:
        for start in range(0, len(flow_run_ids), AT_ONCE):
            some = col(Run.flow_run_id).in_(flow_run_ids[start : start + AT_ONCE])
            of_them = select(Run).where(some).order_by(col(Run.attempt))
            found |= {run.flow_run_id: run for run in await readable(session, Run, of_them)}
    return found


async def said_before(store: Store, job_id: str, *, before: UUID, limit: int) -> list[Run]:
    """The newest runs of a job that ended well and said something, without `before`, newest first."""
    ended_well = select(Run).where(Run.job_id == job_id, Run.status == RunStatus.OK, col(Run.id) != before)
    told = ended_well.where(col(Run.stdout) != "")
    async with store.reading() as session:
        return list(await session.scalars(told.order_by(col(Run.started_at).desc()).limit(limit)))


async def last_finding(store: Store, job_id: str) -> str | None:
    """What the newest run of a watchdog that could tell had found."""
    found = select(Run.finding).where(Run.job_id == job_id, col(Run.finding).is_not(None))
    async with store.reading() as session:
        return (await session.scalars(found.order_by(col(Run.started_at).desc()).limit(1))).first()


async def known_jobs(store: Store) -> list[str]:
    """The ids of jobs that have ever run, removed ones too."""
    async with store.reading() as session:
        return list(await session.scalars(select(Run.job_id).distinct()))


async def attempts(store: Store, run: Run) -> list[Run]:
    """All attempts at what this run is an attempt at, itself included, in order."""
    async with store.reading() as session:
        found = [run]
        while (first := found[0].retry_of) and (before := await session.get(Run, first)):
            found.insert(0, before)
        while after := (await session.scalars(select(Run).where(Run.retry_of == found[-1].id))).first():
            found.append(after)
    return found


async def children_of(store: Store, run_id: UUID) -> list[Run]:
    """The runs of other jobs that followed this one."""
    followed = select(Run).where(Run.parent_run == run_id, Run.kind == DispatchKind.CHAIN)
    async with store.reading() as session:
        return list(await session.scalars(followed.order_by(col(Run.started_at))))


async def run_of_dispatch(store: Store, dispatch_id: UUID) -> Run | None:
    """The run a dispatch has become, None while it is open."""
    async with store.reading() as session:
        return (await session.scalars(select(Run).where(Run.dispatch_id == dispatch_id))).first()


async def retry_of(store: Store, run_id: UUID) -> Run | None:
    """The next attempt after this run, None when there is none (yet)."""
    async with store.reading() as session:
        return (await session.scalars(select(Run).where(Run.retry_of == run_id))).first()


async def job_states(store: Store) -> dict[str, JobState]:
    """Each job's state, by id."""
    async with store.reading() as session:
        return {state.job_id: state for state in await session.scalars(select(JobState))}


async def running(store: Store) -> list[Run]:
    """Runs that have not ended."""
    async with store.reading() as session:
        return await readable(session, Run, select(Run).where(is_running()))


async def running_of(store: Store, job_id: str) -> Run | None:
    """The run of a job that began last, of those that have not ended."""
    async with store.reading() as session:
        found = await newest_running(session, job_id)
        return await session.get(Run, found) if found else None


async def open_dispatches(store: Store) -> list[PendingDispatch]:
    """Dispatches that have not become runs."""
    return [pending(row) for row in await queue(store)]


async def queue(store: Store, *, job: str | None = None) -> list[DispatchRow]:
    """The rows of open dispatches, by the instant each is scheduled for."""
    wanted = select(DispatchRow).where(col(DispatchRow.status).in_(OPEN))
    if job is not None:
        wanted = wanted.where(DispatchRow.job_id == job)
    async with store.reading() as session:
        in_order = wanted.order_by(col(DispatchRow.scheduled_for), col(DispatchRow.created_at))
        return await readable(session, DispatchRow, in_order)


async def dispatch_by_prefix(store: Store, prefix: str) -> DispatchRow:
    """The waiting dispatch whose id begins so.

    Raises:
        NotFound: none does, or several do.
    """
    found = that_begin(await queue(store), prefix, by=lambda row: row.id)
    return the_one(found, prefix, "waiting dispatch", by=lambda row: row.id, hint="See what waits: ocs queue list")


async def dispatch(store: Store, dispatch_id: UUID) -> DispatchRow | None:
    """The row of a dispatch, open or not."""
    async with store.reading() as session:
        return await session.get(DispatchRow, dispatch_id)


async def children_by_run(store: Store, run_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """The runs of other jobs that followed each of these."""
    followed = select(Run).where(col(Run.parent_run).in_(run_ids), Run.kind == DispatchKind.CHAIN)
    found: dict[UUID, list[UUID]] = {}
    async with store.reading() as session:
        for child in await session.scalars(followed.order_by(col(Run.started_at))):
            if child.parent_run is not None:
                found.setdefault(child.parent_run, []).append(child.id)
    return found


async def awaiting_retry(store: Store, run_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these have a retry coming that is not a run yet."""
    coming = select(DispatchRow).where(col(DispatchRow.retry_of).in_(run_ids), col(DispatchRow.status).in_(OPEN))
    async with store.reading() as session:
        return {row.retry_of for row in await session.scalars(coming) if row.retry_of}
