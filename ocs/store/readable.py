"""Rows that somebody has edited by hand so that nobody can read them: logged and left out, they stop no other."""

from __future__ import annotations

import logging
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col
from sqlmodel.sql.expression import SelectOfScalar

from ocs.store.tables import DispatchRow, Run

T = TypeVar("T", Run, DispatchRow)


async def readable(session: AsyncSession, table: type[T], wanted: SelectOfScalar[T]) -> list[T]:
    """What a query over a table finds. SQLite takes any text for a time or a document, and fails when it is read."""
    try:
        return list(await session.scalars(wanted))
    except ValueError:
        ids: list[UUID] = list(await session.scalars(wanted.with_only_columns(col(table.id))))
        return [row for row_id in ids if (row := await _alone(session, table, row_id)) is not None]


async def _alone(session: AsyncSession, table: type[T], row_id: UUID) -> T | None:
    try:
        return await session.get(table, row_id)
    except ValueError as damaged:
        logging.getLogger(__name__).error("A %s, %s, cannot be read: %s", table.__name__, row_id, damaged)
        return None
