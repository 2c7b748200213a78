"""The store on both databases. Postgres is found through OCS_TEST_POSTGRES_URL; without it those tests are skipped."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ocs.store import Store, open_store
from tests.databases import POSTGRES, postgres_database

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


async def migrated(url: str) -> str:
    """The address, once there is everything in it that a store has at first."""
    opened = open_store(url)
    try:
        await opened.migrate()
    finally:
        await opened.close()
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file: to copy it is much quicker than to migrate one for each test."""
    file = tmp_path_factory.mktemp("template") / "store.db"
    asyncio.run(migrated(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[str | None]:
    """A migrated database, None where there is no Postgres."""
    if not os.environ.get(POSTGRES):
        yield None
        return
    with asyncio.Runner() as runner:
        database = postgres_database()
        yield runner.run(migrated(runner.run(database.__aenter__())))
        runner.run(database.__aexit__(None, None, None))


@pytest.fixture(params=BOTH)
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The address of an empty database of the test's own."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
        return
    async with postgres_database() as url:
        yield url


@pytest.fixture(params=BOTH)
async def store_url(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path, postgres_template: str | None
) -> AsyncIterator[str]:
    """The address of a migrated database of the test's own."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{shutil.copy(sqlite_template, tmp_path / 'store.db')}"
        return
    async with postgres_database(postgres_template) as url:
        yield url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """A migrated store."""
    opened = open_store(store_url)
    yield opened
    await opened.close()
