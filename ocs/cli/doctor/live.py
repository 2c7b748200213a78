"""What `ocs doctor` asks of the store and the server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from ocs import settings
from ocs.cli.doctor import delivery
from ocs.cli.doctor.gateway import gateway_block
from ocs.cli.doctor.project import Finding, State, failure
from ocs.cli.ending import warn_if_ending
from ocs.errors import ServerUnreachable, StoreError
from ocs.rules.wording import count_of, local
from ocs.service import session
from ocs.timing import timing

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from deployments.rollout import Plan
    from ocs.store import Lease, Store

NAMED = 5


def embedded_server() -> Iterator[Finding]:
    """What `ocs up` started here: whether all of it lives, and whether it is what commands talk to."""
    from ocs.server import running

    left = settings.embedded_state()
    up = running()
    if up is None:
        if left is not None:
            # Whatever looks for a server clears the file away, this too; --fix says that it is done with.
            found = f"The embedded server (process {left.get('pid')}) was killed, and left its state file behind."
            yield Finding("server", State.WARNING, found, "ocs up --detach", running)
        return
    for name, pid in (("server", up.server_pid), ("worker", up.worker_pid)):
        if not _lives(pid):
            found = f"The {name} that ocs up started has ended; why: {settings.home() / 'logs' / name}.log"
            yield Finding("server", State.PROBLEM, found, "ocs down --now && ocs up --detach")
    named = os.environ.get("PREFECT_API_URL")
    if named and session.embedded_at() is None:
        found = f"PREFECT_API_URL names {named}, but ocs up runs {up.api_url}."
        yield Finding("server", State.WARNING, found, "unset PREFECT_API_URL")


async def store_content() -> AsyncIterator[Finding]:
    """The store: it opens, its schema is ours, and nothing in it is stuck.

    Raises:
        StoreError: it cannot be used.
    """
    if not session.has_store():
        yield Finding("store", State.OK, "There is no store yet; it is made when it is needed.")
        return
    async with session.store() as store:
        yield Finding("store", State.OK, "It opens, and its schema is this program's.")
        for finding in await _orphans(store):
            yield finding
        yield await _outbox(store)
        yield await delivery.dead_letters(store)
        for finding in await delivery.ongoing(store):
            yield finding
        yield await delivery.ping(store)


async def server() -> AsyncIterator[Finding]:
    """The server, its workers, and how the project differs from what is rolled out.

    Raises:
        Refused: it wants another password.
    """
    try:
        async with session.server() as client:
            looks = {
                "server": _version,
                "ending": _ending,
                "password": _password,
                "workers": _workers,
                "drift": _drift,
                "gateway": gateway_block,
                "targets": delivery.targets,
                "secrets": _secrets,
            }
            for name, look in looks.items():
                async for finding in _of(name, look(client)):
                    yield finding
    except ServerUnreachable as away:
        mend = away.hint if os.environ.get("PREFECT_API_URL") else "ocs up --detach"
        yield Finding("server", State.PROBLEM, away.message, mend)


async def _of(name: str, findings: AsyncIterator[Finding]) -> AsyncIterator[Finding]:
    """What one part finds; the next is looked at although this one fails."""
    import httpx

    try:
        async for finding in findings:
            yield finding
    except httpx.HTTPError:
        raise  # the server is away or refuses us, which `session.server` puts into words
    except Exception as failed:
        yield failure(name, failed)


async def _orphans(store: Store) -> list[Finding]:
    from ocs.store import leases

    orphans = [lease for lease in await leases(store) if lease.has_run_out]
    found = [_orphan(lease) for lease in orphans[:NAMED]]
    more = len(orphans) - NAMED
    if more > 0:
        said = f"So {'does' if more == 1 else 'do'} {count_of(more, 'further run')}."
        found.append(Finding("runs", State.WARNING, said, "ocs runs list --status running"))
    return found or [Finding("runs", State.OK, "Every run that says it is running is executed.")]


def _orphan(lease: Lease) -> Finding:
    from tasks.recovery.leftovers import living

    short = str(lease.context.run_id)[:8]
    said = f"Run {short} of {lease.context.job_id} says it is running, and nobody executes it."
    if left := living(lease):
        said += f" Of it there are still: {_named([str(process) for process in left])}."
    return Finding("runs", State.WARNING, said, f"ocs runs cancel {short}")


async def _outbox(store: Store) -> Finding:
    from ocs.store import queries
    from ocs.store.tables import DispatchStatus

    # A queued one was written long before it was released.
    before = session.now() - timing().stuck
    stuck = [
        row
        for row in await queries.queue(store)
        if row.status is DispatchStatus.PENDING and (row.released_at or row.created_at) < before
    ]
    if not stuck:
        return Finding("outbox", State.OK, "Nothing is stuck in it.")
    found = f"Not sent to Prefect for more than five minutes: {count_of(len(stuck), 'run')}"
    return Finding(
        "outbox", State.WARNING, f"{found} of {_named(sorted({row.job_id for row in stuck}))}.", "ocs worker"
    )


async def _version(client: PrefectClient) -> AsyncIterator[Finding]:
    theirs, ours = await client.api_version(), version("prefect")
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        yield Finding("server", State.OK, f"{client.api_url} answers (Prefect {theirs}).")
    else:
        found = f"The server at {client.api_url} is Prefect {theirs}, and this is {ours}."
        yield Finding("server", State.PROBLEM, found, f"pip install 'prefect~={ours}' where the server runs")


async def _password(client: PrefectClient) -> AsyncIterator[Finding]:
    from ocs.server import is_open

    if is_open(str(client.api_url)):
        mend = session.SHUT if session.embedded_at() else "Set PREFECT_SERVER_API_AUTH_STRING where the server runs"
        yield Finding("password", State.WARNING, session.OPEN, mend)
    else:
        yield Finding("password", State.OK, "The server asks for a password.")


async def _secrets(client: PrefectClient) -> AsyncIterator[Finding]:
    from ocs.service.secrets import missing_secrets

    for said, mend in await missing_secrets(client, session.catalogue().jobs.values() if session.has_project() else ()):
        yield Finding("secrets", State.WARNING, said, mend)


async def _ending(_client: PrefectClient) -> AsyncIterator[Finding]:
    if said := warn_if_ending():
        yield Finding("server", State.WARNING, said)


async def _workers(client: PrefectClient) -> AsyncIterator[Finding]:
    from prefect.client.schemas.objects import WorkerStatus
    from prefect.exceptions import ObjectNotFound

    from ocs.store.draining import is_draining

    try:
        pool = await client.read_work_pool(settings.WORK_POOL)
        workers = await client.read_workers_for_work_pool(settings.WORK_POOL)
    except ObjectNotFound:
        # A worker makes it; a rollout does so only when it has something to send.
        yield Finding("workers", State.PROBLEM, f"There is no work pool {settings.WORK_POOL}.", "ocs worker")
        return
    if pool.is_paused:
        resume = f"prefect work-pool resume {settings.WORK_POOL}"
        yield Finding("workers", State.PROBLEM, f"The work pool {pool.name} is paused: nothing runs.", resume)
    lost = [job async for job in _without_a_pool(client)]
    if lost:
        found = f"{_named(sorted(lost))}: in no work pool, so that no run of them is ever executed."
        yield Finding("workers", State.PROBLEM, found, "ocs deploy")
    online = [worker.name for worker in workers if worker.status is WorkerStatus.ONLINE]
    drain = await _draining()
    for name, since in ((name, since) for name in online if (since := is_draining(name, drain))):
        found = f"{name} drains since {local(since)}: it takes nothing new, and ends when its runs have ended."
        yield Finding("workers", State.WARNING, found, "ocs worker")
    online = [name for name in online if not is_draining(name, drain)]
    if online:
        yield Finding("workers", State.OK, f"Online: {', '.join(online)}.")
    else:
        yield Finding("workers", State.PROBLEM, "No worker is online, so nothing runs.", "ocs worker")


async def _draining() -> dict[str, datetime]:
    from ocs.store.draining import draining

    try:
        async with session.store() as store:
            return await draining(store)
    except StoreError:
        return {}  # which the check of the store has told


async def _without_a_pool(client: PrefectClient) -> AsyncIterator[str]:
    """Jobs, of whatever project, whose work pool was deleted: one of the same name does not take its place."""
    from tasks.adapter.deployed import tagged_deployments

    async for deployment in tagged_deployments(client, "ocs"):
        if deployment.work_pool_name is None:
            yield deployment.name


async def _drift(client: PrefectClient) -> AsyncIterator[Finding]:
    if not session.has_project():
        return
    from ocs.service import rollout
    from ocs.spec import unsupported

    found = session.catalogue()
    if found.problems or any(unsupported(job) for job in found.jobs.values()):
        return  # it cannot be rolled out; `job_files` says why
    async with session.store() as store:
        planned = await rollout.plan(client, store, found)
    for finding in _differences(planned):
        yield finding


def _differences(planned: Plan) -> Iterator[Finding]:
    from deployments.rollout import Action

    for action, said, mend in (
        (Action.CREATE, "not rolled out", "ocs deploy"),
        (Action.UPDATE, "rolled out otherwise than the catalogue says", "ocs deploy --plan"),
        (Action.REMOVE, "rolled out without a file", "ocs deploy --prune"),
        (Action.OVER, "not rolled out, since nothing of its schedule is to come", "ocs deploy --plan"),
    ):
        if steps := planned.having(action):
            edited = sorted({what for step in steps for what in step.edited_in_ui})
            there = f" (edited on the server: {', '.join(edited)})" if edited else ""
            yield Finding("drift", State.WARNING, f"{_named([step.job_id for step in steps])}: {said}{there}.", mend)
    if paused := [step.job_id for step in planned.steps if step.paused_in_ui]:
        mend = "; ".join(f"ocs jobs enable {job}" for job in paused[:NAMED])
        yield Finding("drift", State.WARNING, f"{_named(paused)}: paused in the UI.", mend)
    if planned.maintenance:
        kept = f"The deployment that keeps the house is not as it was rolled out: {', '.join(planned.maintenance)}."
        yield Finding("drift", State.WARNING, kept, "ocs deploy")
    changed = planned.having(Action.CREATE, Action.UPDATE, Action.REMOVE, Action.OVER)
    if not changed and not paused and not planned.maintenance:
        yield Finding("drift", State.OK, "What is rolled out is what the catalogue says.")


def _lives(pid: int | None) -> bool:
    import psutil

    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
