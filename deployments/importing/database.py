"""Other programs' SQLite files, read as they stand: never written to, nothing left beside them, not waited for long."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from deployments.reading import first_bytes, unreadable
from ocs.errors import InvalidJob, NotFound
from ocs.spec import format_size

MAGIC = b"SQLite format 3\0"
HEADER = 100
WRITE_AHEAD = 2
"""What the header's bytes 18 and 19 say of a file that is written with a log beside it."""
LONGEST_VALUE = 2**20
MOST_ROWS = 10_000
LARGEST_RESULT = 64 * 2**20
"""What all rows of a query may hold together: each value alone may be as large as a job's."""
LARGEST_COPY = 2 * 2**30
PATIENCE = 5.0
LONGEST_QUERY = 30.0
STEPS = 10_000
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
PRIMARY = 0xFF


class Database:
    """An open file: its tables, their columns, their rows."""

    def __init__(self, connection: sqlite3.Connection, shown: str) -> None:
        self._connection = connection
        self._shown = shown

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns; none when there is no such table."""
        return [str(row["name"]) for row in self._query("SELECT name FROM pragma_table_info(?)", (table,))]

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Mapping[str, Any]]:
        """All rows of a query.

        Raises:
            InvalidJob: there are too many, one holds too much, or the file is damaged.
        """
        found = self._query(query, parameters)
        if len(found) > MOST_ROWS:
            raise unreadable(self._shown, f"holds more than {MOST_ROWS:,} rows where jobs stand")
        return found

    def _query(self, query: str, parameters: Sequence[Any]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        size = 0
        for row in self._connection.execute(query, parameters):
            size += sum(len(value) for value in row if isinstance(value, str | bytes))
            if size > LARGEST_RESULT:
                raise unreadable(self._shown, f"holds more than {format_size(LARGEST_RESULT)} where jobs stand")
            found.append(dict(row))
            if len(found) > MOST_ROWS:
                break
        return found


@contextmanager
def opened(path: Path) -> Generator[Database]:
    """Open a file for reading.

    Raises:
        NotFound: there is no such file.
        InvalidJob: it is no SQLite database, empty, locked, damaged or too large.
    """
    shown = str(path)
    header = _header(path, shown)
    try:
        with _readable(path, header) as uri, closing(_connect(uri)) as connection:
            yield Database(connection, shown)
    except sqlite3.Error as failed:
        raise unreadable(shown, _why(failed)) from failed
    except OSError as failed:
        raise unreadable(shown, f"cannot be read: {failed.strerror}") from failed


def is_database(path: Path) -> bool:
    """Whether a file says of itself that it is an SQLite database."""
    try:
        return first_bytes(path, str(path), len(MAGIC)) == MAGIC
    except InvalidJob:
        return False


def _header(path: Path, shown: str) -> bytes:
    if not path.exists():
        raise NotFound(f"{shown} is not there.", hint="Name the file, or set SCHEDULER_DB.")
    header = first_bytes(path, shown, HEADER)
    if not header:
        raise unreadable(shown, "is empty")
    if len(header) < HEADER or not header.startswith(MAGIC):
        raise unreadable(shown, "is no SQLite database")
    return header


@contextmanager
def _readable(path: Path, header: bytes) -> Generator[str]:
    """An address under which SQLite reads the file and makes none beside it.

    A log without its index was left by a program that has ended: SQLite would make the index, so that it gets a copy
    of both. Without a log there is nothing to come.
    """
    log, index = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    for beside in (log, index, path.with_name(path.name + "-journal")):
        if beside.exists() and not beside.is_file():
            raise unreadable(str(path), f"cannot be read: {beside.name} beside it is no regular file")
    address = path.resolve().as_uri()
    if WRITE_AHEAD not in header[18:20] or index.exists():
        yield f"{address}?mode=ro"
    elif not log.exists() or not log.stat().st_size:
        yield f"{address}?mode=ro&immutable=1"
    else:
        with tempfile.TemporaryDirectory(prefix="ocs-import-") as folder:
            size = path.stat().st_size + log.stat().st_size
            if size > LARGEST_COPY:
                raise unreadable(str(path), f"is larger than {format_size(LARGEST_COPY)} together with its log")
            copy = Path(folder) / "copy.db"
            shutil.copyfile(path, copy)
            shutil.copyfile(log, copy.with_name("copy.db-wal"))
            yield copy.as_uri()


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=PATIENCE)
    connection.row_factory = sqlite3.Row
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    ends = time.monotonic() + LONGEST_QUERY
    connection.set_progress_handler(lambda: int(time.monotonic() > ends), STEPS)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _why(failed: sqlite3.Error) -> str:
    code = getattr(failed, "sqlite_errorcode", 0) & PRIMARY
    if code in BUSY:
        return "is locked by another program; try again, or stop that program first"
    if code == sqlite3.SQLITE_TOOBIG or isinstance(failed, sqlite3.DataError):
        return f"holds a value larger than {format_size(LONGEST_VALUE)}, which no job is"
    if code == sqlite3.SQLITE_INTERRUPT:
        return f"takes longer than {LONGEST_QUERY:.0f} s to read"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"is damaged: {failed}"
    return f"cannot be read: {failed}"
