"""Rolling a catalogue out with everything that follows from it, and taking a job back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ocs import projects
from ocs.errors import OcsError, Problem, StoreError
from ocs.rules.attribution import Attribution
from ocs.rules.wording import count_of
from ocs.service import session
from ocs.service.listener import Listener
from ocs.service.missing import missing
from ocs.service.running import dispatch
from ocs.service.stopping import stop_jobs

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from deployments.catalogue import Catalogue
    from deployments.rollout import Plan, Step
    from ocs.spec import Job
    from ocs.store import Store

SOURCE = "rollout"
"""Where a run comes from that a job has at its first rollout."""


NAMED = 3
"""So many jobs that could not be rolled out are named with what mends them."""


class NotAllRolledOut(OcsError):
    """Some jobs could not be rolled out; the others were."""

    code = "not_all_rolled_out"


def not_rolled_out(planned: Plan) -> NotAllRolledOut | None:
    """Which jobs were not, and why; None when all were."""
    from deployments.catalogue import JOBS
    from deployments.rollout import Action

    steps = planned.having(Action.FAILED, Action.OVER)
    if not steps:
        return None
    problems = [Problem("", f"{step.job_id} {step.why}", str(JOBS / f"{step.job_id}.yaml")) for step in steps]
    said = f"{count_of(len(steps), 'job')} could not be rolled out; the others were."
    edits = [f"ocs jobs edit {step.job_id}" for step in steps[:NAMED]]
    more = f"   and {len(steps) - NAMED} more" if len(steps) > NAMED else ""
    return NotAllRolledOut(said, hint="   ".join(edits) + more, problems=problems)


async def plan(client: PrefectClient, store: Store, found: Catalogue, only: Sequence[str] = ()) -> Plan:
    """What a rollout would do; nothing is sent.

    Raises:
        InvalidJob, NotFound, Refused: as `deployments.rollout.plan`.
    """
    from deployments import rollout
    from ocs.store.lifecycle import retired

    return await rollout.plan(client, found, only, retired=await retired(store))


async def roll_out(
    client: PrefectClient,
    store: Store,
    found: Catalogue,
    only: Sequence[str] = (),
    *,
    by: Attribution,
    listener: Listener,
    prune: bool = False,
    resume: bool = False,
    on_progress: Callable[[int, int], None] = lambda _sent, _of_all: None,
) -> Plan:
    """Plan, apply, and dispatch jobs that run at their first rollout. What was not taken, `not_rolled_out` tells.

    `resume` also unpauses what a person has paused in the UI. `on_progress` hears how many of how many were sent.

    Raises:
        InvalidJob, NotFound, Refused: as for `plan`; nothing was sent.
    """
    from deployments import rollout

    planned = await plan(client, store, found, only)
    total, sent = len(planned.having(rollout.Action.CREATE, rollout.Action.UPDATE)), 0

    def advance(_step: Step) -> None:
        nonlocal sent
        sent += 1
        on_progress(sent, total)

    on_progress(0, total)
    projects.remember(found.name, found.project)
    done = await rollout.apply(client, planned, prune=prune, on_progress=advance)
    changed = [found.jobs[step.job_id] for step in done.having(rollout.Action.CREATE, rollout.Action.UPDATE)]
    for lacking in await missing(client, changed):  # no reason not to roll out: it may be made later
        listener.note(f"{lacking.what} Mend it with: {lacking.mend}")
    steps = [await _followed(client, store, step, found, by=by, resume=resume) for step in done.steps]
    return replace(done, steps=tuple(steps))


async def take_back(client: PrefectClient, store: Store, job_id: str, project: str, by: Attribution) -> None:
    """Remove a job's deployment and whatever waits of it; another project's job of the same id stays."""
    from deployments.compile import project_tag
    from ocs.service.deployed import by_id
    from tasks.adapter.deployed import delete_deployment

    deployment = await by_id(client, job_id)
    if deployment is not None and project_tag(project) in deployment.tags:
        await stop_jobs(client, store, [job_id], by)
        await delete_deployment(client, deployment.id)


async def _followed(
    client: PrefectClient, store: Store, step: Step, found: Catalogue, *, by: Attribution, resume: bool
) -> Step:
    """Do what follows from a step: a pause is taken back, and a job whose time has come runs."""
    from deployments import rollout

    try:
        if resume and step.paused_in_ui and step.deployment_id:
            await rollout.resume(client, step.deployment_id)
        if step.action in (rollout.Action.CREATE, rollout.Action.UPDATE):
            job = found.jobs[step.job_id]
            await _dispatch_near(client, store, job)
            if step.run_now:
                await dispatch(client, store, job, by=Attribution(by.actor, SOURCE, session.now()))
    except Exception as failed:
        if isinstance(failed, StoreError) or rollout.concerns_all(failed):
            raise
        return replace(step, action=rollout.Action.FAILED, why=f"was sent, and then: {rollout.told(failed)}")
    return step


async def _dispatch_near(client: PrefectClient, store: Store, job: Job) -> None:
    """A one-shot that is due before Prefect looks at new schedules again; made twice, it runs once."""
    from deployments.rollout import NEAR
    from ocs.rules.misfire import CatchUp
    from ocs.store.occurrences import dispatch_missed
    from tasks.adapter.publish import publish

    now = session.now()
    moment = job.schedule.moment if job.enabled and job.schedule else None
    if moment is not None and abs(moment - now) < NEAR:
        await publish(client, store, await dispatch_missed(store, job.id, CatchUp((moment,)), now))
