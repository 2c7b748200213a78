"""`ocs jobs run` and `jobs cancel`: starting and stopping by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from ocs.cli import session
from ocs.cli.arguments import JobId, Settings, settings_of
from ocs.cli.deployed import deployed_job, descendants
from ocs.cli.follow import answer_end, follow
from ocs.cli.follow import join as join_run
from ocs.cli.render.output import SHORT, answer, count_of, fail, local, say, tell
from ocs.cli.render.views import run_views
from ocs.cli.stopping import stop_jobs
from ocs.errors import InvalidJob, Refused, UsageError
from ocs.spec import Job, unsupported, violations

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

    from ocs.store import PendingDispatch
    from ocs.store.tables import Run

T = TypeVar("T")
OVERLAP = "limits.overlap"
WAIT = "Follow it and end with its outcome; follow the run that is at work where that keeps this one from beginning."
QUEUE = "Begin when the run that is at work has ended, whatever limits.overlap says."


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("run", epilog="Example:  ocs jobs run nightly-report --wait --set run.timeout=20m")(run_job)
    app.command("cancel", epilog="Example:  ocs jobs cancel nightly-report")(cancel)


def run_job(
    job: JobId,
    values: Settings = None,
    wait: Annotated[bool, typer.Option("--wait", help=WAIT)] = False,
    queue: Annotated[bool, typer.Option("--queue", help=QUEUE)] = False,
) -> None:
    """Run a job now, beside its schedule; values of --set are for this run only.

    While the job runs already, limits.overlap says what becomes of it; where that is skip, nothing is begun: wait for
    the run that is there (--wait), or have yours begin when that has ended (--queue).
    """
    raise typer.Exit(session.run(_run(job, settings_of(values), wait=wait, queue=queue)))


def cancel(
    job: JobId,
    no_cascade: Annotated[bool, typer.Option("--no-cascade", help="Leave the jobs that run after it alone.")] = False,
) -> None:
    """End a job's running runs and withdraw its waiting ones. Its schedule goes on; ocs jobs disable ends that."""
    ended = session.run(_cancel(job, cascade=not no_cascade))

    def people() -> None:
        runs = ended["cancelled"]
        jobs = ", ".join(ended["jobs"])
        said = f"Cancelled {count_of(len(runs), 'run')}" if runs else "Nothing was running or waiting"
        say(f"{said} of {jobs}.  The schedule goes on; pause it with: ocs jobs disable {ended['job']}")

    answer(ended, people)


async def dispatch(
    client: PrefectClient,
    job: Job,
    *,
    parameters: Mapping[str, Any] | None,
    source: str = session.SOURCE,
    after: Run | None = None,
) -> tuple[PendingDispatch, FlowRun | None]:
    """Write a dispatch, manual or `after` an ended run, and send it.

    Returns it and its flow run (None when the server did not take it yet).
    """
    from ocs.store import enqueue
    from tasks.adapter.publish import publish

    async with session.store() as store:
        pending = await enqueue(
            store,
            job.id,
            now=session.now(),
            actor=session.user(),
            source=source,
            max_queued=job.limits.max_queued,
            parameters=parameters,
            after=after,
        )
        sent = await publish(client, store, [pending])
        return pending, sent.get(pending.id)


async def _run(given: str, changes: Mapping[str, Any], *, wait: bool, queue: bool) -> int:
    async with session.server() as client:
        job = await deployed_job(client, given)
        if queue and job.limits.overlap != "queue":
            changes = {**changes, OVERLAP: "queue"}
        overlap = (_changed(job, changes) if changes else job).limits.overlap
        busy = await _at_work(job.id)
        if busy is not None and overlap == "skip":
            return await _meet(client, busy, join=wait and not changes)
        outcome = "queued" if busy and overlap == "queue" else "dispatched"
        return await start(client, job, changes, wait=wait, outcome=outcome)


async def _at_work(job_id: str) -> Run | None:
    from ocs.store import queries

    async with session.store() as store:
        return await queries.running_of(store, job_id)


