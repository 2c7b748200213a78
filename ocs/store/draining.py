"""Which workers drain: they take nothing new, and end when their runs have. Prefect calls them online until then."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import col, select

from ocs.store.engine import Store
from ocs.store.tables import Mark

PREFIX = "draining:"
LONGEST = 64
"""Characters of a mark's name."""


async def note_draining(store: Store, worker: str, since: datetime | None) -> None:
    """Remember since when a worker drains; None when it works (again), or has ended."""
    async with store.transaction() as session:
        mark = await session.get(Mark, _name(worker))
        if since is not None and mark is None:
            session.add(Mark(name=_name(worker), at=since))
        elif since is None and mark is not None:
            await session.delete(mark)


async def draining(store: Store) -> dict[str, datetime]:
    """Since when workers drain, by name. One that was killed meanwhile stays here until one of its name starts."""
    wanted = select(Mark).where(col(Mark.name).startswith(PREFIX))
    async with store.reading() as session:
        return {mark.name.removeprefix(PREFIX): mark.at for mark in await session.scalars(wanted)}


def is_draining(worker: str, known: dict[str, datetime]) -> datetime | None:
    """Since when that worker drains, None when it does not."""
    return known.get(_name(worker).removeprefix(PREFIX))


def _name(worker: str) -> str:
    return f"{PREFIX}{worker}"[:LONGEST]
