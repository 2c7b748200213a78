"""`ocs status`: where everything stands."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer

from ocs import settings
from ocs.cli import session
from ocs.cli.output import answer, local, say, table, tell, utc
from ocs.rules.dispatch import RunStatus

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

DAY = timedelta(days=1)
FAILED = (RunStatus.ERROR, RunStatus.TIMEOUT, RunStatus.CRASHED)
MOST_FAILURES = 10


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example:  ocs status --json")(status)


def status() -> None:
    """Show the server, its workers, and what runs, waits, comes next and failed."""
    report = session.run(_report())

    def people() -> None:
        server = report["server"]
        workers = ", ".join(f"{worker['name']} ({worker['status']})" for worker in report["workers"])
        coming = report["next"]
        rows = [
            (
                "Server",
                f"{server['url']}  (Prefect {server['version']}, {server['database'] or 'a database of its own'})",
            ),
            ("Workers", workers or "none; start one: ocs worker"),
            ("Jobs", report["jobs"]),
            ("Running", report["running"]),
            ("Waiting", report["waiting"]),
            ("For approval", f"{report['approvals']}; see: ocs approvals list" if report["approvals"] else "nothing"),
            ("Next", f"{coming['job']} at {local(coming['at'])}" if coming else "nothing is due"),
        ]
        table(("", ""), rows)
        if report["failures"]:
            say("\nFailed in the last day", style="bold")
            table(("JOB", "TIMES"), [(failure["job"], failure["times"]) for failure in report["failures"]])
        if not any(worker["status"] == "online" for worker in report["workers"]):
            tell("No worker is online, so nothing will run.  Start one: ocs worker", style="yellow")

    answer(report, people)


async def _report() -> dict[str, Any]:
    from ocs.store import queries
    from ocs.store.approvals import approvals

    now = session.now()
    async with session.server() as client, session.store() as store:
        failed = await queries.runs(store, status=FAILED, since=now - DAY, limit=1000)
        return {
            "server": await _server(client),
            "workers": await _workers(client),
            "jobs": await _count_jobs(client),
            "running": len(await queries.running(store)),
            "waiting": len(await queries.waiting(store)),
            "approvals": len(await approvals(store, pending_only=True, limit=1000)),
            "next": await _next(client),
            "failures": [
                {"job": job, "times": times}
                for job, times in Counter(run.job_id for run in failed).most_common(MOST_FAILURES)
            ],
        }


async def _server(client: PrefectClient) -> dict[str, Any]:
    return {
        "url": session.ui_url(),
        "api_url": settings.api_url(),
        "version": await client.api_version(),
        "database": _database(),
    }


def _database() -> str | None:
    """What the embedded server keeps its own data in; None for another server, which does not say."""
    if settings.api_url() != (settings.embedded_state() or {}).get("api_url"):
        return None
    names = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
    address = next((os.environ[name] for name in names if name in os.environ), "sqlite")
    return address.partition(":")[0].partition("+")[0]


async def _workers(client: PrefectClient) -> list[dict[str, Any]]:
    from prefect.exceptions import ObjectNotFound

    try:
        workers = await client.read_workers_for_work_pool(settings.WORK_POOL)
    except ObjectNotFound:
        return []
    return [
        {
            "name": worker.name,
            "status": str(worker.status.value).lower(),
            "last_heartbeat": utc(worker.last_heartbeat_time),
        }
        for worker in workers
    ]


async def _count_jobs(client: PrefectClient) -> int:
    from ocs.cli.deployed import all_deployed

    return len(await all_deployed(client))


async def _next(client: PrefectClient) -> dict[str, Any] | None:
    """What Prefect has scheduled next."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    scheduled = FlowRunFilter(
        tags=FlowRunFilterTags(all_=["ocs"]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
    )
    found = await client.read_flow_runs(flow_run_filter=scheduled, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=1)
    if not found:
        return None
    job = next((tag.removeprefix("job:") for tag in found[0].tags if tag.startswith("job:")), found[0].name)
    return {"job": job, "at": utc(found[0].expected_start_time)}
