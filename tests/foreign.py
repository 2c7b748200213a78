"""Other schedulers' jobs as those programs write them: a database of openclaw-scheduler, a list of automations."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_name("foreign_scheduler.sql")
ROOM = {"delivery_mode": "announce", "delivery_channel": "telegram", "delivery_to": "123"}
NOBODY = {"delivery_mode": "none"}


def shell(job_id: str, name: str, **more: Any) -> dict[str, Any]:
    """A row of a shell job that runs by itself and tells nobody."""
    usual = {"session_target": "shell", "payload_kind": "shellCommand", "payload_message": "df -h /", **NOBODY}
    return {"id": job_id, "name": name, "schedule_cron": "*/15 * * * *", "origin": "system", **_LIMITS, **usual, **more}


def turn(job_id: str, name: str, **more: Any) -> dict[str, Any]:
    """A row of an agent's job."""
    usual = {"session_target": "isolated", "payload_kind": "agentTurn", "payload_message": "Summarize.", **ROOM}
    return {"id": job_id, "name": name, "schedule_cron": "0 9 * * *", "origin": "system", **_LIMITS, **usual, **more}


def child(row: Mapping[str, Any], parent: str, on: str = "success", **more: Any) -> dict[str, Any]:
    """The same after another job: with the expression that stands for never, and without an origin."""
    return {**row, "schedule_cron": "0 0 31 2 *", "origin": None, "parent_id": parent, "trigger_on": on, **more}


_LIMITS = {"output_excerpt_limit_bytes": 2000, "output_summary_limit_bytes": 5000}


def scheduler_database(
    path: Path,
    jobs: Iterable[Mapping[str, Any]] = (),
    *,
    aliases: Mapping[str, tuple[str, str]] | None = None,
    version: int = 23,
    wal: bool = False,
    more: Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
) -> Path:
    """Write a database; `more` are rows of further tables."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(SCHEMA.read_text())
        if wal:
            database.execute("PRAGMA journal_mode = WAL")
        tables = {
            "schema_migrations": [{"version": number} for number in range(1, version + 1)],
            "jobs": jobs,
            "delivery_aliases": [
                {"alias": alias, "channel": channel, "target": target}
                for alias, (channel, target) in (aliases or {}).items()
            ],
            **(more or {}),
        }
        for table, rows in tables.items():
            for row in rows:
                names = ", ".join(row)
                marks = ", ".join("?" for _ in row)
                database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
    return path


def ledger_key(job_id: str, due: str) -> str:
    """The key that openclaw-scheduler notes for an occurrence."""
    return hashlib.sha256(f"{job_id}:{due}".encode()).hexdigest()[:32]


def automation(job_id: str, name: str, schedule: Mapping[str, Any], payload: Mapping[str, Any], **more: Any) -> Any:
    """An automation as `openclaw automations list --json` shows it."""
    usual = {"enabled": True, "createdAtMs": 1795492121241, "sessionTarget": "isolated", "wakeMode": "now", "state": {}}
    return {"id": job_id, "name": name, **usual, "schedule": dict(schedule), "payload": dict(payload), **more}


def automations_file(path: Path, jobs: Iterable[Any], **more: Any) -> Path:
    """Write a list of automations."""
    listed = list(jobs)
    path.write_text(json.dumps({"jobs": listed, "total": len(listed), "hasMore": False, **more}))
    return path
