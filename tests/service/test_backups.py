"""What backups are made of: one moment of two databases, and the key that the server's blocks are read with."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import make_url

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.service import backups, session
from ocs.service.backups import blocks, databases, shelf
from ocs.service.backups.archive import Key
from ocs.service.backups.databases import Place
from ocs.store import enqueue, open_store
from ocs.store.audit import events
from tests.databases import postgres_database

INSIDE, ANOTHER = (base64.urlsafe_b64encode(bytes([byte]) * 32).decode() for byte in b"ab")
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ANN = Attribution("ann", "cli", NOW)


def silent(_doing: str, _done: int, _total: int) -> None:
    """Hears nothing of how far it is."""


def counter(path: Path) -> Place:
    """A database as ours keep theirs: written ahead."""
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE counted (number INTEGER)")
        made.execute("INSERT INTO counted VALUES (0)")
    return Place(path.stem, make_url(f"sqlite+aiosqlite:///{path}"))


def add_one(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        opened.execute("UPDATE counted SET number = number + 1")


def counted(path: Path) -> int:
    with closing(sqlite3.connect(path)) as opened:
        return opened.execute("SELECT number FROM counted").fetchone()[0]


def test_what_is_written_meanwhile_is_in_neither_copy(tmp_path: Path) -> None:
    places = [counter(tmp_path / "server.db"), counter(tmp_path / "store.db")]
    with databases.snapshots(places) as held:
        for place in places:
            add_one(place.path)  # nobody waits for the backup
            copy = tmp_path / f"{place.name}-copy"
            databases.copy_sqlite(held[place.name], place.name, copy, lambda *_: add_one(places[1].path))
            assert counted(copy) == 0
            assert not Path(f"{copy}-wal").exists()
            assert copy.stat().st_mode & 0o777 == 0o600
    assert counted(places[0].path) == 1


def server_database(path: Path, inside: str | None, encrypted_with: str | None) -> Path:
    """As much of Prefect's database as a backup looks at."""
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE configuration (key TEXT, value JSON)")
        made.execute("CREATE TABLE block_type (id TEXT, slug TEXT)")
        made.execute("CREATE TABLE block_document (id TEXT, block_type_id TEXT, data JSON, updated TEXT)")
        if inside:
            made.execute("INSERT INTO configuration VALUES ('ENCRYPTION_KEY', ?)", [json.dumps({"fernet_key": inside})])
        made.execute("INSERT INTO block_type VALUES ('1', 'secret')")
        if encrypted_with:
            token = Fernet(encrypted_with.encode()).encrypt(b"{}").decode()
            made.execute("INSERT INTO block_document VALUES ('1', '1', ?, '2026')", [json.dumps(token)])
    return path


@pytest.mark.parametrize(
    ("inside", "given", "encrypted_with", "where"),
    [
        (INSIDE, None, INSIDE, "inside"),
        (None, ANOTHER, ANOTHER, "environment"),
        (INSIDE, ANOTHER, ANOTHER, "environment"),
        (INSIDE, ANOTHER, INSIDE, "inside"),
        (INSIDE, None, ANOTHER, "environment"),
        (INSIDE, None, None, "inside"),
        (None, None, None, "inside"),
        (None, "no key at all", ANOTHER, "environment"),
    ],
)
def test_the_key_is_the_one_that_blocks_are_read_with(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inside: str | None,
    given: str | None,
    encrypted_with: str | None,
    where: str,
) -> None:
    if given:
        monkeypatch.setenv(blocks.ENCRYPTION[0], given)
    database = server_database(tmp_path / "prefect.db", inside, encrypted_with)
    assert blocks.key_of(database).where == where
    assert blocks.secrets_in(database) == (1 if encrypted_with else 0)


