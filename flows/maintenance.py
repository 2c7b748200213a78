"""The flow that keeps the house: what a crash left, what was missed, jobs that are done, records that are old."""

from __future__ import annotations

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from ocs import settings
from tasks.catch_up import catch_up
from tasks.lifecycle import end_jobs
from tasks.publish import publish_leftovers
from tasks.recover import Recovered, recover
from tasks.retention import prune


@task(name="recover", task_run_name="recover", cache_policy=NO_CACHE, persist_result=False)
async def recovered() -> Recovered:
    """Send what was left unsent, and end or give back what a worker that is gone has left."""
    await publish_leftovers()
    return await recover()


@task(name="catch-up", task_run_name="catch-up", cache_policy=NO_CACHE, persist_result=False)
async def caught_up() -> int:
    """Dispatch occurrences that never became runs."""
    return await catch_up()


@task(name="lifecycle", task_run_name="lifecycle", cache_policy=NO_CACHE, persist_result=False)
async def ended() -> int:
    """Pause or remove jobs that are done."""
    return await end_jobs()


@task(name="prune", task_run_name="prune", cache_policy=NO_CACHE, persist_result=False)
async def pruned() -> int:
    """Delete records that are past their time."""
    gone = await prune()
    return gone.runs + gone.keys + gone.dispatches + gone.deliveries + gone.messages


@flow(
    name=settings.MAINTENANCE_FLOW,
    description="Keeps the house: what a crash left, what was missed, jobs that are done, records that are old.",
    persist_result=False,
)
async def maintain() -> State:
    """One round. Workers of this product do the first two by themselves as well; repeating any of it is harmless."""
    found = await recovered()
    told = {
        "runs recovered": found.crashed,
        "flow runs settled": found.settled,
        "missed occurrences dispatched": await caught_up(),
        "jobs ended": await ended(),
        "records deleted": await pruned(),
    }
    done = [f"{count} {what}" for what, count in told.items() if count]
    return Completed(message=f"{', '.join(done)}." if done else "All was in order.")
