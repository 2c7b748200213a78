"""Timeouts: after how long a database that does not answer counts as away. Each call of the store has all of them.

The server ends what waits for a lock or takes too long by itself, and the connection stays whole; the driver gives
up a server that says nothing at all; and whatever else a transaction waits for (a connection, its turn to write) has
an end, too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

CONNECT_SECONDS = 10
LOCK_SECONDS = 15
STATEMENT_SECONDS = 30
COMMAND_SECONDS = 35
"""Asked of the driver: a little more than the server takes to end a statement by itself."""
IDLE_SECONDS = 60
"""A transaction of a process that is gone without a word holds its locks no longer."""
BUSY_SECONDS = 30
"""SQLite's own waiting for whoever writes."""
TRANSACTION = timedelta(seconds=60)
UPGRADE = timedelta(minutes=10)
"""Bringing the schema up to date may take as long as it takes, within reason; others wait for it."""

UPKEEP = 5
MOST = 15
"""A run uses a connection for moments only, and of Postgres's hundred other workers and Prefect want some, too."""
FREE_SECONDS = 30
"""The longest wait for one of them to come free."""


def connections(runs: int | None) -> int:
    """How many connections a process has at most that executes so many runs at the same time, None for no limit."""
    return MOST if runs is None else min(runs + UPKEEP, MOST)


def limit_session(connection: Any, _record: object) -> None:
    """Have Postgres hold a new connection to them. As statements: a proxy in between takes no unknown parameters."""
    settings = {
        "lock_timeout": LOCK_SECONDS,
        "statement_timeout": STATEMENT_SECONDS,
        "idle_in_transaction_session_timeout": IDLE_SECONDS,
    }
    text = "; ".join(f"SET {name} = '{seconds}s'" for name, seconds in settings.items())

    async def limit(driver: Any) -> None:
        await driver.execute(text)

    connection.run_async(limit)
