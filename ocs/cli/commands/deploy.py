"""`ocs deploy`: roll the catalogue out, sending only what changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ocs import projects
from ocs.cli.arguments import JobIds
from ocs.cli.doctor import delivery
from ocs.cli.person import person
from ocs.cli.render.difference import changed_paths, diff, show_diff
from ocs.cli.render.output import Mode, answer, err, fail, say, table, tell
from ocs.errors import OcsError, Problem, StoreError
from ocs.rules.wording import count_of
from ocs.service import session

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from deployments.catalogue import Catalogue
    from deployments.rollout import Plan, Step
    from ocs.spec import Job

FEW = 3
"""A rollout of fewer jobs is over before a progress bar is read."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example:  ocs deploy --plan")(deploy)


def deploy(
    jobs: JobIds = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would change; change nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove deployments whose file is gone.")] = False,
) -> None:
    """Roll out what changed in the catalogue, and regenerate prefect.yaml."""
    from deployments import prefect_yaml

    found = session.catalogue().checked()
    chosen = [session.pick(job, found.jobs, session.aliases_of(found)) for job in jobs or ()]
    if plan:
        planned = session.run(_plan(found, chosen))
    else:
        prefect_yaml.regenerate(found)
        planned = session.run(roll_out(found, chosen, prune=prune))
    _show(planned, done=not plan, prune=prune)


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
    return NotAllRolledOut(said, hint=f"ocs jobs edit {steps[0].job_id}", problems=problems)


async def roll_out(
    found: Catalogue,
    only: Sequence[str] = (),
    *,
    prune: bool = False,
    resume: bool = False,
    api_url: str | None = None,
) -> Plan:
    """Plan, apply with progress, and dispatch jobs that run at their first rollout.

    `resume` also unpauses what a person has paused in the UI.
    """
    async with session.server(api_url) as client:
        from deployments import rollout

        planned = await rollout.plan(client, found, only, retired=await retired_versions())
        changing = planned.having(rollout.Action.CREATE, rollout.Action.UPDATE)
        projects.remember(found.name, found.project)
        with _progress(len(changing)) as advance:
            done = await rollout.apply(client, planned, prune=prune, on_progress=lambda _: advance())
        changed = [found.jobs[step.job_id] for step in done.having(rollout.Action.CREATE, rollout.Action.UPDATE)]
        await _warn_of_targets(client, changed)
        return replace(done, steps=tuple([await _followed(client, step, found, resume=resume) for step in done.steps]))


async def _followed(client: PrefectClient, step: Step, found: Catalogue, *, resume: bool) -> Step:
    """Do what follows from a step: a pause is taken back, and a job whose time has come runs."""
    from deployments import rollout

    try:
        if resume and step.paused_in_ui and step.deployment_id:
            await rollout.resume(client, step.deployment_id)
        if step.action in (rollout.Action.CREATE, rollout.Action.UPDATE):
            await _dispatch_near(client, found.jobs[step.job_id])
            if step.run_now:
                await _run_now(client, found, step.job_id)
    except Exception as failed:
        if isinstance(failed, StoreError) or rollout.concerns_all(failed):
            raise
        return replace(step, action=rollout.Action.FAILED, why=f"was sent, and then: {rollout.told(failed)}")
    return step


async def take_back(job_id: str, project: str) -> None:
    """Remove a job's deployment and whatever waits of it; another project's job of the same id stays."""
    async with session.server() as client, session.store() as store:
        from deployments.compile import project_tag
        from ocs.service.deployed import by_id
        from ocs.service.stopping import stop_jobs
        from tasks.adapter.deployed import delete_deployment

        deployment = await by_id(client, job_id)
        if deployment is not None and project_tag(project) in deployment.tags:
            await stop_jobs(client, store, [job_id], person())
            await delete_deployment(client, deployment.id)


async def _run_now(client: PrefectClient, found: Catalogue, job_id: str) -> None:
    from ocs.service.running import dispatch

    async with session.store() as store:
        await dispatch(client, store, found.jobs[job_id], by=replace(person(), source="rollout"))


