"""openclaw-scheduler's database: its jobs, whom they tell, and where each of them stands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from deployments.importing import database
from deployments.importing.database import Database
from deployments.importing.foreign import Address, Found, Left, Loss, Source, Standing
from deployments.importing.naming import Names, slug
from deployments.importing.scheduler_history import had_by, ledger, queue
from deployments.importing.scheduler_job import KNOWN, NotCarriedOver, job_of, moment_of
from deployments.reading import unreadable
from ocs.spec.written import on_a_line

PROGRAM = "openclaw-scheduler"
SCHEMA = 23
NEEDED = frozenset({"id", "name", "enabled", "session_target", "payload_kind", "payload_message", "schedule_tz"})
BOOKKEEPING = frozenset(
    {"created_at", "updated_at", "queued_count", "next_run_at", "last_run_at", "last_status", "consecutive_errors"}
)
JOBS = "SELECT * FROM jobs ORDER BY {order}id LIMIT 10001"
AT_WORK = """
SELECT job_id, started_at, run_timeout_ms FROM runs WHERE status IN ('pending', 'running') LIMIT 10001
"""
ENDS_LATE = timedelta(minutes=2)
"""A run that should have ended longer ago than this has nobody who executes it."""
EVERYWHERE = (
    "in openclaw-scheduler they ran in its own folder with its whole environment, secrets included; here a job has the "
    "project's folder and a clean environment (run.shell.cwd, env, secrets, inherit_env)"
)


AFRESH = (
    "all runs of an agent's job shared one conversation; here each begins one of its own (run.agent.session: job keeps "
    "one for the job)"
)


def place() -> Path:
    """Where its database usually is."""
    named = os.environ.get("SCHEDULER_DB")
    home = os.environ.get("SCHEDULER_HOME") or Path.home() / ".openclaw" / "scheduler"
    return Path(named) if named else Path(home) / "scheduler.db"


def read(path: Path, now: datetime) -> Source:
    """All jobs of a database.

    Raises:
        NotFound: there is no such file.
        InvalidJob: it is no database of openclaw-scheduler, or cannot be read.
    """
    with database.opened(path) as opened:
        columns = opened.columns("jobs")
        if not NEEDED.issubset(columns):
            raise unreadable(str(path), "is a database, but not one of openclaw-scheduler: it has no table of its jobs")
        order = "created_at, " if "created_at" in columns else ""
        rows = opened.rows(JOBS.format(order=order))
        addresses = _addresses(opened)
        busy = _busy(opened, now)
        had = ledger(opened, now)
        waiting = list(queue(opened, now))
        hints = _hints(opened, columns)
    jobs: list[Found] = []
    left: list[Left] = []
    names = {alias: address.name for alias, address in addresses.items()}
    for row in rows:
        about = (on_a_line(row["id"]), on_a_line(row["name"]))
        try:
            found = job_of(row, names)
        except NotCarriedOver as refused:
            left.append(Left(*about, str(refused)))
            continue
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as wrong:  # columns take any value
            left.append(Left(*about, f"is not of the form that is known: {on_a_line(wrong)}"))
            continue
        losses = (*found.losses, *_unknown(row, columns))
        jobs.append(replace(found, losses=losses, standing=_standing(row, busy)))
    runs = [job.document["run"] for job in jobs]
    told = [
        *([EVERYWHERE] if any("shell" in run for run in runs) else []),
        *([AFRESH] if any("agent" in run and "session" not in run["agent"] for run in runs) else []),
    ]
    return Source(
        PROGRAM,
        str(path),
        tuple(jobs),
        tuple(left),
        tuple(addresses.values()),
        (*hints, *told),
        tuple(had_by(jobs, had)),
        tuple(waiting),
    )


def _addresses(opened: Database) -> dict[str, Address]:
    """Delivery aliases, each with the target it becomes."""
    if not {"alias", "channel", "target"}.issubset(opened.columns("delivery_aliases")):
        return {}
    found: dict[str, Address] = {}
    names = Names()
    for row in opened.rows("SELECT alias, channel, target FROM delivery_aliases ORDER BY alias LIMIT 10001"):
        alias, channel, recipient = (str(row[key] or "").strip() for key in ("alias", "channel", "target"))
        if channel and recipient:
            found[alias] = Address(names.free(slug(alias, "target")), f"{channel}:{recipient}", channel, recipient)
    return found


def _busy(opened: Database, now: datetime) -> dict[str, str]:
    """Which jobs it executes: a run whose time is long over was left by a crash."""
    if not {"job_id", "status", "started_at", "run_timeout_ms"}.issubset(opened.columns("runs")):
        return {}
    found: dict[str, str] = {}
    for row in opened.rows(AT_WORK):
        started = moment_of(row["started_at"])
        if started is None or _is_long_over(started, row["run_timeout_ms"], now):
            continue
        found[str(row["job_id"])] = f"it runs since {started:%H:%M:%S} UTC"
    return found


def _is_long_over(started: datetime, milliseconds: Any, now: datetime) -> bool:
    try:
        return started + timedelta(milliseconds=milliseconds or 0) + ENDS_LATE < now
    except (TypeError, OverflowError):  # it has no end that is known
        return False


def _standing(row: Mapping[str, Any], busy: Mapping[str, str]) -> Standing:
    """What is due is the time noted for the next run: it is moved on when the run has been."""
    is_once = row.get("schedule_kind") == "at"
    due = None if row.get("parent_id") else moment_of(row.get("schedule_at") if is_once else row.get("next_run_at"))
    return Standing(due, busy=busy.get(str(row["id"])))


def _hints(opened: Database, columns: Sequence[str]) -> list[str]:
    versions = opened.columns("schema_migrations")
    rows = opened.rows("SELECT max(version) AS newest FROM schema_migrations") if "version" in versions else []
    version = rows[0]["newest"] if rows else None
    if isinstance(version, int) and version > SCHEMA:
        return [f"its schema is version {version}, newer than {SCHEMA}, which is known: what is new in it is named"]
    if version != SCHEMA or not KNOWN.issubset(columns):
        said = f"version {version}" if version else "of no version"
        return [f"its schema is {said}, older than {SCHEMA}: what it does not know yet has its default"]
    return []


def _unknown(row: Mapping[str, Any], columns: Sequence[str]) -> list[Loss]:
    """Columns of a newer schema in which something stands."""
    beyond = [name for name in columns if name not in KNOWN and name not in BOOKKEEPING]
    return [Loss(name, "is not known here") for name in beyond if row[name] not in (None, 0, "")]
