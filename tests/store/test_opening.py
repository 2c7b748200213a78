"""A process's store is opened once for each event loop, and closed whatever becomes of that."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Pool, QueuePool, text

from ocs.errors import StoreError
from ocs.store import Store, open_store
from tasks.adapter import runtime


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Store]:
    """What `host` opens, of a database of the test's own."""
    made: list[Store] = []

    def opening(**options: Any) -> Store:
        made.append(open_store(f"sqlite+aiosqlite:///{tmp_path / 'store.db'}", **options))
        return made[-1]

    monkeypatch.setattr(runtime, "open_store", opening)
    return made


def connections(pool: Pool) -> int:
    assert isinstance(pool, QueuePool)
    return pool.checkedin() + pool.checkedout()


async def used() -> Store:
    first, second = await asyncio.gather(runtime.store(), runtime.store())
    assert first is second
    assert connections(first.engine.pool) > 0
    return first


def test_a_loop_that_ends_closes_the_store_that_nobody_closed(opened: list[Store]) -> None:
    """As that of a run under Prefect's own worker, which knows nothing of our store."""
    assert opened == [asyncio.run(used())]
    assert connections(opened[0].engine.pool) == 0


async def test_a_store_that_was_closed_is_opened_anew(opened: list[Store]) -> None:
    await used()
    await runtime.close_store()
    await used()
    await runtime.close_store()
    assert [connections(store.engine.pool) for store in opened] == [0, 0]


async def test_what_could_not_be_migrated_is_closed_and_opened_anew_when_it_can(opened: list[Store]) -> None:
    await used()
    async with opened[0].transaction() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await runtime.close_store()
    with pytest.raises(StoreError):
        await runtime.store()
    await runtime.close_store()
    assert [connections(store.engine.pool) for store in opened] == [0, 0]


async def test_a_store_whose_opening_was_given_up_is_closed(opened: list[Store]) -> None:
    asking = asyncio.create_task(runtime.store())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait({asking})
    await runtime.close_store()
    assert [connections(store.engine.pool) for store in opened] == [0]
