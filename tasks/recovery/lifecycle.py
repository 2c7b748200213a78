"""Lifecycle: pause or remove jobs in Prefect that are done. Repeating it is harmless."""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger

from ocs.rules.lifecycle import Fate, fate
from ocs.spec import Job
from ocs.store import Store, lifecycle
from tasks.adapter import runtime
from tasks.adapter.deployed import Deployed, delete_deployment, deployed_jobs
from tasks.recovery.isolation import Isolation


def may_end(job: Job) -> bool:
    """Whether a run can be the last one of this job."""
    one_shot = job.schedule is not None and job.schedule.at is not None
    return one_shot or job.lifecycle.delete_after_run or job.lifecycle.ttl is not None


async def end_jobs() -> int:
    """Pause or remove every rolled out job that is done; returns how many.

    Raises:
        ExceptionGroup: some jobs failed; the others are done.
    """
    store = await runtime.store()
    ended = 0
    isolation = Isolation("Ending jobs that are done")
    async with get_client() as client:
        concerned = [deployed async for deployed in deployed_jobs(client) if may_end(deployed.job)]
        for deployed in concerned:
            with isolation.job(deployed.job.id):
                ended += await end_job(client, store, deployed) is not Fate.KEEP
    isolation.raise_failures()
    return ended


async def end_job(client: PrefectClient, store: Store, deployed: Deployed) -> Fate:
    """Pause or remove the job if that is its fate."""
    job, deployment = deployed.job, deployed.deployment
    past = await lifecycle.past_of(store, job, since=deployed.created)
    decided = fate(job, past, enabled=deployed.enabled, now=runtime.clock())
    try:
        if decided is Fate.DISABLE:
            await client.pause_deployment(deployment.id)
        elif decided is Fate.REMOVE:
            await remove_job(client, store, job.id, deployment, why="its lifecycle says so")
    except ObjectNotFound:
        return Fate.KEEP
    if decided is not Fate.KEEP:
        get_logger(__name__).info("The job %s is done: %s", job.id, decided)
    return decided


async def remove_job(
    client: PrefectClient, store: Store, job_id: str, deployment: DeploymentResponse, *, why: str
) -> None:
    """Delete the job's deployment and what it owns, and remember what was rolled out, so that it does not come back.

    Raises:
        ObjectNotFound: it was deleted meanwhile.
    """
    await delete_deployment(client, deployment.id)
    await lifecycle.note_retired(store, job_id, deployment.version, why=why, now=runtime.clock())
