"""The database's clock: it alone gives and judges leases, so that a host's clock may go wrong."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import select


async def database_clock(session: AsyncSession) -> datetime:
    """Now, for everybody who uses this database. A SQLite file is used on one host, whose clock it is.

    Not when the transaction began: it may have waited for its locks since.
    """
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    return (await session.scalars(select(func.clock_timestamp()))).one()
