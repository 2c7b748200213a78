"""Finalize: record how the run ended and everything that follows from it, then send what follows."""

from __future__ import annotations

import random

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from ocs.rules.dispatch import DispatchContext, DispatchResult
from ocs.spec import Job
from ocs.store import Outcome, finish
from tasks import artifact, host
from tasks.children import Children, children_of
from tasks.deliver import deliver_soon
from tasks.naming import page_of
from tasks.prepare import current_flow_run
from tasks.publish import publish


@task(name="finalize", task_run_name="finalize", cache_policy=NO_CACHE, persist_result=False)
async def finalize(job: Job, context: DispatchContext, result: DispatchResult) -> Outcome:
    """Finish and publish. Dying between the two is harmless: what is left in the outbox is published later."""
    client = host.flow_client()
    children = Children() if result.skip_children else await children_of(client, job.id)
    for problem in children.broken:
        get_run_logger().warning("%s", problem)
    store = await host.store()
    outcome = await finish(
        store,
        job,
        context,
        result,
        children=children.jobs,
        now=host.clock(),
        # Spreads retries; nothing secret hangs on it.
        spread=random.uniform(-1, 1),  # noqa: S311
        link=page_of(context.flow_run_id),
    )
    own = {job.id: deployment} if (deployment := current_flow_run().deployment_id) else {}
    sent = await publish(
        client, store, (*outcome.consequences, *outcome.let_go), deployments={**children.deployments, **own}
    )
    told = await deliver_soon(context.run_id) if outcome.tells else ()
    for delivery in told:
        if delivery.last_error:
            get_run_logger().warning("%s was not told: %s", delivery.target, delivery.last_error)
    await artifact.show(client, job, context, result, outcome, sent, told)
    return outcome
