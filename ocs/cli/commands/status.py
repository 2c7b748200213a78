"""`ocs status`: where everything stands."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

from ocs import settings
from ocs.cli.ending import AGAIN, sentence, view
from ocs.cli.render.output import answer, say, table, tell
from ocs.rules.dispatch import RunStatus
from ocs.rules.wording import SHORT, count_of, local, utc
from ocs.service import session
from ocs.service.incidents import in_words, incident_views

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

    from ocs.spec import Job

DAY = timedelta(days=1)
FAILED = (RunStatus.ERROR, RunStatus.TIMEOUT, RunStatus.CRASHED)
MOST_LISTED = 10
ONLINE = "online"
MIB = 2**20


app = typer.Typer()


@app.command(epilog="Example:  ocs status --json")
def status() -> None:
    """Show the server, its workers, and what runs, waits, comes next and failed."""
    report = session.run(_report())

    def people() -> None:
        server = report["server"]
        workers = ", ".join(f"{worker['name']} ({_how(worker)})" for worker in report["workers"])
        coming = report["next"]
        ending = [("Ending", sentence(report["ending"]))] if report["ending"] else []
        rows = [
            *ending,
            (
                "Server",
                f"{server['url']}  (Prefect {server['version']}, {server['database'] or 'a database of its own'})",
            ),
            ("Workers", workers or "none; start one: ocs worker"),
            ("Jobs", report["jobs"]),
            ("Running", _at_work(report)),
            ("Waiting", _waiting(report)),
            ("For approval", f"{report['approvals']}; see: ocs approvals list" if report["approvals"] else "nothing"),
            ("Proposed", f"{report['proposals']}; see: ocs proposals list" if report["proposals"] else "nothing"),
            ("Output", _output(report["budgets"])),
            ("Next", f"{coming['job']} at {local(coming['at'])}" if coming else "nothing is due"),
        ]
        table(("", ""), rows)
        if not server["password"]:
            tell(f"{session.OPEN}  Shut it: {session.SHUT}", style="yellow")
        for queue in report["budget_hotspots"]:
            tell(f"The queue of {queue['job']} is full: {queue['waiting']} wait.  See: ocs queue list", style="yellow")
        if report["incidents"]:
            say("\nNot well", style="bold")
            table(("JOB", "WHAT"), [(each["job"], in_words(each)) for each in report["incidents"]])
        if report["failures"]:
            say("\nFailed in the last day", style="bold")
            table(("JOB", "TIMES"), [(failure["job"], failure["times"]) for failure in report["failures"]])
        if report["ending"]:
            tell(f"Nothing new begins.  {AGAIN}", style="yellow")
        elif not any(worker["status"] == ONLINE for worker in report["workers"]):
            tell("No worker is online, so nothing will run.  Start one: ocs worker", style="yellow")

    answer(report, people)


def _how(worker: Mapping[str, Any]) -> str:
    since = worker["draining_since"]
    return f"draining since {local(since)}: takes nothing new" if since else str(worker["status"])


def _at_work(report: Mapping[str, Any]) -> str:
    """How many, and which."""
    named = [f"{run['job']} ({run['id'][:SHORT]}, since {local(run['started_at'])})" for run in report["runs"]]
    return "  ".join([str(report["running"]), ", ".join(named)]).strip()


def _waiting(report: Mapping[str, Any]) -> str:
    counts = {
        "for a pool": report["budgets"]["pool_queued_dispatches"],
        "for an earlier run": report["budgets"]["overlap_queued_dispatches"],
    }
    parts = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    return f"{report['waiting']} ({parts})" if parts else str(report["waiting"])


def _output(budgets: Mapping[str, int]) -> str:
    in_files = budgets["offloaded_shell_runs"]
    beside = f", {count_of(in_files, 'run')} kept in files" if in_files else ""
    return f"{budgets['shell_output_bytes'] / MIB:.1f} MiB{beside}"


async def _report() -> dict[str, Any]:
    from ocs.service.deployed import deployed_of, number_deployed
    from ocs.store import queries
    from ocs.store.approvals import approvals
    from ocs.store.budgets import budgets
    from ocs.store.draining import draining
    from ocs.store.proposals import number_open

    now = session.now()
    async with session.server() as client, session.store() as store:
        failed = await queries.runs(store, status=FAILED, since=now - DAY, limit=1000)
        counted = await budgets(store)
        asked = len(await approvals(store, pending_only=True, limit=1000))
        waiting = sum(counted.waiting.values())
        running = await queries.running(store)
        deployed = await deployed_of(client, {*counted.waiting, *(run.job_id for run in running)})
        return {
            "server": await _server(client),
            "workers": await _workers(client, await draining(store)),
            "jobs": await number_deployed(client),
            "running": len(running),
            "runs": [
                {"id": str(run.id), "job": run.job_id, "started_at": utc(run.started_at)}
                for run in running[:MOST_LISTED]
            ],
            "ending": view(running, _known(deployed)),
            "waiting": waiting,
            "approvals": asked,
            "proposals": await number_open(store),
            "next": await _next(client),
            "incidents": (await incident_views(store))[:MOST_LISTED],
            "failures": [
                {"job": job, "times": times}
                for job, times in Counter(run.job_id for run in failed).most_common(MOST_LISTED)
            ],
            "budgets": {
                "pending_dispatches": waiting,
                "pending_approvals": asked,
                "pool_queued_dispatches": counted.pool_queued_dispatches,
                "overlap_queued_dispatches": counted.overlap_queued_dispatches,
                "shell_output_bytes": counted.shell_output_bytes,
                "offloaded_shell_runs": counted.offloaded_shell_runs,
            },
            "budget_hotspots": _full_queues(deployed, counted.waiting),
        }


def _known(deployed: Mapping[str, DeploymentResponse]) -> dict[str, Job]:
    from tasks.adapter.deployed import job_in

    found = {job_id: job_in(deployment.parameters) for job_id, deployment in deployed.items()}
    return {job_id: job for job_id, job in found.items() if job is not None}


def _full_queues(deployed: Mapping[str, DeploymentResponse], waiting: Mapping[str, int]) -> list[dict[str, Any]]:
    """Jobs that take no further run until one of those that wait has begun."""

    from ocs.spec import Limits
    from tasks.adapter.deployed import job_in

    found: list[dict[str, Any]] = []
    for job, number in sorted(waiting.items()):
        known = job_in(deployed[job].parameters) if job in deployed else None
        most = (known.limits if known else Limits()).max_queued
        if number >= most:
            found.append({"job": job, "waiting": number, "max_queued": most})
    return found[:MOST_LISTED]


async def _server(client: PrefectClient) -> dict[str, Any]:
    from ocs.server import is_open

    return {
        "url": session.ui_url(),
        "api_url": settings.api_url(),
        "version": await client.api_version(),
        "password": not is_open(str(client.api_url)),
        "database": _database(),
    }


def _database() -> str | None:
    """What the embedded server keeps its own data in; None for another server, which does not say."""
    if session.embedded_at() is None:
        return None
    names = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
    address = next((os.environ[name] for name in names if name in os.environ), "sqlite")
    return address.partition(":")[0].partition("+")[0]


async def _workers(client: PrefectClient, drain: dict[str, datetime]) -> list[dict[str, Any]]:
    from prefect.exceptions import ObjectNotFound

    from ocs.store.draining import is_draining

    try:
        workers = await client.read_workers_for_work_pool(settings.WORK_POOL)
    except ObjectNotFound:
        return []
    found: list[dict[str, Any]] = []
    for worker in workers:
        status = str(worker.status.value).lower()
        since = is_draining(worker.name, drain) if status == ONLINE else None
        found.append(
            {
                "name": worker.name,
                "status": "draining" if since else status,
                "draining_since": utc(since),
                "last_heartbeat": utc(worker.last_heartbeat_time),
            }
        )
    return found


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
