"""Timeouts: after how long a database that does not answer counts as away. Each call of the store has all of them.

Postgres itself ends what waits for a lock or takes too long, and the connection stays whole; the driver gives up a
server that says nothing at all; and every other wait of a transaction (for a connection, for SQLite's one writer)
ends, too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ocs.timing import timing

MAINTENANCE = 5
MOST = 15
"""A run uses a connection for moments only, and of Postgres's hundred other workers and Prefect want some, too."""


def connections(runs: int | None) -> int:
    """How many connections a process has at most that executes so many runs at the same time, None for no limit."""
    return MOST if runs is None else min(runs + MAINTENANCE, MOST)


def limit_session(connection: Any, _record: object) -> None:
    """Set them on a new connection to Postgres. As statements: a proxy in between takes no unknown parameters."""
    settings = {
        "lock_timeout": timing().store_lock,
        "statement_timeout": timing().store_statement,
        "idle_in_transaction_session_timeout": timing().store_idle,
    }
    text = "; ".join(f"SET {name} = '{time / timedelta(milliseconds=1):.0f}ms'" for name, time in settings.items())

    async def limit(driver: Any) -> None:
        await driver.execute(text)

    connection.run_async(limit)
