"""The two databases: which they are, how each is copied while others write to it, and how it is put back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from ocs import settings
from ocs.errors import Refused
from ocs.files import open_file
from ocs.service.backups.archive import SERVER, STORE, Database, Progress
from ocs.timing import timing

if TYPE_CHECKING:
    from sqlalchemy import URL

PAGES = 4096
"""Of SQLite's, copied at a time."""
URLS = tuple(f"PREFECT_{part}_DATABASE_CONNECTION_URL" for part in ("SERVER", "API"))
DRIVERS = tuple(f"PREFECT_{part}_DATABASE_DRIVER" for part in ("SERVER", "API"))
BESIDE = ("", "-wal", "-shm", "-journal")
"""What SQLite keeps of one database."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one of the databases is: `name` is that of its member in a backup."""

    name: str
    url: URL

    @property
    def kind(self) -> Database:
        return "sqlite" if self.url.get_backend_name() == "sqlite" else "postgres"

    @property
    def path(self) -> Path:
        """The file, of one in SQLite."""
        return Path(self.url.database or "")

    def files(self) -> list[Path]:
        """What there is of one in SQLite."""
        return [each for suffix in BESIDE if (each := Path(f"{self.path}{suffix}")).exists()]


def store_place() -> Place:
    """Where the store is, or would be.

    Raises:
        Refused: it is in no file.
    """
    return _place(STORE, settings.store_url())


def server_place() -> Place:
    """Where the embedded server's database is, or would be.

    Raises:
        Refused: its address is said in parts, which only Prefect puts together, or it is in no file.
    """
    given = next(filter(None, map(os.environ.get, URLS)), None)
    if given is None and (driver := next((name for name in DRIVERS if os.environ.get(name)), None)):
        raise Refused(f"{driver} is set, and a backup needs the address as one.", hint=f"Set {URLS[0]} instead.")
    return _place(SERVER, given or f"sqlite+aiosqlite:///{settings.home() / 'prefect' / 'prefect.db'}")


def is_embedded() -> bool:
    """Whether the server is that of `ocs up`: another one's database is not ours to copy."""
    from ocs.service import session

    return not os.environ.get("PREFECT_API_URL") or session.embedded_at() is not None


def _place(name: str, url: str) -> Place:
    from sqlalchemy.exc import ArgumentError

    try:
        place = Place(name, make_url(url))
    except ArgumentError as wrong:
        raise Refused(f"The address of the {name} is none: {wrong}") from wrong
    if place.kind == "sqlite" and place.url.database in (None, "", ":memory:"):
        raise Refused(f"The {name} is in memory: there is nothing to keep.")
    return place


@contextmanager
def snapshots(places: Sequence[Place]) -> Generator[dict[str, sqlite3.Connection]]:
    """Hold one moment of all that are in SQLite, as they are read from now on, whoever writes.

    The earlier one in `places` is not newer than the later.
    """
    with ExitStack() as stack:
        held: dict[str, sqlite3.Connection] = {}
        for place in places:
            if place.kind == "sqlite":
                held[place.name] = stack.enter_context(closing(_connected(place.path)))
        for name, connection in held.items():
            with _told(f"The database of the {name}"):
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield held


def copy_sqlite(held: sqlite3.Connection, name: str, target: Path, on_progress: Progress) -> None:
    """Write a snapshot into a new file, and examine it.

    Raises:
        Refused: the disk is full, or the database is damaged.
    """

    def advance(_status: int, remaining: int, total: int) -> None:
        on_progress(f"copying {name}", total - remaining, total)

    open_file(target, "xb").close()
    with _told(f"The database of the {name}"), closing(sqlite3.connect(target, isolation_level=None)) as copy:
        held.backup(copy, pages=PAGES, progress=advance)
    into_one_file(target)
    examine(target, f"The database of the {name}")


def into_one_file(path: Path) -> None:
    """Have nothing of a database stand in files beside it, so that it can be moved."""
    with _told(f"{path}"), closing(sqlite3.connect(path, isolation_level=None)) as opened:
        opened.execute("PRAGMA journal_mode=DELETE")


def examine(path: Path, what: str) -> None:
    """Look whether a database is whole.

    Raises:
        Refused: it is not.
    """
    with _told(what), closing(sqlite3.connect(path)) as opened:
        (said,) = opened.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise Refused(f"{what} is damaged: {said}.", hint="See: ocs doctor")


def dump_postgres(place: Place, target: Path) -> None:
    """Copy a database of Postgres as it is at one moment.

    Raises:
        Refused: `pg_dump` is missing, or fails.
    """
    open_file(target, "xb").close()
    _postgres("pg_dump", place, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")


def load_postgres(place: Place, dump: Path, ours: Sequence[str]) -> None:
    """Put a copy into a database of Postgres; what stands there under the names in `ours`, or in the copy, goes.

    Raises:
        Refused: `pg_restore` or `psql` is missing, or fails.
    """
    if ours:
        tables = ", ".join(f'"{name}"' for name in ours)
        _postgres("psql", place, "--quiet", "--no-psqlrc", f"--command=DROP TABLE IF EXISTS {tables} CASCADE")
    options = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
    _postgres("pg_restore", place, *options, str(dump))


def needs_postgres_tools(*programs: str) -> None:
    """Refuse at once what would fail in the middle.

    Raises:
        Refused: one of them is not installed.
    """
    for program in programs:
        if shutil.which(program) is None:
            said = f"A database is in Postgres, and {program} is not installed here; nothing was done."
            raise Refused(said, hint="Install Postgres's client programs: apt-get install postgresql-client")


def _postgres(program: str, place: Place, *options: str) -> None:
    needs_postgres_tools(program)
    url = place.url
    target = {"--host": url.host, "--port": url.port, "--username": url.username, "--dbname": url.database}
    named = [f"{option}={value}" for option, value in target.items() if value is not None]
    # The password stands in no command line, which other users can read.
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    if (ssl := url.query.get("ssl") or url.query.get("sslmode")) is not None:
        environment["PGSSLMODE"] = str(ssl)
    ended = subprocess.run(
        [program, "--no-password", *named, *options], env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = ended.stderr.strip().splitlines()[:3] or [f"it ended with status {ended.returncode}"]
        where = url.render_as_string()
        raise Refused(f"{program} failed for {where}: {' '.join(said)}", hint="Its version must not be older than it.")


def _connected(path: Path) -> sqlite3.Connection:
    """To a file that is there; none is made by looking."""
    with _told(f"{path}"):
        patience = timing().store_busy.total_seconds()
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=patience, isolation_level=None)


@contextmanager
def _told(what: str) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as failed:
        if getattr(failed, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            said = f"{what} cannot be copied: there is no room for it."
            raise Refused(said, hint="Name another disk: --folder") from failed
        raise Refused(f"{what} cannot be read: {failed}.", hint="See: ocs doctor") from failed
