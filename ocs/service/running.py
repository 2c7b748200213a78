"""Running a job now: beside its schedule, after the run that is at work, or as a further attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from ocs.errors import InvalidJob, Refused, UsageError
from ocs.rules.attribution import Attribution
from ocs.rules.wording import SHORT, local
from ocs.service import session
from ocs.service.deployed import deployed_job
from ocs.service.following import follow, join
from ocs.service.listener import Listener
from ocs.service.which_run import the_run
from ocs.spec import Job, unsupported, violations

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

    from ocs.store import PendingDispatch, Store
    from ocs.store.tables import Run

T = TypeVar("T")
OVERLAP = "limits.overlap"


class Outcome(StrEnum):
    """What became of the wish that a job runs now."""

    DISPATCHED = "dispatched"
    QUEUED = "queued"
    """It begins when the run that is at work has ended."""
    REPLACING = "replacing"
    """The same, and it ends that run."""
    JOINED = "joined"
    """Nothing was begun: the run that was at work was followed."""
    SKIPPED = "skipped"
    """Nothing was begun: the run that is at work stands in its way."""


WAITING = {"queue": Outcome.QUEUED, "replace": Outcome.REPLACING}
"""What becomes of a run by `limits.overlap` while another one is at work."""


@dataclass(frozen=True, slots=True)
class Started:
    """`run` is the one that was followed to its end, or that stands in the way of this one."""

    job: str
    outcome: Outcome
    dispatch: UUID | None
    flow_run_id: UUID | None
    run: Run | None = None

    @property
    def ui_url(self) -> str | None:
        """The page of its flow run."""
        return session.flow_run_link(self.flow_run_id) if self.flow_run_id else None


async def run_now(
    client: PrefectClient,
    store: Store,
    given: str,
    changes: Mapping[str, Any],
    *,
    wait: bool,
    queue: bool,
    by: Attribution,
    listener: Listener,
) -> Started:
    """Run a job with some values changed; with `wait` follow it to its end, with `queue` let it begin after another.

    Raises:
        NotFound: no such job is rolled out.
        InvalidJob: it cannot be run with these values.
        Refused: too many of its runs wait already, or it ended before it began.
        ServerUnreachable: the server has been away for a minute.
    """
    from ocs.store import queries

    job = await deployed_job(client, given)
    if queue and job.limits.overlap != "queue":
        changes = {**changes, OVERLAP: "queue"}
    overlap = (_changed(job, changes) if changes else job).limits.overlap
    busy = await queries.running_of(store, job.id)
    if busy is not None and overlap == "skip":
        return await _meet(client, store, busy, join_it=wait and not changes, listener=listener)
    outcome = WAITING.get(overlap, Outcome.DISPATCHED) if busy else Outcome.DISPATCHED
    return await start(client, store, job, changes, wait=wait, outcome=outcome, by=by, listener=listener)


async def retryable(store: Store, given: str) -> Run:
    """The run whose id begins so, if a further attempt may follow it.

    Raises:
        NotFound: there is no such run.
        Refused: it did not fail, has not ended, or was attempted again.
    """
    from ocs.store import queries

    run = await the_run(store, given)
    short, again = str(run.id)[:SHORT], f"Run the job anew: ocs jobs run {run.job_id}"
    if not run.status.final:
        raise Refused(f"Run {short} of {run.job_id} has not ended yet.", hint=f"Stop it: ocs runs cancel {short}")
    if run.status in ("ok", "skipped"):
        raise Refused(f"Run {short} of {run.job_id} did not fail: it is {run.status}.", hint=again)
    if run.id in await queries.awaiting_retry(store, [run.id]):
        raise Refused(f"The next attempt after run {short} waits already.", hint="See it: ocs queue list")
    last = (await queries.attempts(store, run))[-1]
    if last.id != run.id:
        newest = str(last.id)[:SHORT]
        raise Refused(f"Run {short} was attempted again already, as run {newest}.", hint=f"See: ocs runs show {newest}")
    return run


async def retry(
    client: PrefectClient,
    store: Store,
    after: Run,
    changes: Mapping[str, Any],
    *,
    wait: bool,
    by: Attribution,
    listener: Listener,
) -> Started:
    """Make a further attempt at what a `retryable` run failed at, with the job as it is rolled out now.

    Raises:
        NotFound, InvalidJob, Refused, ServerUnreachable: as for `run_now`; refused also while the job is disabled.
    """
    job = await deployed_job(client, after.job_id)
    if not job.enabled:
        raise Refused(f"{job.id} is disabled, so nothing of it is retried.", hint=f"Run it: ocs jobs run {job.id}")
    return await start(client, store, job, changes, wait=wait, after=after, by=by, listener=listener)


async def start(
    client: PrefectClient,
    store: Store,
    job: Job,
    changes: Mapping[str, Any],
    *,
    wait: bool,
    by: Attribution,
    listener: Listener,
    after: Run | None = None,
    outcome: Outcome = Outcome.DISPATCHED,
) -> Started:
    """Run a job that is rolled out with some values changed; with `wait` follow it to its end."""
    from ocs.store import queries

    chosen = _changed(job, changes) if changes else job
    if refused := unsupported(chosen):
        raise InvalidJob(f"{job.id} cannot be run like that; nothing was run.", problems=refused)
    parameters = {"job": chosen.document()} if changes else None
    pending, flow_run = await dispatch(client, store, chosen, parameters=parameters, after=after, by=by)
    started = Started(job.id, outcome, pending.id, flow_run.id if flow_run else None)
    if not wait:
        return started
    if flow_run is None:
        raise Refused(f"The server did not take the run of {job.id}; it is sent later.", hint="See: ocs status")
    ended = await _followed(job.id, follow(client, store, pending.id, job.id, listener), listener)
    if ended is None:
        raise Refused(f"The run of {job.id} ended before it started.", hint=f"Its flow run says why: {started.ui_url}")
    # One may have begun between the look and the dispatch.
    if ended.in_its_way and (busy := await queries.run(store, ended.in_its_way)):
        joins = not changes and after is None
        return await _meet(client, store, busy, join_it=joins, listener=listener, dispatch_id=pending.id)
    return Started(job.id, outcome, pending.id, flow_run.id, ended)


async def dispatch(
    client: PrefectClient,
    store: Store,
    job: Job,
    *,
    by: Attribution,
    parameters: Mapping[str, Any] | None = None,
    after: Run | None = None,
) -> tuple[PendingDispatch, FlowRun | None]:
    """Write a dispatch, manual or `after` an ended run, and send it.

    Returns it and its flow run (None when the server did not take it yet).
    """
    from ocs.store import enqueue
    from tasks.adapter.publish import publish

    most = job.limits.max_queued
    pending = await enqueue(store, job.id, by=by, max_queued=most, parameters=parameters, after=after)
    sent = await publish(client, store, [pending])
    return pending, sent.get(pending.id)


def in_the_way(busy: Run) -> Refused:
    """What is said when nothing was begun because of a run that is at work."""
    since = f"since {local(busy.started_at)} as run {str(busy.id)[:SHORT]}"
    return Refused(
        f"{busy.job_id} is running already, {since}; with limits.overlap: skip nothing else of it is begun.",
        hint=f"Follow it: ocs jobs run {busy.job_id} --wait   Begin after it: the same command with --queue",
    )


async def _meet(
    client: PrefectClient,
    store: Store,
    busy: Run,
    *,
    join_it: bool,
    listener: Listener,
    dispatch_id: UUID | None = None,
) -> Started:
    """What there is to do with a run that was not begun because of another one: join that, or say so."""
    if not join_it:
        return Started(busy.job_id, Outcome.SKIPPED, dispatch_id, busy.flow_run_id, busy)
    listener.warn(f"{busy.job_id} is running already, as run {str(busy.id)[:SHORT]}; this follows it.")
    ended = await _followed(busy.job_id, join(client, store, busy, listener), listener)
    return Started(busy.job_id, Outcome.JOINED, dispatch_id, busy.flow_run_id, ended)


async def _followed(job_id: str, following: Awaitable[T], listener: Listener) -> T:
    try:
        return await following
    except asyncio.CancelledError:  # Ctrl-C ends the waiting, not the run
        listener.note(f"{job_id} goes on without you; end it with: ocs jobs cancel {job_id}")
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
