"""A watchdog's check: it runs like a shell job, and a rule judges it by what was known before."""

from __future__ import annotations

from ocs.rules import watchdog
from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.watchdog import LONGEST_CHECK, Finding
from ocs.spec import Job, Watchdog
from ocs.store import queries
from tasks.adapter import runtime
from tasks.adapter.transient import retry_transient
from tasks.commands import run_command
from tasks.strategies.work import Work


async def run_watchdog(watched: Watchdog, work: Work) -> DispatchResult:
    """Check once, and raise an alarm at `alert`, else where the job sends notifications of failures."""
    job = work.job
    check = await run_command(watched.check, work, min(job.run.timeout, LONGEST_CHECK))
    if check.status is RunStatus.CANCELLED:
        return check

    async def last_finding() -> str | None:
        return await queries.last_finding(await runtime.store(), job.id)

    known = await retry_transient("look up what the watchdog found last", last_finding)
    decision = watchdog.decide(watched, check, known=Finding(known) if known else None, now=runtime.clock())
    return watchdog.result(watched, check, decision, (watched.alert,) if watched.alert else _own_targets(job))


def _own_targets(job: Job) -> tuple[str, ...]:
    return job.deliver.of_failures if job.deliver is not None and job.deliver.when != "never" else ()