async def _meet(client: PrefectClient, busy: Run, *, join: bool, said: Mapping[str, Any] | None = None) -> int:
    """What there is to do with a run that was not begun because of another one: join that, or say so."""
    link = session.flow_run_link(busy.flow_run_id)
    about = {**(said or {"job": busy.job_id, "dispatch": None}), "flow_run_id": str(busy.flow_run_id), "ui_url": link}
    async with session.store() as store:
        if join:
            tell(f"{busy.job_id} is running already, as run {str(busy.id)[:SHORT]}; this follows it.", style="yellow")
            ended = await _followed(busy.job_id, join_run(client, store, busy))
            (view,) = await run_views(store, [ended])
            return answer_end({**about, "outcome": "joined"}, ended, view, link)
        (view,) = await run_views(store, [busy])
    since = f"since {local(busy.started_at)} as run {str(busy.id)[:SHORT]}"
    skipped = Refused(
        f"{busy.job_id} is running already, {since}; with limits.overlap: skip nothing else of it is begun.",
        hint=f"Follow it: ocs jobs run {busy.job_id} --wait   Begin after it: ocs jobs run {busy.job_id} --queue",
    )
    return fail(skipped, {**about, "outcome": "skipped", "run": view})


async def start(
    client: PrefectClient,
    job: Job,
    changes: Mapping[str, Any],
    *,
    wait: bool,
    after: Run | None = None,
    outcome: str = "dispatched",
) -> int:
    """Run a job with some values changed, and answer; with `wait` follow it to its end. Returns the exit status."""
    from ocs.store import queries

    chosen = _changed(job, changes) if changes else job
    if refused := unsupported(chosen):
        raise InvalidJob(f"{job.id} cannot be run like that; nothing was run.", problems=refused)
    parameters = {"job": chosen.document()} if changes else None
    pending, flow_run = await dispatch(client, chosen, parameters=parameters, after=after)
    link = session.flow_run_link(flow_run.id) if flow_run else None
    said = {
        "job": job.id,
        "dispatch": str(pending.id),
        "flow_run_id": str(flow_run.id) if flow_run else None,
        "ui_url": link,
        "outcome": outcome,
    }
    if not wait:
        begins = ", and begins when the run that is at work has ended" if outcome == "queued" else ""
        answer(said, lambda: say(f"Dispatched {job.id} as {pending.id}{begins}.  {link or 'It is sent later.'}"))
        return 0
    if flow_run is None:
        raise Refused(f"The server did not take the run of {job.id}; it is sent later.", hint="See: ocs status")
    async with session.store() as store:
        ended = await _followed(job.id, follow(client, store, pending.id, job.id))
        if ended is None:
            raise Refused(f"The run of {job.id} ended before it started.", hint=f"Its flow run says why: {link}")
        # One may have begun between the look and the dispatch.
        if ended.in_its_way and (busy := await queries.run(store, ended.in_its_way)):
            return await _meet(client, busy, join=not changes and after is None, said=said)
        (view,) = await run_views(store, [ended])
    return answer_end(said, ended, view, session.flow_run_link(ended.flow_run_id))


async def _followed(job_id: str, following: Awaitable[T]) -> T:
    try:
        return await following
    except asyncio.CancelledError:  # Ctrl-C ends the waiting, not the run
        tell(f"{job_id} goes on without you; end it with: ocs jobs cancel {job_id}")
        raise


def _changed(job: Job, changes: Mapping[str, Any]) -> Job:
    """The job with other values; all that is wrong with them is told at once."""
    document = job.document()
    for path, value in changes.items():
        _set(document, path, value)
    if document.get("id") != job.id:
        raise UsageError("--set: the id of a job cannot be changed for a run.")
    if problems := violations(document):
        raise InvalidJob(f"{job.id} cannot be run like that; nothing was run.", problems=problems)
    return Job.model_validate(document)


def _set(document: dict[str, Any], path: str, value: Any) -> None:
    *groups, last = path.split(".")
    here = document
    for group in groups:
        inner: Any = here.setdefault(group, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {path}: {group} is not a group of keys.")
        here = cast("dict[str, Any]", inner)
    if value is None:
        here.pop(last, None)
    else:
        here[last] = value


async def _cancel(given: str, *, cascade: bool) -> dict[str, Any]:
    async with session.server() as client, session.store() as store:
        job = await deployed_job(client, given)
        ids = [job.id, *(await descendants(client, job.id) if cascade else [])]
        stopped = await stop_jobs(client, store, ids)
        cancelled = [str(flow_run_id) for flow_run_id in stopped.flow_runs]
        return {"job": job.id, "jobs": ids, "cancelled": cancelled, "withdrawn": stopped.withdrawn}
