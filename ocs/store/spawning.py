"""Spawning: which run asks, what its kind has started before, and what it starts now, noted with its dispatch."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, delete, exists, func, union_all
from sqlalchemy import select as rows_of
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import Refused, SpawnRefused
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import RunStatus
from ocs.rules.spawn import RUN_TOKEN, Asker, Counted, label_of, objections
from ocs.rules.tasks import Wish
from ocs.rules.tokens import digest_of
from ocs.spec import Job, Spawn
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.outbox import OPEN
from ocs.store.running import is_unfinished
from ocs.store.tables import AuditEvent, DispatchRow, Run
from ocs.store.tables_spawn import RunToken, Spawned

LOCK = "spawned"
"""Of everybody who starts what a run has asked for: what is counted stays so until it is written."""
HOUR = timedelta(hours=1)
REFUSED = "spawn-refused"
MOST_REFUSALS = 100
"""So many refusals of one run are in the audit trail; it may go on asking for ever."""


async def issue_token(store: Store, run_id: UUID, grant: Spawn, tells: Sequence[str]) -> str:
    """Make a token by which the run is known while it runs. Nobody but its process has it: kept is its hash."""
    secret = secrets.token_urlsafe(32)
    may = grant.model_dump(mode="json", exclude_defaults=True)
    async with store.transaction() as session:
        await session.merge(RunToken(run_id=run_id, token_hash=digest_of(secret), may=may, tells=list(tells)))
    return f"{run_id.hex}.{secret}"


async def asker_by_token(store: Store, token: str) -> Asker:
    """The run whose token that is.

    Raises:
        Refused: it is none's, or its run has ended.
    """
    name, _, secret = token.partition(".")
    async with store.reading() as session:
        known = await session.get(RunToken, UUID(name)) if _is_id(name) else None
        if known is None or not hmac.compare_digest(known.token_hash, digest_of(secret)):
            raise _not_known("is not the token of a run")
        run = await session.get_one(Run, known.run_id)
        if run.status is not RunStatus.RUNNING:
            raise _not_known(f"is the token of a run that has ended ({run.status})")
        return await _asker(session, run, Spawn.model_validate(known.may), tuple(known.tells), read_only=False)


async def asker_of(store: Store, run_id: UUID, grant: Spawn, tells: Sequence[str], *, read_only: bool) -> Asker:
    """The run itself, where it is known which one it is."""
    async with store.reading() as session:
        run = await session.get_one(Run, run_id)
        return await _asker(session, run, grant, tuple(tells), read_only=read_only)


def _not_known(why: str) -> Refused:
    return Refused(f"{RUN_TOKEN} {why}; nothing was started.", hint="A job with spawn gets it for as long as it runs.")


def _is_id(text: str) -> bool:
    try:
        return UUID(text).hex == text
    except ValueError:
        return False


async def _asker(
    session: AsyncSession, run: Run, grant: Spawn | None, tells: tuple[str, ...], *, read_only: bool
) -> Asker:
    first = run
    while first.retry_of and (before := await session.get(Run, first.retry_of)):
        first = before
    came_from = await session.get(Spawned, first.dispatch_id) if first.dispatch_id else None
    own = grant.depth if grant else 0
    return Asker(
        run_id=run.id,
        root_run=came_from.root_run if came_from else first.id,
        lineage=(*came_from.lineage, run.job_id) if came_from else (run.job_id,),
        depth_left=min(own, came_from.depth_left) if came_from else own,
        grant=grant,
        tells=tells,
        read_only=read_only,
    )


async def known(session: AsyncSession, asker: Asker, labels: Sequence[str]) -> dict[str, UUID]:
    """Of those labels the dispatches that the asker's line of descent has asked for before."""
    same = select(Spawned).where(Spawned.root_run == asker.root_run, col(Spawned.label).in_(labels))
    return {row.label: row.id for row in await session.scalars(same)}


async def objected(store: Store, asker: Asker, wanted: Sequence[Wish | Job], now: datetime) -> None:
    """Look whether these may be started, before anything else is looked at; what was started before is not asked.

    Raises:
        SpawnRefused: something stands against it; all of it is said.
    """
    async with store.reading() as session:
        before = await known(session, asker, [label for each in wanted if (label := label_of(each))])
        await check(session, asker, [each for each in wanted if label_of(each) not in before], now)