async def _dispatch_near(client: PrefectClient, job: Job) -> None:
    """A one-shot that is due before Prefect looks at new schedules again; made twice, it runs once."""
    from deployments.rollout import NEAR
    from ocs.rules.misfire import CatchUp
    from ocs.store.occurrences import dispatch_missed
    from tasks.adapter.publish import publish

    now = session.now()
    moment = job.schedule.moment if job.enabled and job.schedule else None
    if moment is None or abs(moment - now) >= NEAR:
        return
    async with session.store() as store:
        await publish(client, store, await dispatch_missed(store, job.id, CatchUp((moment,)), now))


async def _warn_of_targets(client: PrefectClient, jobs: Sequence[Job]) -> None:
    """A target that is missing is no reason not to roll out: it may be made later, and what waits is sent then."""
    if any(job.deliver and job.deliver.named for job in jobs):
        async for finding in delivery.targets(client):
            tell(f"{finding.finding} Mend it with: {finding.mend}")


async def _plan(found: Catalogue, only: Sequence[str]) -> Plan:
    async with session.server() as client:
        from deployments import rollout

        return await rollout.plan(client, found, only, retired=await retired_versions())


async def retired_versions() -> dict[str, str]:
    """What was rolled out of jobs that their lifecycle has removed since."""
    from ocs.store.lifecycle import retired

    async with session.store() as store:
        return await retired(store)


def _show(planned: Plan, *, done: bool, prune: bool) -> None:
    """Say what was, or would be, done to each job."""
    from deployments.rollout import Action

    changed = [step for step in planned.steps if step.action is not Action.UNCHANGED]
    steps = [
        {
            "job": step.job_id,
            "action": str(step.action),
            "changes": changed_paths(step),
            "edited_in_ui": list(step.edited_in_ui),
            "paused_in_ui": step.paused_in_ui,
            "diff": diff(step) if step.action is Action.UPDATE else "",
            "why": step.why,
        }
        for step in planned.steps
    ]

    def people() -> None:
        if changed:
            table(("JOB", "ACTION", ""), [(step.job_id, step.action, _remark(step, prune=prune)) for step in changed])
        for step in planned.having(Action.UPDATE) if not done else ():
            show_diff(diff(step))
        for step in planned.steps:
            if step.paused_in_ui:
                tell(f"{step.job_id} was paused in the UI and stays paused; go on with: ocs jobs enable {step.job_id}")
        if planned.maintenance:
            how = "was set back" if done else "would be set back"
            say(f"The deployment that keeps the house {how}: {', '.join(planned.maintenance)}.")
        gone = planned.having(Action.REMOVE)
        sent = planned.having(Action.CREATE, Action.UPDATE)
        verb, removed = ("Rolled out", "Removed") if done else ("Would change", "Would remove")
        of_all = f"{len(sent)} of {len(planned.steps) - len(gone)} jobs of {planned.project}."
        say(f"{verb}: {of_all}" + (f"  {removed}: {len(gone)}." if prune and gone else ""))

    payload = {"project": planned.project, "applied": done, "steps": steps, "maintenance": list(planned.maintenance)}
    if not done or (failed := not_rolled_out(planned)) is None:
        answer(payload, people)
        return
    if not Mode.json:
        people()
    raise typer.Exit(fail(failed, payload))


def _remark(step: Step, *, prune: bool) -> str:
    if step.action == "remove" and not prune:
        return "its file is gone; remove it with --prune"
    if step.action == "done":
        return f"it has run and was removed; take its file away with: ocs jobs remove {step.job_id}"
    if step.why:
        return step.why
    edited = f"set back what was edited in the UI: {', '.join(step.edited_in_ui)}" if step.edited_in_ui else ""
    return edited or ", ".join(changed_paths(step))


@contextlib.contextmanager
def _progress(total: int) -> Generator[Callable[[], None]]:
    """A progress bar on standard error, where a rollout is long enough to need one."""
    from rich.progress import Progress

    with Progress(console=err, transient=True, disable=Mode.json or total < FEW or not err.is_terminal) as bar:
        task = bar.add_task("Rolling out", total=total)
        yield lambda: bar.advance(task)
