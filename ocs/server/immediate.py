"""SQLite transactions that take their write lock when they begin: a private name of Prefect's server that we touch.

As shipped, Prefect opens transactions with BEGIN DEFERRED. One that has read and then wants to write fails at
once with "database is locked" when another has written in between; no busy timeout applies to that. With a
worker and one client the stock server answers 503 under light load (PrefectHQ/prefect #10188, #16299, #18934).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from prefect.server.database import configurations
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


def begin_immediately() -> None:
    """Make every transaction of Prefect's SQLite database wait for the one that writes."""
    original = configurations.AioSqliteConfiguration.begin_transaction

    @asynccontextmanager
    async def begin_transaction(
        self: Any,
        session: AsyncSession,
        with_for_update: bool = False,  # noqa: ARG001  Prefect's signature
    ) -> AsyncGenerator[AsyncSessionTransaction]:
        async with original(self, session, with_for_update=True) as transaction:
            yield transaction

    configurations.AioSqliteConfiguration.begin_transaction = begin_transaction