async def check(session: AsyncSession, asker: Asker, wanted: Sequence[Wish | Job], now: datetime) -> None:
    """Hold the rule against what is wanted; under LOCK, where they are to be written.

    Raises:
        SpawnRefused: something stands against it; all of it is said.
    """
    if wanted and (found := objections(asker, wanted, await counted(session, asker, now))):
        raise SpawnRefused(f"{asker.job_id} may not start that; nothing was started.", problems=found)


async def counted(session: AsyncSession, asker: Asker, now: datetime) -> Counted:
    """What is open, and what was started lately."""
    is_of_job = col(Spawned.root_job) == asker.root_job
    count_open = rows_of(func.count(), func.count().filter(is_of_job)).select_from(Spawned)
    of_all, of_job = (await session.execute(count_open.where(col(Spawned.id).in_(_going_on())))).one()
    lately = rows_of(func.count()).select_from(Spawned).where(is_of_job, col(Spawned.created_at) > now - HOUR)
    return Counted(of_job, (await session.scalars(lately)).one(), of_all)


def _going_on() -> Select[tuple[UUID | None]]:
    """SQL: the dispatches of which something waits, runs or is to come; from what is open up to the first attempt."""
    runs = rows_of(col(Run.dispatch_id), col(Run.retry_of)).where(is_unfinished())
    waiting = col(DispatchRow.status).in_(OPEN)
    sent = rows_of(col(DispatchRow.id), col(DispatchRow.retry_of)).where(waiting)
    begin = union_all(runs, sent).subquery()
    lines = rows_of(begin.c.dispatch_id, begin.c.retry_of).cte("lines", recursive=True)
    earlier = rows_of(col(Run.dispatch_id), col(Run.retry_of)).where(col(Run.id) == lines.c.retry_of)
    lines = lines.union(earlier)
    return rows_of(lines.c.dispatch_id).where(lines.c.dispatch_id.is_not(None))


def note(session: AsyncSession, asker: Asker, dispatch_id: UUID, *, label: str, job_id: str, now: datetime) -> None:
    """Note whose the dispatch is, in the transaction that writes it."""
    session.add(
        Spawned(
            id=dispatch_id,
            label=label,
            job_id=job_id,
            spawned_by=asker.run_id,
            root_run=asker.root_run,
            root_job=asker.root_job,
            lineage=list(asker.lineage),
            depth_left=asker.depth_left - 1,
            created_at=now,
        )
    )


async def note_refusal(
    store: Store, asker: Asker, labels: Sequence[str], refused: SpawnRefused, by: Attribution
) -> None:
    """Keep what was refused, and why, in the audit trail; of one run not for ever."""
    same = rows_of(func.count()).select_from(AuditEvent)
    same = same.where(col(AuditEvent.run_id) == asker.run_id, col(AuditEvent.action) == REFUSED)
    why = {"labels": list(labels), "why": [str(problem) for problem in refused.problems]}
    async with store.transaction() as session:
        if (await session.scalars(same)).one() < MOST_REFUSALS:
            record(session, REFUSED, by=by, job_id=asker.job_id, run_id=asker.run_id, after=why)


async def children(store: Store, run_ids: Sequence[UUID]) -> list[Spawned]:
    """What these runs have started, in order."""
    theirs = select(Spawned).where(col(Spawned.spawned_by).in_(run_ids)).order_by(col(Spawned.created_at))
    async with store.reading() as session:
        return list(await session.scalars(theirs))


async def prune_spawned(store: Store, *, before: datetime) -> int:
    """Delete old notes of which neither a run nor a dispatch is kept any more."""
    has_run = exists().where(col(Run.dispatch_id) == col(Spawned.id))
    has_dispatch = exists().where(col(DispatchRow.id) == col(Spawned.id))
    past = delete(Spawned).where(col(Spawned.created_at) < before, ~has_run, ~has_dispatch)
    async with store.transaction() as session:
        return int(getattr(await session.execute(past), "rowcount", 0))
