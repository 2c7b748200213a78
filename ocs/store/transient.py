"""What "the store is away" means: a failure that passes when its database is back, answers, or has room again.

A database that stalls is away as one that refuses: a lock that is not given, a statement that takes too long, a
connection that hangs, a pool from which none comes free.
"""

from __future__ import annotations

import sqlite3

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionIsFree

PASSING_CLASSES = ("08", "40", "53", "57", "58")
"""Classes of Postgres's error codes: no connection, rolled back for another's sake, out of something, ended or
cancelled by an operator or a timeout (starting and shutting down too), trouble with its disk."""
PASSING_CODES = ("55P03", "25P03", "25P04", "25006")
"""No lock within `lock_timeout`, a transaction that idled or lasted too long, and a standby that only reads, as
between two servers of which one takes over."""
PASSING_ON_SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
PRIMARY = 0xFF
"""The rest of a code of SQLite's only says which of its kind it is."""


def is_away(error: BaseException | None) -> bool:
    """Whether what a driver raises says that the database could not be reached, read or written just now.

    The store's transactions ask it where they end; from there on it is a `StoreAway`.
    """
    match error:
        case DBAPIError():
            return error.connection_invalidated or is_away(_of_the_driver(error))
        case sqlite3.Error():
            code = getattr(error, "sqlite_errorcode", None)
            return isinstance(error, sqlite3.OperationalError) if code is None else code & PRIMARY in PASSING_ON_SQLITE
        case asyncpg.PostgresError():  # while a connection is being made, SQLAlchemy wraps nothing
            code = str(getattr(error, "sqlstate", None) or "")
            return code[:2] in PASSING_CLASSES or code in PASSING_CODES
        case asyncpg.InterfaceError():  # the connection is closed; a value of a wrong type is a ValueError, too
            return not isinstance(error, ValueError)
        case _:
            return isinstance(error, OSError | NoConnectionIsFree)


def _of_the_driver(error: DBAPIError) -> BaseException | None:
    """What the driver itself has raised: SQLAlchemy puts a shell of its own around asyncpg's."""
    shell = error.orig
    return shell.__cause__ or shell if shell is not None else None
