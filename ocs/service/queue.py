"""The queue: dispatches that wait to become runs, and messages that were not sent yet or could not be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from ocs.errors import NotFound, ServerUnreachable
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchKind
from ocs.service import session
from ocs.service.records import Delivery, delivery_record

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables import DispatchRow
    from ocs.store.tables_delivery import Delivery as DeliveryRow


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingDispatch:
    """What is to become a run, and what it waits for."""

    id: UUID
    job: str
    kind: DispatchKind
    attempt: int
    scheduled_for: datetime
    waits_for: str
    pool: str | None
    waiting_since: datetime | None
    source_run: UUID | None
    retry_of: UUID | None
    flow_run_id: UUID | None


async def waiting(store: Store, job: str | None = None) -> tuple[list[WaitingDispatch], list[Delivery]]:
    """What waits to become a run, and the messages that were not sent.

    Raises:
        NotFound: no such job is in the catalogue, or has ever run.
    """
    from ocs.store import deliveries, queries

    chosen = await session.pick_ever_run(store, job) if job else None
    dispatches = await queries.queue(store, job=chosen)
    unsent = await deliveries.unsent(store, job=chosen)
    return [_record(row) for row in dispatches], [delivery_record(row) for row in unsent]


async def withdraw(store: Store, given: str, *, by: Attribution) -> WaitingDispatch | Delivery:
    """Withdraw the dispatch or message whose id begins so: it never becomes a run, or is never sent.

    Raises:
        NotFound: none waits whose id begins so, or several do.
    """
    from ocs.store import deliveries, queries, withdraw_one

    if await _is_delivery(store, given):
        message = await _unsent(store, given)
        return delivery_record(await deliveries.withdraw_delivery(store, message.id, by=by))
    chosen = await queries.dispatch_by_prefix(store, given)
    flow_run = await withdraw_one(store, chosen.id, by=by)
    if flow_run is not None:
        await _end_flow_run(flow_run, by)
    return _record(chosen)


async def send_again(store: Store, given: Sequence[str], *, by: Attribution) -> list[Delivery]:
    """Send messages that were given up once more, or waiting ones at once; parts that arrived are not repeated.

    Raises:
        NotFound: none waits or was given up whose id begins so, or several; nothing was changed.
    """
    from ocs.store import deliveries

    chosen = [await _unsent(store, each) for each in given]
    return [delivery_record(await deliveries.try_again(store, row.id, by=by)) for row in chosen]


async def _unsent(store: Store, prefix: str) -> DeliveryRow:
    from ocs.store import deliveries
    from ocs.store.shortened import that_begin, the_one

    found = that_begin(await deliveries.unsent(store), prefix, by=lambda row: row.id)
    hint = "See what waits or was given up: ocs queue list"
    return the_one(found, prefix, "delivery", by=lambda row: row.id, hint=hint)


async def _is_delivery(store: Store, prefix: str) -> bool:
    """Whether an id begins so of a delivery, and of no dispatch."""
    from ocs.store import deliveries, queries
    from ocs.store.shortened import that_begin

    dispatches = that_begin(await queries.queue(store), prefix, by=lambda row: row.id)
    return not dispatches and bool(that_begin(await deliveries.unsent(store), prefix, by=lambda row: row.id))


async def _end_flow_run(flow_run_id: UUID, by: Attribution) -> None:
    """Tidy it away in Prefect too; the withdrawal alone already keeps it from running."""
    from ocs.service.stopping import tell_to_end

    try:
        async with session.server() as client:
            await tell_to_end(client, flow_run_id, by)
    except (ServerUnreachable, NotFound):
        return


def _record(row: DispatchRow) -> WaitingDispatch:
    return WaitingDispatch(
        id=row.id,
        job=row.job_id,
        kind=row.kind,
        attempt=row.attempt,
        scheduled_for=row.scheduled_for,
        waits_for=_waits_for(row),
        pool=row.pool,
        waiting_since=row.waiting_since,
        source_run=row.source_run,
        retry_of=row.retry_of,
        flow_run_id=row.flow_run_id,
    )


def _waits_for(row: DispatchRow) -> str:
    from ocs.store.tables import DispatchStatus

    if row.status is DispatchStatus.QUEUED:
        return f"a slot of the pool {row.pool}" if row.waits_for == "pool" else "an earlier run of the job"
    if row.scheduled_for > session.now():
        return "its time"
    return "a worker" if row.status is DispatchStatus.PUBLISHED else "the server"
