"""`ocs runs retry`: a further attempt that a person asks for."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ocs.cli.arguments import Last, RunId, Settings, settings_of
from ocs.cli.commands.jobs_run import answer_started
from ocs.cli.person import Ear, person
from ocs.service import session
from ocs.service.which_run import the_run

app = typer.Typer()


@app.command(epilog="Example:  ocs runs retry 3f2a9c1d --wait")
def retry(
    run: RunId = None,
    values: Settings = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it and end with its outcome.")] = False,
    last: Last = False,
) -> None:
    """Make a further attempt at what a run failed at, with the job as it is rolled out now. Asking twice makes one."""
    raise typer.Exit(session.run(_retry(run, settings_of(values), wait=wait, last=last)))


async def _retry(given: str | None, changes: dict[str, Any], *, wait: bool, last: bool) -> int:
    from ocs.service import running

    async with session.store() as store:
        failed = await running.retryable(store, str((await the_run(store, given, last=last)).id))
        async with session.server() as client:
            started = await running.retry(client, store, failed, changes, wait=wait, by=person(), listener=Ear())
            return await answer_started(store, started)
