"""`ocs jobs run` and `jobs cancel`: starting and stopping by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.arguments import JobId, Settings, SomeJobId, Tag, settings_of
from ocs.cli.follow import answer_end
from ocs.cli.person import Ear, person
from ocs.cli.render.output import answer, fail, say
from ocs.cli.render.views import run_views
from ocs.errors import UsageError
from ocs.rules.wording import count_of
from ocs.service import session, several

if TYPE_CHECKING:
    from ocs.service.running import Started
    from ocs.store import Store

WAIT = "Follow it and end with its outcome; follow the run that is at work where that keeps this one from beginning."
QUEUE = "Begin when the run that is at work has ended, whatever limits.overlap says."


app = typer.Typer()


@app.command("run", epilog="Example:  ocs jobs run nightly-report --wait --set run.timeout=20m")
def run_job(
    job: SomeJobId = None,
    tag: Tag = None,
    values: Settings = None,
    wait: Annotated[bool, typer.Option("--wait", help=WAIT)] = False,
    queue: Annotated[bool, typer.Option("--queue", help=QUEUE)] = False,
) -> None:
    """Run a job now, beside its schedule; values of --set are for this run only.

    While the job runs already, limits.overlap says what becomes of it; where that is skip, nothing is begun: wait for
    the run that is there (--wait), or have yours begin when that has ended (--queue).
    """
    several.either(job, tag)
    changes = settings_of(values)
    if job is not None:
        raise typer.Exit(session.run(_run(job, changes, wait=wait, queue=queue)))
    if wait:
        raise UsageError("--wait follows one job, and --tag may be several.", hint="See them: ocs runs watch")
    raise typer.Exit(session.run(_run_tagged(tag or "", changes, queue=queue)))


@app.command("cancel", epilog="Example:  ocs jobs cancel nightly-report")
def cancel(
    job: JobId,
    no_cascade: Annotated[bool, typer.Option("--no-cascade", help="Leave the jobs that run after it alone.")] = False,
) -> None:
    """End a job's running runs and withdraw its waiting ones. Its schedule goes on; ocs jobs disable ends that."""
    ended = session.run(_cancel(job, cascade=not no_cascade))

    def people() -> None:
        runs = ended["cancelled"]
        jobs = ", ".join(ended["jobs"])
        said = f"Cancelled {count_of(len(runs), 'run')}" if runs else "Nothing was running or waiting"
        say(f"{said} of {jobs}.  The schedule goes on; pause it with: ocs jobs disable {ended['job']}")

    answer(ended, people)


async def _run(given: str, changes: Mapping[str, Any], *, wait: bool, queue: bool) -> int:
    from ocs.service.running import run_now

    async with session.server() as client, session.store() as store:
        started = await run_now(client, store, given, changes, wait=wait, queue=queue, by=person(), listener=Ear())
        return await answer_started(store, started)


async def _run_tagged(tag: str, changes: Mapping[str, Any], *, queue: bool) -> int:
    from ocs.service.deployed import tagged_jobs
    from ocs.service.running import in_the_way, run_now

    async with session.server() as client, session.store() as store:

        async def begun(job_id: str) -> dict[str, Any]:
            started = await run_now(
                client, store, job_id, changes, wait=False, queue=queue, by=person(), listener=Ear()
            )
            if started.run is not None:
                raise in_the_way(started.run)
            return _said(started)

        done = await several.each(await tagged_jobs(client, tag), begun)
    if failure := done.failure():
        return fail(failure, {"jobs": list(done.by_job.values())})
    answer({"jobs": list(done.by_job.values())}, lambda: say(f"Dispatched {', '.join(done.by_job)}."))
    return 0


async def answer_started(store: Store, started: Started) -> int:
    """Tell what became of a wish that a job runs; returns the exit status."""
    from ocs.service.running import Outcome, in_the_way

    said = _said(started)
    if started.run is None:
        waits = {
            Outcome.QUEUED: ", and begins when the run that is at work has ended",
            Outcome.REPLACING: ", ends the run that is at work, and begins when nothing of that is left",
        }
        begins = waits.get(started.outcome, "")
        # The flow run it has so far ends as queued; it gets another when it begins.
        where = f"See it: ocs runs list --job {started.job}" if begins else started.ui_url or "It is sent later."
        answer(said, lambda: say(f"Dispatched {started.job} as {started.dispatch}{begins}.  {where}"))
        return 0
    (view,) = await run_views(store, [started.run])
    if started.outcome is Outcome.SKIPPED:
        return fail(in_the_way(started.run), {**said, "run": view})
    return answer_end(said, started.run, view, session.flow_run_link(started.run.flow_run_id))


def _said(started: Started) -> dict[str, Any]:
    return {
        "job": started.job,
        "dispatch": str(started.dispatch) if started.dispatch else None,
        "flow_run_id": str(started.flow_run_id) if started.flow_run_id else None,
        "ui_url": started.ui_url,
        "outcome": str(started.outcome),
    }


async def _cancel(given: str, *, cascade: bool) -> dict[str, Any]:
    from ocs.service.stopping import cancel_job

    async with session.server() as client, session.store() as store:
        ended = await cancel_job(client, store, given, cascade=cascade, by=person())
        cancelled = [str(flow_run_id) for flow_run_id in ended.flow_runs]
        return {"job": ended.job, "jobs": ended.jobs, "cancelled": cancelled, "withdrawn": ended.withdrawn}
