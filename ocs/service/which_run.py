"""Which run is meant: by an id of its own, of its dispatch, flow run or task run, by its job, or as the newest."""

from __future__ import annotations

from string import hexdigits
from typing import TYPE_CHECKING
from uuid import UUID

from ocs.errors import NotFound, ServerUnreachable, UsageError
from ocs.service import session

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from ocs.store import Store
    from ocs.store.tables import Run

SHORTEST = 4
NEWEST = 200
"""So many are looked through for one that begins so."""
NONE_YET = "Make one: ocs jobs run"


async def the_run(store: Store, given: str | None, *, last: bool = False) -> Run:
    """The run that `given` names, or the newest of all.

    Raises:
        UsageError: neither or both are asked for.
        NotFound: there is none, what is named waits still, or several begin so.
    """
    from ocs.store import queries

    if (given is None) is not last:
        raise UsageError("Name one run, or say --last.", hint="See the newest: ocs runs list")
    if given is None:
        return _newest(await queries.runs(store, limit=1), "any job")
    jobs = await queries.known_jobs(store)
    if given in jobs:
        return _newest(await queries.runs(store, job=given, limit=1), given)
    try:
        return await queries.run_by_prefix(store, given)
    except NotFound as unknown:
        if (run := await _by_prefect(store, given)) is not None:
            return run
        begun = [job for job in [*jobs, *session.catalogue_ids()] if given and job.startswith(given)]
        if not begun:
            raise _waits(await queries.waiting_by_any_id(store, given)) or unknown from None
        job = session.pick(given, begun)
        return _newest(await queries.runs(store, job=job, limit=1), job)


def _newest(found: list[Run], job: str) -> Run:
    if not found:
        raise NotFound(f"No run of {job} yet.", hint=f"{NONE_YET} {'hello' if job == 'any job' else job} --wait")
    return found[0]


def _waits(jobs: list[str]) -> NotFound | None:
    """What is said of a dispatch that is no run yet."""
    if not jobs:
        return None
    return NotFound(f"That is a dispatch of {jobs[0]}, which has not begun.", hint="See what waits: ocs queue list")


async def _by_prefect(store: Store, given: str) -> Run | None:
    """The run of a task run, or of an earlier flow run of a dispatch that had to wait: only Prefect knows these ids."""
    from ocs.rules.origin import named_in
    from ocs.store import queries

    try:
        async with session.server() as client:
            asked = await _whole(client, given.strip())
            flow_run = await client.read_flow_run(await _flow_run_of(client, asked))
    except (ValueError, ServerUnreachable, NotFound):
        return None
    dispatch = named_in(flow_run.idempotency_key)
    for known in (flow_run.id, dispatch[0] if dispatch else None):
        try:
            return await queries.run_by_prefix(store, str(known))
        except NotFound:
            continue
    return None


async def _whole(client: PrefectClient, given: str) -> UUID:
    """The id that it is; or the flow run whose id, or whose task run's, begins so, among the newest of ours.

    Raises:
        ValueError: it is no id, or begins none of these, or several.
    """
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
    from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort

    try:
        return UUID(given)
    except ValueError:
        digits = given.replace("-", "").lower()
        if len(digits) < SHORTEST or not all(digit in hexdigits for digit in digits):
            raise
    ours = FlowRunFilter(tags=FlowRunFilterTags(all_=["ocs"]))
    flow_runs = await client.read_flow_runs(
        flow_run_filter=ours, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=NEWEST
    )
    task_runs = await client.read_task_runs(
        flow_run_filter=ours, sort=TaskRunSort.EXPECTED_START_TIME_DESC, limit=NEWEST
    )
    found = {each.id for each in flow_runs if each.id.hex.startswith(digits)}
    # Ids of task runs begin with their time: those of one run often begin alike.
    found |= {each.flow_run_id for each in task_runs if each.flow_run_id and each.id.hex.startswith(digits)}
    (flow_run,) = found
    return flow_run


async def _flow_run_of(client: PrefectClient, asked: UUID) -> UUID:
    from prefect.exceptions import ObjectNotFound

    try:
        return (await client.read_task_run(asked)).flow_run_id or asked
    except ObjectNotFound:
        return asked
