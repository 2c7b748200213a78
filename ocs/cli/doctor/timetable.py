"""What `ocs doctor` finds of times: jobs that are enabled, have never run, and never will."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ocs.cli.commands.jobs import states_of_jobs
from ocs.cli.doctor.project import Finding, State, failure
from ocs.errors import StoreError
from ocs.rules.occurrences import why_over
from ocs.service import session


async def schedules() -> AsyncIterator[Finding]:
    """Whether each enabled job still has a time to come. One that has had its turn need not."""
    if not session.has_project():
        return
    try:
        ran = await states_of_jobs()
    except StoreError:
        return  # which the check of the store has told
    for job in session.catalogue().jobs.values():
        if job.schedule is None or not job.enabled or job.on_event or job.id in ran:
            continue
        try:
            over = why_over(job.schedule, session.now())
        except Exception as failed:  # the other jobs are examined
            yield failure("schedules", failed)
            continue
        if over:
            yield Finding("schedules", State.PROBLEM, f"{job.id} {over}.", f"ocs jobs edit {job.id}")
