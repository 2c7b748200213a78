"""Handing tasks to agents: started all or none, followed, withdrawn or ended, reported done."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.rules.costs import Total, dollars, total_of_runs
from ocs.rules.tasks import TEMPLATE, TaskStatus, Wish, checked_report
from ocs.service import session
from ocs.service.commits import is_commit
from ocs.service.deployed import deployed_job
from ocs.service.listener import Listener
from tasks.starting import NO_RECEIVER, Place

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from prefect.client.orchestration import PrefectClient

    from ocs.rules.spawn import Asker
    from ocs.spec import Job
    from ocs.store import Store
    from ocs.store.membership import NewTracker
    from ocs.store.tables import Run
    from ocs.store.tasks import Begun, Told

__all__ = ["NO_RECEIVER", "Place", "cancel", "follow_task", "is_silent", "report_done", "start", "task_view"]


async def start(
    client: PrefectClient,
    store: Store,
    wishes: Sequence[tuple[Wish, Place]],
    *,
    tracker: NewTracker | None = None,
    asker: Asker | None = None,
    by: Attribution,
) -> list[tuple[Begun, UUID | None]]:
    """Start tasks, all or none, and send them; returns each with its flow run (None: it is sent later).

    `tracker` is made for those that name it, unless one of its name is open. `asker` is the run that wants them, where
    it is one.

    Raises:
        SpawnRefused: the run that asks may not start them; the audit trail has it.
        NotFound: a template is not rolled out, a task that is to be gone on with is unknown, or a tracker is.
        InvalidJob: what is asked for cannot be run; everything that is wrong is told, with its place.
        Refused: a label is that of a task that has not ended, or too many wait.
    """
    from tasks.starting import start as start_tasks

    find = partial(_template, client)
    return await start_tasks(client, store, wishes, find, tracker=tracker, asker=asker, by=by)


async def _template(client: PrefectClient, given: str) -> Job:
    from deployments.built_in import ensure_template
    from ocs.spec import Agent

    if given == TEMPLATE:
        await ensure_template(client)
    job = await deployed_job(client, given)
    if not isinstance(job.run.work, Agent):
        raise Refused(f'"{job.id}" is a {job.run.strategy} job; --as needs a job with run.agent.')
    return job


async def follow_task(client: PrefectClient, store: Store, label: str, listener: Listener) -> Run:
    """Wait for the end of a task's last attempt.

    Raises:
        NotFound: there is no such task.
        Refused: it ended before it began.
        ServerUnreachable: the server has been away for a minute; the task goes on.
    """
    from ocs.service.following import follow
    from ocs.store import tasks

    told = await tasks.by_label(store, label)
    if not told.status.is_open and told.last is not None:
        return told.last
    ended = await follow(client, store, told.task.id, told.task.template, listener)
    if ended is None:
        raise Refused(f"{label} was ended before it began.", hint=f"See: ocs dispatch show {label}")
    return (await tasks.by_label(store, label)).last or ended


async def cancel(store: Store, label: str, *, by: Attribution) -> Told:
    """End a task: what runs of it is ended with all it started, what waits is withdrawn. Returns how it stands then.

    Raises:
        NotFound: there is no such task.
        Refused: it has ended, or did not end in time.
        ServerUnreachable: there is no server to tell it.
    """
    from ocs.service.stopping import stop_run, tell_to_end
    from ocs.store import queries, tasks, withdraw_one

    told = await tasks.by_label(store, label)
    if not told.status.is_open:
        raise tasks.has_ended(told)
    last = told.last
    async with session.server() as client:
        if last is not None and not last.status.final:
            await stop_run(client, store, last, by)
        else:
            coming = [row for row in await queries.queue(store, job=told.task.template) if _is_of(row, told)]
            for row in coming:
                if flow_run := await withdraw_one(store, row.id, by=by):
                    await tell_to_end(client, flow_run, by)
    return await tasks.by_label(store, label)


def _is_of(row: Any, told: Told) -> bool:
    return row.id == told.task.id or (told.last is not None and row.retry_of == told.last.id)


async def report_done(
    store: Store, label: str, *, summary: str, checklist: str, sha: str | None, folder: Path, by: Attribution
) -> Told:
    """Record that the agent holds a task for done. Its run ends when its turn does, not by this.

    Raises:
        NotFound: there is no such task.
        Refused: it has ended, or the report says itself that it is not done, or names no commit.
    """
    from ocs.store import tasks

    told = await tasks.by_label(store, label)
    if not told.status.is_open:
        raise tasks.has_ended(told)
    report = checked_report(summary, checklist, sha, task=told.task.text)
    if report.sha is not None and not await is_commit(report.sha, folder):
        raise Refused(f'"{report.sha}" is no commit in {folder}.', hint="Name the repository's folder: --dir")
    await tasks.write_report(store, told.task, report, by=by)
    return await tasks.by_label(store, label)


def is_silent(told: Told, longest: timedelta, now: datetime) -> bool:
    """Whether a task runs of which nothing was heard for so long."""
    if told.status is not TaskStatus.RUNNING or told.last is None:
        return False
    return now - (told.last.last_activity_at or told.last.started_at) >= longest


def task_view(told: Told) -> dict[str, Any]:
    """A task as programs see it. Tokens and cost are those of all its attempts."""
    last, runs = told.last, told.runs
    read = [run.tokens_in for run in runs if run.tokens_in is not None]
    written = [run.tokens_out for run in runs if run.tokens_out is not None]
    cost = total_of_runs(Total(run.cost, run.cost_at_least) for run in runs if run.tokens_in is not None)
    return {
        "label": told.task.label,
        "id": str(told.task.id),
        "run": str(last.id) if last else None,
        "status": str(told.status),
        "template": told.task.template,
        "agent": told.task.agent,
        "model": told.task.model,
        "attempt": last.attempt if last else 0,
        "session_key": last.session_key if last else None,
        "created_at": told.task.created_at,
        "created_by": told.task.created_by,
        "due_at": told.due_at,
        "started_at": runs[0].started_at if runs else None,
        "finished_at": last.finished_at if last and not told.status.is_open else None,
        "last_activity_at": last.last_activity_at if last else None,
        "doing": last.doing if last and told.status is TaskStatus.RUNNING else None,
        "tokens": {"in": sum(read), "out": sum(written)} if read or written else None,
        "cost_usd": dollars(cost.micros),
        "cost_at_least": cost.at_least,
        "report": told.task.report,
        "summary": last.summary if last else "",
        "error": last.error if last else None,
        "flow_run_id": str(last.flow_run_id) if last else None,
        "ui_url": session.flow_run_link(last.flow_run_id) if last else None,
    }
