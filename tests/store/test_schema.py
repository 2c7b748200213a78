"""The schema: migrations and models agree, newer stores are refused, files are private."""

from __future__ import annotations

import asyncio
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel, select

from ocs.errors import StoreError
from ocs.store import Store, open_store, queries, schema
from ocs.store.tables import Run


def differences(connection: Connection) -> list[Any]:
    return compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)


async def test_migrations_and_models_agree(store: Store) -> None:
    async with store.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


def test_the_program_works_with_the_newest_migration() -> None:
    folder = Path(schema.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == schema.CURRENT


async def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    stores = [open_store(empty_url) for _ in range(4)]
    await asyncio.gather(*(store.migrate() for store in stores))
    for store in stores:
        await store.close()


def upgrade_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def test_a_store_that_is_brought_up_to_date_knows_when_each_job_succeeded_last(empty_url: str) -> None:
    store, run = open_store(empty_url), uuid4().hex
    columns = (
        "(id, job_id, kind, status, attempt, replays, flow_run_id, scheduled_for, started_at, finished_at, summary"
    )
    columns += ", stdout, stdout_bytes, stderr, stderr_bytes)"
    async with store.transaction() as session:
        await (await session.connection()).run_sync(upgrade_to, "0010")
        for day, status in ((1, "ok"), (2, "ok"), (3, "error")):
            moment = f"'2026-11-0{day} 12:00:00'"
            times = f"{moment}, {moment}, {moment}"
            values = f"('{uuid4().hex}', 'a', 'manual', '{status}', 1, 0, '{run}', {times}, '', '', 0, '', 0)"
            await session.execute(text(f"INSERT INTO run {columns} VALUES {values}"))
        for job in ("a", "never"):
            state = f"('{job}', '{run}', 'error', '2026-11-03 12:00:00', 1)"
            names = "(job_id, last_run_id, last_status, last_finished_at, consecutive_errors)"
            await session.execute(text(f"INSERT INTO job_state {names} VALUES {state}"))
    await store.migrate()
    found = {job_id: state.last_ok_at for job_id, state in (await queries.job_states(store)).items()}
    await store.close()
    assert found == {"a": datetime(2026, 11, 2, 12, 0, tzinfo=UTC), "never": None}


async def test_costs_of_before_are_whole_micro_dollars_and_0_was_unknown(empty_url: str) -> None:
    store = open_store(empty_url)
    columns = (
        "(id, job_id, kind, status, attempt, replays, flow_run_id, scheduled_for, started_at, summary, stdout"
        ", stdout_bytes, stderr, stderr_bytes, notes, cut_off, model_failed, cost_usd)"
    )
    moment = "'2026-11-01 12:00:00'"
    async with store.transaction() as session:
        await (await session.connection()).run_sync(upgrade_to, "0017")
        for cost in ("0.1", "0", "NULL"):
            values = (
                f"'{uuid4().hex}', 'a', 'manual', 'ok', 1, 0, '{uuid4().hex}', {moment}, {moment}, '', '', 0, '', 0"
            )
            await session.execute(text(f"INSERT INTO run {columns} VALUES ({values}, '[]', false, false, {cost})"))
    await store.migrate()
    found = sorted(run.cost or 0 for run in await queries.runs(store))
    unknown = [run.cost for run in await queries.runs(store) if not run.cost]
    await store.close()
    assert (found, unknown) == ([0, 0, 100_000], [None, None])


async def test_runs_and_what_hangs_on_them_outlive_the_upgrade_that_knows_budgets(empty_url: str) -> None:
    """SQLite makes the table of runs anew for it."""
    store, run = open_store(empty_url), uuid4()
    columns = (
        "(id, job_id, kind, status, attempt, replays, flow_run_id, scheduled_for, started_at, summary, stdout"
        ", stdout_bytes, stderr, stderr_bytes, notes, cut_off, model_failed)"
    )
    moment = "'2026-11-01 12:00:00'"
    values = f"'{run.hex}', 'a', 'manual', 'ok', 1, 0, '{uuid4().hex}', {moment}, {moment}, '', '', 0, '', 0"
    async with store.transaction() as session:
        await (await session.connection()).run_sync(upgrade_to, "0021")
        await session.execute(text(f"INSERT INTO run {columns} VALUES ({values}, '[]', false, false)"))
        token = f"('{run.hex}', 'hash', '[]', '[]')"
        await session.execute(text(f"INSERT INTO run_token (run_id, token_hash, may, tells) VALUES {token}"))
    await store.migrate()
    async with store.reading() as session:
        kept = (await session.execute(text("SELECT token_hash FROM run_token"))).scalars().all()
    found = [each.id for each in await queries.runs(store)]
    await store.close()
    assert (found, kept) == ([run], ["hash"])


async def test_a_store_of_a_newer_version_is_refused(store: Store) -> None:
    async with store.transaction() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"newer version \(schema 9999\)"):
        await store.migrate()


