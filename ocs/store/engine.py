"""The store: one database, opened once per event loop; a transaction locks what it will change."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from asyncpg import PostgresError
from sqlalchemy import URL, Connection, NullPool, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from ocs import settings
from ocs.errors import StoreAway, StoreError
from ocs.files import make_folder
from ocs.store import schema, timeouts
from ocs.store.transient import is_away
from ocs.timing import timing

ATTEMPTS, BETWEEN_ATTEMPTS = 20, 0.05
WRITES = "ocs_writes"


class Store:
    """The scheduler's own records. Made by `open_store`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.on_sqlite = engine.dialect.name == "sqlite"
        # SQLite has one writer; queueing for it here is fairer and quicker than its own busy waiting.
        self._writer = asyncio.Lock()

    async def migrate(self) -> None:
        """Bring the schema up to date; several processes may do so at once.

        Raises:
            StoreError: the database cannot be used, or belongs to a newer version.
        """
        try:
            await self._migrate()
        except (DBAPIError, PostgresError) as failed:
            raise StoreError(f"The store cannot be used: {_cause(failed)}", hint=self._where) from failed

    async def _migrate(self) -> None:
        async with self.reading() as session:
            found = await (await session.connection()).run_sync(schema.revision)
        if found != schema.CURRENT:
            patient = self if self.on_sqlite else Store(_without_limits(self.engine.url))
            async with patient.transaction(lock=("schema",), within=timing().store_upgrade) as session:
                await (await session.connection()).run_sync(schema.upgrade)

    async def close(self) -> None:
        await self.engine.dispose()

    @contextlib.asynccontextmanager
    async def transaction(
        self, *, lock: Sequence[str] = (), within: timedelta | None = None
    ) -> AsyncGenerator[AsyncSession]:
        """A transaction that writes, alone on everything named in `lock` until it ends, which it does `within` a time.

        Raises:
            StoreAway: the database refused, stalled or went away. Whether it was committed may not be known.
        """
        async with self._or_away(within or timing().store_transaction), contextlib.AsyncExitStack() as stack:
            if self.on_sqlite:
                await stack.enter_async_context(self._writer)
            connection = await stack.enter_async_context(self.engine.connect())
            await connection.execution_options(**{WRITES: True})
            await stack.enter_async_context(connection.begin())
            session = await stack.enter_async_context(AsyncSession(connection, expire_on_commit=False))
            if not self.on_sqlite:
                await _advisory_locks(session, lock)
            yield session
            await session.flush()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncSession]:
        """A transaction that only reads.

        Raises:
            StoreAway: the database refused, stalled or went away.
        """
        within = timing().store_transaction
        async with self._or_away(within), AsyncSession(self.engine, expire_on_commit=False) as session:
            yield session

    @contextlib.asynccontextmanager
    async def _or_away(self, within: timedelta) -> AsyncGenerator[None]:
        """Every call ends in that time; each driver's transient errors have one name from here on."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                yield
        except Exception as failed:
            if not is_away(failed):
                raise
            raise StoreAway(f"The store cannot be used: {_cause(failed)}", hint=self._where) from failed

    @property
    def _where(self) -> str:
        return f"It is {self.engine.url.render_as_string()}; set OCS_STORE_URL or OCS_HOME to change it."


def open_store(url: str | None = None, *, runs: int | None = None) -> Store:
    """Open the store at `url`, by default where `settings.store_url` says. No more is done yet than making its file.

    `runs` is how many runs the process executes at the same time, None when it sets itself no limit.

    Raises:
        StoreError: the folder of its file cannot be made.
    """
    address = make_url(url or settings.store_url())
    times = timing()
    free = times.store_free.total_seconds()
    pool = {"pool_size": timeouts.connections(runs), "max_overflow": 0, "pool_timeout": free}
    if address.get_backend_name() != "sqlite":
        limits = {
            "timeout": times.store_connect.total_seconds(),
            "command_timeout": times.store_command.total_seconds(),
        }
        engine = create_async_engine(address, pool_pre_ping=True, connect_args=limits, **pool)
        event.listen(engine.sync_engine, "connect", timeouts.limit_session)
        return Store(engine)
    if address.database:
        _private_file(Path(address.database))
        _write_ahead(Path(address.database))
    engine = create_async_engine(address, connect_args={"timeout": times.store_busy.total_seconds()}, **pool)
    event.listen(engine.sync_engine, "connect", _configure_sqlite)
    event.listen(engine.sync_engine, "begin", _begin)
    return Store(engine)


def _without_limits(address: URL) -> AsyncEngine:
    """For what may take long, on Postgres; its connections are not kept."""
    limits = {"timeout": timing().store_connect.total_seconds()}
    return create_async_engine(address, poolclass=NullPool, connect_args=limits)


def _private_file(path: Path) -> None:
    """Make the file, readable by its owner only, before SQLite would make it readable by all."""
    try:
        make_folder(path.parent)
        path.touch(mode=0o600, exist_ok=True)
    except OSError as failed:
        raise StoreError(
            f"The store's file {path} cannot be made: {failed.strerror}.",
            hint="Set OCS_HOME to a folder you can write to.",
        ) from failed


def _write_ahead(path: Path) -> None:
    """Have a new file keep a write-ahead log, for good: SQLite refuses at once to change that while somebody writes."""
    for _ in range(ATTEMPTS):
        if path.stat().st_size:
            return
        # What else is wrong with the file is told when it is used.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        time.sleep(BETWEEN_ATTEMPTS)


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, see _begin
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """A writer takes its lock at once: one that read first could not get it later (SQLITE_BUSY_SNAPSHOT)."""
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


async def _advisory_locks(session: AsyncSession, names: Sequence[str]) -> None:
    """In one order everywhere, so that two transactions never wait for each other."""
    for name in sorted(names):
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"ocs:{name}"})


def _cause(failed: Exception) -> str:
    return str(getattr(failed, "orig", None) or failed) or "it does not answer."
