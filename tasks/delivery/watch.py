"""Watch: tell of jobs that are quiet or late, and again of those that are still not well. Repeating it is harmless."""

from __future__ import annotations

import asyncio
from datetime import datetime

from prefect.client.orchestration import get_client

from ocs import settings
from ocs.rules.expectation import Seen, newest_deadline, quiet_from
from ocs.rules.incident import Incident, Trouble, repeated
from ocs.spec import Job
from ocs.store import incidents
from ocs.store.incidents import Look
from ocs.timing import timing
from tasks.adapter import runtime
from tasks.adapter.deployed import Deployed, job_in, tagged_deployments
from tasks.delivery.send import deliver_leftovers
from tasks.recovery.isolation import Isolation


async def watch() -> int:
    """Look at every job that is watched and enabled; returns of how many something was told.

    A job that is paused, gone, or asks for nothing any more is forgotten: it counts anew when it comes back.

    Raises:
        ExceptionGroup: some jobs failed; the others were looked at.
    """
    store, now = await runtime.store(), runtime.clock()
    jobs, unreadable = await _watched_jobs()
    await incidents.watch_no_others(store, {*jobs, *unreadable}, now)
    if not jobs:
        return 0
    known = await incidents.watch(store, jobs.keys(), now)
    open_ = await incidents.told_incidents(store)
    isolation = Isolation("Looking for quiet jobs")
    told = 0
    for job_id, job in jobs.items():
        with isolation.job(job_id):
            found = await _look(job, known[job_id], open_.get(job_id), now)
            if not found.is_empty:
                told += await incidents.look(store, job, found, now)
    if told:
        await deliver_leftovers()
    isolation.raise_failures()
    return told


async def _watched_jobs() -> tuple[dict[str, Job], set[str]]:
    """Those that are enabled, and the ids of those whose documents cannot be read: nothing is concluded from that."""
    jobs: dict[str, Job] = {}
    unreadable: set[str] = set()
    async with get_client() as client:
        async for deployment in tagged_deployments(client, "ocs", settings.WATCHED):
            job = job_in(deployment.parameters)
            if job is None:
                unreadable.add(deployment.name)
            elif job.is_watched and _runs(Deployed(job, deployment)):
                jobs[job.id] = job
    return jobs, unreadable


def _runs(deployed: Deployed) -> bool:
    """Whether nobody has switched it off, or one of its schedules."""
    return deployed.enabled and all(schedule.active for schedule in deployed.deployment.schedules)


async def _look(job: Job, seen: Seen, incident: Incident | None, now: datetime) -> Look:
    """Computed beside the event loop: a schedule may take long."""
    async with asyncio.timeout(timing().request.total_seconds()):
        return await asyncio.to_thread(_found, job, seen, incident, now)


def _found(job: Job, seen: Seen, incident: Incident | None, now: datetime) -> Look:
    quiet = quiet_from(job, seen)
    is_news = quiet is not None and quiet <= now and not (incident and Trouble.QUIET in incident.troubles)
    again = bool(incident and job.deliver and repeated(incident, job.deliver, now))
    return Look(seen, quiet if is_news else None, newest_deadline(job, seen, now), again)