@pytest.mark.parametrize(
    ("key", "inside", "given", "encrypted_with", "why"),
    [
        (Key(where="inside"), INSIDE, None, INSIDE, None),
        (Key(where="inside"), INSIDE, ANOTHER, INSIDE, "another key, which is in it"),
        (Key(where="environment"), INSIDE, None, ANOTHER, "a key that is not in it"),
        (Key(where="environment"), INSIDE, INSIDE, ANOTHER, "a key that is not in it"),
        (Key(where="environment"), INSIDE, ANOTHER, ANOTHER, None),
        (Key(where="inside"), None, None, None, None),
        (None, None, None, INSIDE, None),
    ],
)
def test_what_the_server_could_not_read_is_not_restored(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: Key | None,
    inside: str | None,
    given: str | None,
    encrypted_with: str | None,
    why: str | None,
) -> None:
    if given:
        monkeypatch.setenv(blocks.ENCRYPTION[0], given)
    database = server_database(tmp_path / "prefect.db", inside, encrypted_with)
    if why is None:
        blocks.check(key, database)
    else:
        with pytest.raises(Refused, match=why):
            blocks.check(key, database)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, and an empty folder that one stands in."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OCS_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
async def on_postgres(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of a store on Postgres, which is set."""
    async with postgres_database() as url:
        monkeypatch.setenv("OCS_STORE_URL", url)
        yield url


async def dispatched(url: str, job: str) -> None:
    store = open_store(url)
    try:
        await store.migrate()
        await enqueue(store, job, by=ANN)
    finally:
        await store.close()


async def jobs_in(url: str) -> set[str | None]:
    store = open_store(url)
    try:
        return {event.job_id for event in await events(store)}
    finally:
        await store.close()


@pytest.mark.postgres
async def test_a_store_in_postgres_comes_back_and_what_was_there_is_kept(here: Path, on_postgres: str) -> None:
    import asyncio

    if shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed")
    await dispatched(on_postgres, "before")
    made = await asyncio.to_thread(backups.create, here / "kept", None, silent)
    assert (made.manifest.store, made.manifest.server) == ("postgres", None)
    await dispatched(on_postgres, "after")
    restoring = {"lost_at": None, "by": Attribution("ann", "cli", session.now()), "on_progress": silent}
    with pytest.raises(Refused, match="would be replaced"):
        await asyncio.to_thread(backups.restore, made.path, replace=False, **restoring)
    assert await jobs_in(on_postgres) == {"before", "after"}
    done = await asyncio.to_thread(backups.restore, made.path, replace=True, **restoring)
    assert done.aside is not None
    assert (done.aside / "store.dump").stat().st_mode & 0o777 == 0o600
    assert await jobs_in(on_postgres) == {"before", None}


@pytest.mark.postgres
async def test_without_pg_dump_nothing_is_made(here: Path, on_postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setenv("PATH", str(here))
    with pytest.raises(Refused, match="pg_dump is not installed"):
        await asyncio.to_thread(backups.create, here / "kept", None, silent)
    assert not list((here / "kept").glob("*")) if (here / "kept").exists() else True


def test_a_real_server_s_blocks_are_found(here: Path, with_database: Callable[[Path], Path]) -> None:
    """Prefect's own database has the tables that are looked at."""
    database = with_database(here / "home") / "prefect" / "prefect.db"
    assert blocks.key_of(database).where == "inside"
    assert blocks.secrets_in(database) == 0


def test_a_new_backup_is_named_as_the_newest_of_its_second(tmp_path: Path) -> None:
    first = shelf.free_name(tmp_path, "my jobs", NOW)
    assert first.name == "my_jobs-20261124T120000Z.backup.zip"
    for number in (1, 2):
        (tmp_path / f"my_jobs-20261124T120000Z-{number}.backup.zip").write_text("the oldest is removed already")
    newest = shelf.free_name(tmp_path, "my jobs", NOW)
    newest.write_text("")
    assert newest.name == "my_jobs-20261124T120000Z-3.backup.zip"
    assert newest not in shelf.clear(tmp_path, "my jobs", keep=2)
