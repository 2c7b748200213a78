"""OpenClaw's own automations: from what its command line prints, an older file of jobs, or its state database."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from deployments.importing import database
from deployments.importing.automation_job import NotCarriedOver, Where, job_of
from deployments.importing.foreign import Address, Found, Left, Source
from deployments.importing.naming import Names, slug
from deployments.reading import decoded, read_bytes, unreadable
from ocs.errors import NotFound
from ocs.spec.written import on_a_line

PROGRAM = "openclaw"
FILES = (Path("state") / "openclaw.sqlite", Path("cron") / "jobs.json")
"""Where a state folder keeps its automations: now, and before 2026.6."""
VERSION = 1
LIST_THEM = "openclaw automations list --all --json > automations.json"
STORED = "SELECT job_json, state_json, enabled FROM cron_jobs ORDER BY sort_order, job_id LIMIT 10001"
IN_THE_GATEWAY = (
    "commands ran in the gateway's folder with its environment; here a job has the project's folder and a clean "
    "environment (run.shell.cwd, env, secrets, inherit_env)"
)


def place() -> Path:
    """OpenClaw's state folder."""
    named = os.environ.get("OPENCLAW_STATE_DIR")
    return Path(named) if named else Path.home() / ".openclaw"


def read(path: Path, timezone: str) -> Source:
    """All automations of a state folder or a file; `timezone` is that of the gateway's host.

    Raises:
        NotFound: there is nothing of that name, or no automations in the folder.
        InvalidJob: it cannot be read, or is of a form that is not known.
    """
    if path.is_dir():
        path = _in_folder(path)
    jobs = _stored(path) if database.is_database(path) else _listed(path)
    found: list[Found] = []
    left: list[Left] = []
    addresses: dict[str, Address] = {}
    names = Names()
    for job in jobs:
        about = (on_a_line(job.get("id", "")), on_a_line(job.get("displayName") or job.get("name") or ""))
        try:
            one, where = job_of(job, timezone)
        except NotCarriedOver as refused:
            left.append(Left(*about, str(refused)))
            continue
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError, OSError) as wrong:
            left.append(Left(*about, f"is not of the form that is known: {on_a_line(wrong)}"))
            continue
        found.append(_with_target(one, where, addresses, names))
    hints = (IN_THE_GATEWAY,) if any("shell" in job.document["run"] for job in found) else ()
    return Source(PROGRAM, str(path), tuple(found), tuple(left), tuple(addresses.values()), hints)


def _in_folder(folder: Path) -> Path:
    there = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if there is None:
        raise NotFound(f"{folder} holds no automations.", hint=f"Let OpenClaw list them: {LIST_THEM}")
    return there


def _stored(path: Path) -> list[Mapping[str, Any]]:
    with database.opened(path) as opened:
        if not {"job_json", "state_json", "enabled", "sort_order", "job_id"}.issubset(opened.columns("cron_jobs")):
            raise unreadable(str(path), "is a database, but has no automations of OpenClaw in the form that is known")
        rows = opened.rows(STORED)
    return [
        {**_object(row["job_json"], path), "state": _object(row["state_json"], path), "enabled": bool(row["enabled"])}
        for row in rows
    ]


def _object(text: str, path: Path) -> dict[str, Any]:
    value = _json(text, path)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _listed(path: Path) -> list[Mapping[str, Any]]:
    shown = str(path)
    if not path.exists():
        raise NotFound(f"{shown} is not there.", hint=f"Let OpenClaw list them: {LIST_THEM}")
    value = _json(decoded(read_bytes(path, shown), shown), path)
    document = cast("dict[str, Any]", value) if isinstance(value, dict) else {"jobs": value}
    jobs = document.get("jobs")
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in cast("list[Any]", jobs)):
        raise unreadable(shown, "is no list of automations; make one with: " + LIST_THEM)
    if (version := document.get("version", VERSION)) != VERSION:
        raise unreadable(shown, f"is of version {on_a_line(version)}; known is version {VERSION}")
    if document.get("hasMore"):
        said = f"holds only {len(cast('list[Any]', jobs))} of {document.get('total')} automations; ask for all of them"
        raise unreadable(shown, said)
    return cast("list[Mapping[str, Any]]", jobs)


def _json(text: str, path: Path) -> object:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as wrong:
        raise unreadable(str(path), f"is not JSON: {on_a_line(wrong)}") from wrong


def _with_target(found: Found, where: Where | None, addresses: dict[str, Address], names: Names) -> Found:
    """A webhook's address is kept in a target, which the job names."""
    if where is None:
        return found
    if where.url not in addresses:
        name = names.free(slug(found.name, "webhook"))
        addresses[where.url] = Address(name, where.shown, url=where.url)
    deliver = {**found.document["deliver"], "to": addresses[where.url].name}
    return replace(found, document={**found.document, "deliver": deliver})
