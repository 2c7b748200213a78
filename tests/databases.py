"""Databases of a test's own. Postgres is found through OCS_TEST_POSTGRES_URL; without it those tests are skipped."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POSTGRES = "OCS_TEST_POSTGRES_URL"


@asynccontextmanager
async def postgres_database(template: str | None = None) -> AsyncIterator[str]:
    """The address of a database on Postgres, empty or a copy of another one; dropped in the end."""
    server = os.environ.get(POSTGRES)
    if not server:
        pytest.skip(f"{POSTGRES} is not set, so nothing was tried on Postgres")
    name = f"ocs_test_{uuid4().hex}"
    admin = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        like = f" TEMPLATE {make_url(template).database}" if template else ""
        await connection.execute(text(f"CREATE DATABASE {name}{like}"))
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        await _drop(admin, name)


async def _drop(admin: AsyncEngine, name: str) -> None:
    async with admin.connect() as connection:
        await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    await admin.dispose()
