"""What `import ocs` offers: each operation as a function that waits for its answer, and as `.aio` for asyncio."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast
from uuid import UUID

from ocs.errors import Refused, UsageError
from ocs.rules.attribution import Attribution
from ocs.rules.messages import Draft, Kind, Priority
from ocs.service import deciding, messages, reading, rollout, running, session, stopping
from ocs.service.listener import Deaf
from ocs.service.records import Approval, Run, Status, approval_record, run_records
from ocs.service.running import Outcome, Started
from ocs.service.stopping import Cancelled
from ocs.spec import Job, parse

if TYPE_CHECKING:
    from deployments.catalogue import Catalogue
    from deployments.rollout import Plan

P = ParamSpec("P")
T = TypeVar("T")
Choice = TypeVar("Choice", bound=StrEnum)
SOURCE = "python"
MOST = 1_000_000
"""Runs or approvals that are given at once."""


class Both(Protocol[P, T]):
    """A function that waits for its answer. `.aio` is the same for a program that runs an event loop."""

    aio: Callable[P, Coroutine[Any, Any, T]]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it, and wait for the answer."""
        ...


def both(work: Callable[P, Coroutine[Any, Any, T]]) -> Both[P, T]:
    """Offer a coroutine function to programs with an event loop and to those without."""

    @functools.wraps(work)
    def wait(*args: P.args, **kwargs: P.kwargs) -> T:
        if _is_in_a_loop():
            name = f"ocs.{work.__name__}"
            raise UsageError(f"{name}() waits, and an event loop runs here.", hint=f"Write: await {name}.aio(...)")
        return asyncio.run(work(*args, **kwargs))

    offered = cast("Both[P, T]", wait)
    offered.aio = work
    return offered


def load_jobs(project: str | Path | None = None) -> dict[str, Job]:
    """The jobs of a project by id; by default of the one that `ocs` would take, from the current folder upwards.

    Example:
        >>> jobs = ocs.load_jobs("~/jobs")
        >>> jobs["nightly-report"].enabled

    Raises:
        InvalidJob: a file is no job; `problems` lists what is wrong with all of them.
        UsageError: there is no project.
    """
    return dict(_catalogue(project).checked().jobs)


def parse_job(document: Mapping[str, Any]) -> Job:
    """The job that a document describes, checked by itself.

    Example:
        >>> ocs.parse_job({"id": "hello", "run": "echo hello"}).id
        'hello'

    Raises:
        InvalidJob: it breaks rules; `problems` lists all of them.
    """
    return parse(document)


@both
async def plan(project: str | Path | None = None, *, only: Sequence[str] = ()) -> Plan:
    """What a rollout would change, by job; nothing is sent.

    Example:
        >>> for step in ocs.plan().steps:
        ...     print(step.job_id, step.action)

    Raises:
        InvalidJob, NotFound, Refused, ServerUnreachable: as for `roll_out`.
    """
    found = _catalogue(project)
    async with session.server() as client, session.store() as store:
        return await rollout.plan(client, store, found, only)


@both
async def roll_out(project: str | Path | None = None, *, only: Sequence[str] = (), prune: bool = False) -> Plan:
    """Make the deployments on the server equal to the project's jobs; `prune` removes those whose file is gone.

    Example:
        >>> ocs.roll_out("~/jobs", only=["nightly-report"])

    Raises:
        InvalidJob: a file is no job; nothing was sent.
        NotFound: a job in `only` is not in the project.
        Refused: a job's id belongs to another project on this server.
        NotAllRolledOut: some could not be sent; `problems` says why. The others were.
        ServerUnreachable: there is no server.
    """
    from deployments import prefect_yaml

    found = _catalogue(project).checked()
    prefect_yaml.regenerate(found)
    async with session.server() as client, session.store() as store:
        done = await rollout.roll_out(client, store, found, only, prune=prune, by=_me(), listener=Deaf())
    if failed := rollout.not_rolled_out(done):
        raise failed
    return done


@both
async def start(job: str, changes: Mapping[str, Any] | None = None, *, queue: bool = False) -> Started:
    """Have a job run now, beside its schedule, and do not wait for it.

    `changes` are values by dotted path for this run only; None takes one away. With `queue` it begins after the run
    that is at work, whatever `limits.overlap` says.

    Example:
        >>> ocs.start("nightly-report", {"run.timeout": "20m"}).flow_run_id

    Raises:
        NotFound: no such job is rolled out.
        InvalidJob: it cannot be run with these values.
        Refused: it is running already, or too many of its runs wait.
        ServerUnreachable: there is no server.
    """
    return await _run_now(job, changes, wait=False, queue=queue)


@both
async def run(job: str, changes: Mapping[str, Any] | None = None, *, queue: bool = False) -> Run:
    """Have a job run now and wait for the end of its last attempt; a failed run is an answer too, see `ok`.

    Where another run of the job is at work and `limits.overlap` is `skip`, that one is waited for, unless there are
    `changes`. For the arguments and what is raised see `start`.

    Example:
        >>> ended = ocs.run("nightly-report")
        >>> print(ended.status, ended.summary)
    """
    started = await _run_now(job, changes, wait=True, queue=queue)
    if started.run is None:
        raise Refused(f"The run of {job} ended before it started.", hint="See: ocs status")
    async with session.store() as store:
        return (await run_records(store, [started.run]))[0]


@both
async def cancel(job: str, *, cascade: bool = True) -> Cancelled:
    """End a job's running runs and withdraw its waiting ones, and of the jobs that run after it; its schedule goes on.

    Example:
        >>> ocs.cancel("nightly-report").flow_runs

    Raises:
        NotFound: no such job is rolled out.
        Refused: something did not end in time.
        ServerUnreachable: there is no server.
    """
    async with session.server() as client, session.store() as store:
        return await stopping.cancel_job(client, store, job, cascade=cascade, by=_me())


