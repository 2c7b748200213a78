"""The maintenance flow: recovers, catches up, looks for jobs that are quiet, ends jobs that are done, and prunes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from ocs import settings
from tasks.adapter.publish import publish_leftovers
from tasks.delivery.watch import watch
from tasks.recovery.catch_up import catch_up
from tasks.recovery.lifecycle import end_jobs
from tasks.recovery.recover import recover
from tasks.recovery.retention import prune

Done = dict[str, int]
"""What a chore did, in words, and how often."""


@task(name="recover", task_run_name="recover", cache_policy=NO_CACHE, persist_result=False)
async def recovered() -> Done:
    """Publish what is left in the outbox, and end or requeue orphaned runs."""
    await publish_leftovers()
    found = await recover()
    return {"runs recovered": found.crashed, "flow runs reconciled": found.reconciled}


@task(name="catch-up", task_run_name="catch-up", cache_policy=NO_CACHE, persist_result=False)
async def caught_up() -> Done:
    """Dispatch occurrences that never became runs."""
    return {"missed occurrences dispatched": await catch_up()}


@task(name="watch", task_run_name="watch", cache_policy=NO_CACHE, persist_result=False)
async def watched() -> Done:
    """Tell of jobs that are quiet, late or still not well."""
    return {"incidents told": await watch()}


@task(name="lifecycle", task_run_name="lifecycle", cache_policy=NO_CACHE, persist_result=False)
async def ended() -> Done:
    """Pause or remove jobs that are done."""
    return {"jobs ended": await end_jobs()}


@task(name="prune", task_run_name="prune", cache_policy=NO_CACHE, persist_result=False)
async def pruned() -> Done:
    """Delete records that are past their time."""
    return {"records deleted": (await prune()).total}


CHORES: dict[str, Callable[[], Awaitable[Done]]] = {
    "recover": recovered,
    "catch-up": caught_up,
    "watch": watched,
    "lifecycle": ended,
    "prune": pruned,
}


@flow(
    name=settings.MAINTENANCE_FLOW,
    description="Keeps the house: what a crash left, what was missed, jobs that are done, records that are old.",
    persist_result=False,
)
async def maintain() -> State:
    """One round. Our workers do the first three by themselves as well; repeating any of it is harmless.

    It does every chore, even when another one fails; the task of each says what went wrong.
    """
    done: list[str] = []
    failed: list[str] = []
    for name, chore in CHORES.items():
        try:
            done += [f"{count} {what}" for what, count in (await chore()).items() if count]
        except Exception:
            failed.append(name)
    said = f"{', '.join(done)}." if done else "All was in order."
    if failed:
        return Failed(message=f"Not all was done; see {', '.join(failed)}. {said if done else ''}".strip())
    return Completed(message=said)
