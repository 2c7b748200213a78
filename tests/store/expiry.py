"""Leases run out by the database's clock, which no test can set: their ends are moved into the past instead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlmodel import col, update

from ocs.store import Store
from ocs.store.tables import Run
from ocs.store.tables_delivery import Delivery


async def leases_run_out(store: Store, table: type[Run | Delivery] = Run) -> None:
    """As if nobody had given a sign of life since their times."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    async with store.transaction() as session:
        await session.execute(update(table).where(col(table.lease_until).is_not(None)).values(lease_until=past))
