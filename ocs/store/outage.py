"""What "the store is away" means: a failure that passes when its database is back, or has room again."""

from __future__ import annotations

from asyncpg import PostgresError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

CONNECTION, OPERATOR_INTERVENTION, RESOURCES = "08", "57", "53"
"""Classes of Postgres's error codes: no connection, shutting down or starting, out of something."""


def is_away(error: BaseException) -> bool:
    """Whether a transaction failed because the database could not be reached or written just now."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    if isinstance(error, PostgresError):  # while a connection is being made, SQLAlchemy wraps nothing
        code = str(getattr(error, "sqlstate", "") or "")
        return code[:2] in (CONNECTION, OPERATOR_INTERVENTION, RESOURCES)
    return isinstance(error, OSError)