@both
async def cancel_run(run: str | UUID) -> Run:
    """End one run by its id or the beginning of it, with everything it started; nothing is retried.

    Example:
        >>> ocs.cancel_run("3f2a9c1d").status

    Raises:
        NotFound: there is no such run.
        Refused: it has ended before, or did not end in time.
        ServerUnreachable: there is no server.
    """
    async with session.store() as store:
        ended = await stopping.cancel_run(store, str(run), by=_me())
        return (await run_records(store, [ended]))[0]


@both
async def approvals(*, job: str | None = None, everything: bool = False, limit: int = 100) -> list[Approval]:
    """What waits for a person's decision, oldest first; with `everything` what is decided too.

    Example:
        >>> for request in ocs.approvals():
        ...     print(request.job, request.what)

    Raises:
        NotFound: there is no such job.
        UsageError: `limit` is no number of approvals.
    """
    _check_limit(limit)
    async with session.store() as store:
        rows = await reading.approvals(store, job=job, everything=everything, limit=limit)
        return [approval_record(row) for row in rows]


@both
async def approve(approval: str | UUID, *, by: str | None = None, reason: str | None = None) -> Approval:
    """Let a waiting run go on. Name its approval, or its job when only one of it waits. The first decision counts.

    Example:
        >>> ocs.approve("deploy", reason="checked the plan")

    Raises:
        NotFound: there is no such request, or several.
        Refused: it was decided before, or the name or reason cannot be kept.
    """
    return await _decide(approval, by, reason, approve=True)


@both
async def reject(approval: str | UUID, *, by: str | None = None, reason: str | None = None) -> Approval:
    """End a waiting run: nothing of it is run. For the arguments and what is raised see `approve`.

    Example:
        >>> ocs.reject("deploy", by="ann", reason="not on a Friday")
    """
    return await _decide(approval, by, reason, approve=False)


@both
async def runs(
    *, job: str | None = None, status: Sequence[Status | str] = (), since: datetime | None = None, limit: int = 20
) -> list[Run]:
    """Runs, newest first.

    Example:
        >>> ocs.runs(job="nightly-report", status=["error", "timeout"], limit=5)

    Raises:
        NotFound: no such job is there, or has ever run.
        UsageError: there is no such status, `since` has no time zone, or `limit` is no number of runs.
    """
    _check_limit(limit)
    if since is not None and since.tzinfo is None:
        raise UsageError("since has no time zone.", hint="Give an aware one: datetime.now(UTC) - timedelta(days=1)")
    async with session.store() as store:
        return await reading.runs(
            store, job=job, status=[_one_of(Status, each) for each in status], since=since, limit=limit
        )


@both
async def output(run: str | UUID, *, stderr: bool = False) -> str:
    """All that a run printed, whole, by the run's id or the beginning of it.

    Example:
        >>> print(ocs.output(ocs.run("hello").id))

    Raises:
        NotFound: there is no such run, or its output was kept in a file that is gone.
    """
    async with session.store() as store:
        found = await reading.output(store, str(run), "stderr" if stderr else "stdout")
    return await asyncio.to_thread(found.text)


@both
async def send_message(
    body: str,
    *,
    to: str = "main",
    sender: str | None = None,
    subject: str = "",
    kind: Kind | str = Kind.TEXT,
    priority: Priority | str = Priority.NORMAL,
    expires_at: datetime | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> UUID:
    """Tell an agent something for its next turns; returns the message's id. Nothing is started because of it.

    Example:
        >>> ocs.send_message("The disk of db2 is full.", to="main", subject="db2")

    Raises:
        Refused: a part of it cannot be kept.
        UsageError: there is no such kind or priority.
    """
    draft = Draft(
        sender=session.user() if sender is None else sender,
        recipient=to,
        body=body,
        kind=_one_of(Kind, kind),
        priority=_one_of(Priority, priority),
        subject=subject,
        metadata=dict(metadata or {}),
        expires_at=expires_at,
    )
    async with session.store() as store:
        return UUID((await messages.send(store, draft))["id"])


async def _run_now(job: str, changes: Mapping[str, Any] | None, *, wait: bool, queue: bool) -> Started:
    async with session.server() as client, session.store() as store:
        started = await running.run_now(
            client, store, job, changes or {}, wait=wait, queue=queue, by=_me(), listener=Deaf()
        )
    if started.outcome is Outcome.SKIPPED and started.run is not None:
        raise running.in_the_way(started.run)
    return started


async def _decide(approval: str | UUID, by: str | None, reason: str | None, *, approve: bool) -> Approval:
    async with session.store() as store:
        decided = await deciding.decide(
            store, str(approval), approve=approve, by=_me(), listener=Deaf(), name=by, reason=reason
        )
    return approval_record(decided)


def _catalogue(project: str | Path | None) -> Catalogue:
    return session.catalogue(None if project is None else Path(project))


def _check_limit(limit: int) -> None:
    """To one database a number below 0 is no limit at all, to the other an error; one beyond 63 bits to both."""
    if not 0 <= limit <= MOST:
        raise UsageError(f"limit is a number from 0 to {MOST:,}.")


def _one_of(choices: type[Choice], given: str) -> Choice:
    try:
        return choices(given)
    except ValueError:
        known = ", ".join(choices)
        raise UsageError(f'No {choices.__name__.lower()} "{given}".', hint=f"One of: {known}") from None


def _me() -> Attribution:
    """A program acts as whoever it runs as."""
    return Attribution(session.user(), SOURCE, session.now())


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
