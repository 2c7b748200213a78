"""`ocs runs retry`: a further attempt that a person asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli import session
from ocs.cli.arguments import RunId, Settings, settings_of
from ocs.cli.render.output import SHORT
from ocs.errors import Refused

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables import Run


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example:  ocs runs retry 3f2a9c1d --wait")(retry)


def retry(
    run: RunId,
    values: Settings = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it and end with its outcome.")] = False,
) -> None:
    """Make a further attempt at what a run failed at, with the job as it is rolled out now. Asking twice makes one."""
    raise typer.Exit(session.run(_retry(run, settings_of(values), wait=wait)))


async def _retry(given: str, changes: dict[str, Any], *, wait: bool) -> int:
    from ocs.cli.commands.jobs_run import start
    from ocs.cli.deployed import deployed_job
    from ocs.store import queries

    async with session.store() as store:
        chosen = await queries.run_by_prefix(store, given)
        await _refuse_needless(store, chosen)
    async with session.server() as client:
        job = await deployed_job(client, chosen.job_id)
        if not job.enabled:
            raise Refused(f"{job.id} is disabled, so nothing of it is retried.", hint=f"Run it: ocs jobs run {job.id}")
        return await start(client, job, changes, wait=wait, after=chosen)


async def _refuse_needless(store: Store, run: Run) -> None:
    """A further attempt follows the last one, and only where something went wrong."""
    from ocs.store import queries

    short, again = str(run.id)[:SHORT], f"Run the job anew: ocs jobs run {run.job_id}"
    if not run.status.final:
        raise Refused(f"Run {short} of {run.job_id} has not ended yet.", hint=f"Stop it: ocs runs cancel {short}")
    if run.status in ("ok", "skipped"):
        raise Refused(f"Run {short} of {run.job_id} did not fail: it is {run.status}.", hint=again)
    if run.id in await queries.awaiting_retry(store, [run.id]):
        raise Refused(f"The next attempt after run {short} waits already.", hint="See it: ocs queue list")
    last = (await queries.attempts(store, run))[-1]
    if last.id != run.id:
        newest = str(last.id)[:SHORT]
        raise Refused(f"Run {short} was attempted again already, as run {newest}.", hint=f"See: ocs runs show {newest}")
