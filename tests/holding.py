"""Somebody who has a store to himself for a while: it stalls for all others."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator

from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine


@contextlib.asynccontextmanager
async def held(address: str | URL) -> AsyncIterator[None]:
    """On Postgres nobody else reads or writes runs meanwhile; on SQLite nobody writes."""
    url = make_url(address)
    if url.get_backend_name() == "sqlite":
        with contextlib.closing(sqlite3.connect(str(url.database), isolation_level=None, timeout=60)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    engine = create_async_engine(url)
    async with engine.connect() as other:
        await other.execute(text("LOCK TABLE run IN ACCESS EXCLUSIVE MODE"))
        yield
    await engine.dispose()
