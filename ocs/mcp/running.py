"""Tools that run jobs as they are rolled out, and end runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ocs.mcp.answers import done
from ocs.mcp.arguments import JobId, RunId
from ocs.mcp.caller import attribution
from ocs.rules.wording import SHORT
from ocs.service import session, stopping
from ocs.service.listener import Deaf


async def run_job(
    job: JobId,
    after_running: Annotated[
        bool, Field(description="If the job runs already, begin when that run has ended.")
    ] = False,
) -> str:
    """Run a job now, beside its schedule, as it is rolled out. Answers at once; follow it with show_run.

    A job that asks for approval waits until a person agrees. Nothing of the job can be changed for this run: propose a
    change of the job instead, or ask a person.
    """
    from ocs.service.running import Outcome, in_the_way, run_now

    async with session.server() as client, session.store() as store:
        started = await run_now(
            client, store, job, {}, wait=False, queue=after_running, by=attribution(), listener=Deaf()
        )
    if started.outcome is Outcome.SKIPPED and started.run is not None:
        raise in_the_way(started.run)
    facts = {
        "job": started.job,
        "outcome": str(started.outcome),
        "dispatch": started.dispatch,
        "ui_url": started.ui_url,
    }
    return done(f"Dispatched {started.job}; see it with show_run {str(started.dispatch)[:SHORT]}.", facts)


async def cancel_run(run: RunId) -> str:
    """End a run that is at work: all that it started is ended, and nothing is retried. Waits until it has ended."""
    async with session.store() as store:
        ended = await stopping.cancel_run(store, run, by=attribution())
    return done(f"Cancelled run {str(ended.id)[:SHORT]} of {ended.job_id}.", {"run": ended.id, "status": ended.status})