async def test_the_database_itself_refuses_a_status_that_is_none(store: Store) -> None:
    with pytest.raises(IntegrityError):
        async with store.transaction() as session:
            await session.execute(
                text(
                    "INSERT INTO job_state (job_id, last_run_id, last_status, last_finished_at, consecutive_errors)"
                    " VALUES ('a', '00000000000000000000000000000000', 'splendid', '2026-01-01', 0)"
                )
            )


async def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    store = open_store(f"sqlite+aiosqlite:///{tmp_path / 'sub' / 'store.db'}")
    await store.migrate()
    await store.close()
    assert stat.S_IMODE((tmp_path / "sub" / "store.db").stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    with pytest.raises(StoreError, match="cannot be made"):
        open_store(f"sqlite+aiosqlite:///{blocker / 'store.db'}")


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_text("this is not a database, but long enough to look at" * 50)
    store = open_store(f"sqlite+aiosqlite:///{path}")
    with pytest.raises(StoreError, match="cannot be used"):
        await store.migrate()
    await store.close()


async def test_a_decision_may_come_through_any_door_and_a_status_stays_one(store: Store) -> None:
    row = (
        "INSERT INTO approval (id, job_id, run_id, flow_run_id, kind, spec_digest, what, why, changed, requested_at,"
        " timeout_s, on_timeout, expires_at, asked, status, decided_from, targets) VALUES"
        " ('0000000000000000000000000000000{n}', 'a', '00000000000000000000000000000000',"
        " '00000000000000000000000000000000', 'manual', '', '', '', '[]', '2026-01-01', 1, 'reject', '2026-01-01', 1,"
        " '{status}', 'elsewhere', '[]')"
    )
    async with store.transaction() as session:
        await session.execute(text(row.format(n=1, status="approved")))
    with pytest.raises(IntegrityError):
        async with store.transaction() as session:
            await session.execute(text(row.format(n=2, status="splendid")))


async def test_a_run_that_was_recorded_before_is_kept_and_a_day_left_out_is_a_reason(empty_url: str) -> None:
    """From the schema before notes and that reason; what is no reason is refused after it, too."""
    store = open_store(empty_url)
    one = {"id": uuid4().hex, "flow_run_id": uuid4().hex, "reason": "disabled"}
    row = (
        "INSERT INTO run (id, job_id, kind, status, attempt, replays, flow_run_id, scheduled_for, started_at,"
        " skip_reason, summary, stdout, stdout_bytes, stderr, stderr_bytes{notes}) VALUES (:id, 'a', 'scheduled',"
        " 'skipped', 1, 0, :flow_run_id, '2026-01-01', '2026-01-01', :reason, '', '', 0, '', 0{empty})"
    )
    async with store.engine.begin() as connection:
        await connection.run_sync(_up_to, "0013")
        await connection.execute(text(row.format(notes="", empty="")), one)
    await store.migrate()
    now = row.format(notes=", notes", empty=", '[]'")
    async with store.transaction() as session:
        await session.execute(text(now), {**one, "id": uuid4().hex, "reason": "excluded"})
    with pytest.raises(IntegrityError):
        async with store.transaction() as session:
            await session.execute(text(now), {**one, "id": uuid4().hex, "reason": "splendid"})
    async with store.reading() as session:
        runs = list(await session.scalars(select(Run)))
    await store.close()
    assert sorted(str(run.skip_reason) for run in runs) == ["disabled", "excluded"]
    assert [run.notes for run in runs] == [[], []]


def _up_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
