"""Finalize: record how the run ended and everything that follows from it, then send what follows."""

from __future__ import annotations

import random
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient
from prefect.logging import get_run_logger

from ocs.rules.dispatch import DispatchContext, DispatchResult
from ocs.spec import Job
from ocs.store import Outcome, finish, queries
from tasks import artifact
from tasks.adapter import runtime
from tasks.adapter.children import Children, Seen, children_of
from tasks.adapter.deployed import Deployed, job_in
from tasks.adapter.naming import page_of
from tasks.adapter.publish import publish
from tasks.adapter.transient import retry_transient
from tasks.conditions import evaluate
from tasks.delivery.send import deliver_soon
from tasks.recovery.lifecycle import end_job, may_end, remove_job


@task(name="finalize", task_run_name="finalize", cache_policy=NO_CACHE, persist_result=False)
async def finalize(job: Job, context: DispatchContext, result: DispatchResult, seen: Seen | None = None) -> Outcome:
    """Finish and publish. Dying between the two is harmless: what is left in the outbox is published later.

    `seen` are the children that were looked at when the run began, which a short run believes.

    It waits for a store or a server that is away: what the job did must not be lost.
    """
    client = runtime.flow_client()
    children = Children()
    if not result.skip_children:
        children = await retry_transient("look up the job's children", partial(children_of, client, job.id, seen))
    for problem in children.broken:
        get_run_logger().warning("%s", problem)
    # Spreads retries; nothing secret hangs on it.
    spread = random.uniform(-1, 1)  # noqa: S311
    link = page_of(context.flow_run_id)
    answers = await evaluate.answers(children.jobs, result.ended_as, result.content)

    async def finished() -> Outcome:
        store, now = await runtime.store(), runtime.clock()
        return await finish(
            store, job, context, result, children=children.jobs, answers=answers, now=now, spread=spread, link=link
        )

    outcome = await retry_transient("record how the run ended", finished)
    try:
        await _follow(client, job, context, result, outcome, children)
    except Exception:
        # The run has ended as recorded, though something else goes wrong here.
        get_run_logger().exception("What follows from the run is left to the worker's next tick")
    return outcome


async def _follow(
    client: PrefectClient,
    job: Job,
    context: DispatchContext,
    result: DispatchResult,
    outcome: Outcome,
    children: Children,
) -> None:
    """Publish, send and show what the run's end has caused."""
    own = {job.id: deployment} if (deployment := runtime.current_flow_run().deployment_id) else {}
    following = (*outcome.consequences, *outcome.released)
    sent = await publish(client, await runtime.store(), following, deployments={**children.deployments, **own})
    sent_to = await deliver_soon(context.run_id) if outcome.targets else ()
    for delivery in sent_to:
        if delivery.last_error:
            get_run_logger().warning("%s was not told: %s", delivery.target, delivery.last_error)
    dispatch = context.dispatch
    came_from = await queries.forebears(await runtime.store(), (dispatch.source_run, dispatch.retry_of))
    await artifact.show(client, job, context, result, outcome, sent, sent_to, came_from)
    await _end_job(client, job, retire=result.retire_job and not outcome.stale)


async def _end_job(client: PrefectClient, job: Job, *, retire: bool) -> None:
    """End a job that is done at once where that can be; otherwise maintenance does, or its next run."""
    deployment_id = runtime.current_flow_run().deployment_id
    if deployment_id is None or not (retire or may_end(job)):
        return
    try:
        deployment = await client.read_deployment(deployment_id)
        if retire:
            await remove_job(client, await runtime.store(), job.id, deployment, why="it has served its purpose")
        elif (as_deployed := job_in(deployment.parameters)) is not None:
            await end_job(client, await runtime.store(), Deployed(as_deployed, deployment))
    except Exception as failed:
        get_run_logger().warning("The job's end is left to maintenance: %r", failed)
