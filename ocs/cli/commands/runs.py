"""`ocs runs`: what ran, why, and what it said."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.arguments import Last, RunId, SomeJob, moment_of
from ocs.cli.person import Ear, person
from ocs.cli.render.output import Mode, answer, out, print_json, say, table, tell
from ocs.cli.render.story import show_story
from ocs.cli.render.views import run_views, said
from ocs.rules.wording import SHORT, first_line, local, took
from ocs.service import reading, session
from ocs.service.records import Status, as_json
from ocs.service.story import story_of
from ocs.service.which_run import the_run

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient

    from ocs.store.tables import Run

app = typer.Typer()
PAGE = 200
LOOK_AGAIN = 0.5
LAST_LINE = "Finished in state "
"""What Prefect's log of a run ends with. Lines come in batches, some after the run has ended."""
LAST_LOOKS = 20
"""How often an ended run's log is looked at for its last line."""


@app.command("list", epilog="Example:  ocs runs list --job nightly-report --status error --since 7d")
def list_runs(
    job: SomeJob = None,
    status: Annotated[list[Status] | None, typer.Option(help="Only with this status; repeatable.")] = None,
    since: Annotated[str | None, typer.Option(help="Only newer than this, such as 2h or 7d, or a moment.")] = None,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")] = 20,
) -> None:
    """List runs, newest first."""
    runs = session.run(_list(job, status or [], moment_of(since), count))

    def people() -> None:
        if not runs:
            asked = job or status or since
            say("No runs like that." if asked else "No runs yet. Make one:  ocs jobs run hello --wait")
            return
        rows = [
            (
                run["id"][:SHORT],
                run["job"],
                run["status"],
                run["kind"],
                run["attempt"],
                local(run["started_at"]),
                took(run["duration_s"]),
                first_line(said(run)),
            )
            for run in runs
        ]
        table(("RUN", "JOB", "STATUS", "KIND", "TRY", "STARTED", "TOOK", ""), rows, spare=("", "TRY", "KIND", "TOOK"))

    answer({"runs": runs}, people)


@app.command(epilog="Example:  ocs runs show 3f2a9c1d")
def show(run: RunId = None, last: Last = False) -> None:
    """Tell the whole story of a run: why it ran, how it ended, what followed."""

    async def told() -> tuple[Run, dict[str, Any]]:

        async with session.store() as store:
            chosen = await the_run(store, run, last=last)
            return chosen, await story_of(store, chosen)

    chosen, story = session.run(told())
    answer({"run": story}, lambda: show_story(chosen, story))


@app.command(epilog="Example:  ocs runs logs 3f2a9c1d --follow")
def logs(
    run: RunId = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the run has ended.")] = False,
    last: Last = False,
) -> None:
    """Print a run's log as Prefect has it."""

    async def printed() -> list[dict[str, Any]]:

        async with session.server() as client, session.store() as store:
            chosen = await the_run(store, run, last=last)
            if follow:
                return await _follow_log(client, chosen)
            lines = await _log_lines(client, chosen.flow_run_id, 0)
            _show_lines(lines)
            return lines

    found = session.run(printed())
    if not found:
        tell("Prefect has no log of this run (yet).")
    answer({"logs": found}, lambda: None)


@app.command(epilog="Example:  ocs runs output 3f2a9c1d --stderr")
def output(
    run: RunId = None,
    stderr: Annotated[bool, typer.Option("--stderr", help="The errors instead.")] = False,
    last: Last = False,
) -> None:
    """Print all a run said, as it said it; from its file when it was too long for the store."""

    async def found() -> reading.Output:
        async with session.store() as store:
            return await reading.output(store, run, "stderr" if stderr else "stdout", last=last)

    said = session.run(found())
    if said.is_running:
        short = str(said.run_id)[:SHORT]
        tell(f"It has not ended, and this is kept when it has.  As it comes: ocs runs logs {short} --follow")
    if said.is_cut:
        tell(f"Of {said.size} bytes the store kept these; a smaller output.offload in the job keeps all in a file.")
    if Mode.json:
        about = {"run": str(said.run_id), "stream": said.stream, "bytes": said.size, "path": said.path}
        print_json({"ok": True, **about, "output": said.text()})
        return
    with said.open() as everything:
        sys.stdout.flush()
        shutil.copyfileobj(everything, sys.stdout.buffer)
        if said.kept and said.path is None:
            # The store keeps no blank end, and a prompt should not stand beside the last word.
            sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()


@app.command(epilog="Example:  ocs runs cancel 3f2a9c1d")
def cancel(run: RunId = None, last: Last = False) -> None:
    """Stop a running run: everything it started is ended, nothing is retried."""
    ended = session.run(_cancel(run, last=last))
    answer({"run": ended}, lambda: say(f"Cancelled run {ended['id'][:SHORT]} of {ended['job']}."))


async def _list(job: str | None, wanted: list[Status], since: datetime | None, count: int) -> list[dict[str, Any]]:
    async with session.store() as store:
        found = await reading.runs(store, job=job, status=wanted, since=since, limit=count)
        return [as_json(run) for run in found]


async def _cancel(given: str | None, *, last: bool) -> dict[str, Any]:
    from ocs.service.stopping import cancel_run

    async with session.store() as store:
        chosen = await the_run(store, given, last=last)
        ended = await cancel_run(store, str(chosen.id), by=person())
        return (await run_views(store, [ended]))[0]


async def _follow_log(client: PrefectClient, run: Run) -> list[dict[str, Any]]:
    """Show a log until its run has ended."""

    import asyncio

    from ocs.service.contact import contact

    lines: list[dict[str, Any]] = []
    looks_left = LAST_LOOKS
    with contact(client, f"See later: ocs runs show {str(run.id)[:SHORT]}", Ear()) as server:
        while True:
            fresh = await server.ask(partial(_log_lines, client, run.flow_run_id, len(lines)), otherwise=[])
            lines += fresh
            _show_lines(fresh)
            if looks_left == 0 or any(_is_last(line) for line in fresh):
                return lines
            if await server.ask(partial(_has_ended, client, run.flow_run_id), otherwise=False):
                looks_left -= 1
            await asyncio.sleep(LOOK_AGAIN)


def _show_lines(lines: list[dict[str, Any]]) -> None:
    if not Mode.json:
        for line in lines:
            say(f"{local(line['at'])}  {line['level']:<7}  {line['message']}")
        out.file.flush()


async def _log_lines(client: PrefectClient, flow_run_id: UUID, offset: int) -> list[dict[str, Any]]:
    """What its log has from that line on."""
    import logging

    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.client.schemas.sorting import LogSort

    mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id]))
    found: list[dict[str, Any]] = []
    while page := await client.read_logs(mine, limit=PAGE, offset=offset + len(found), sort=LogSort.TIMESTAMP_ASC):
        found += [
            {
                "at": line.timestamp,
                "level": logging.getLevelName(line.level),
                "logger": line.name,
                "message": line.message,
            }
            for line in page
        ]
    return found


def _is_last(line: Mapping[str, Any]) -> bool:
    return line["logger"] == "prefect.flow_runs" and line["message"].startswith(LAST_LINE)


async def _has_ended(client: PrefectClient, flow_run_id: UUID) -> bool:
    state = (await client.read_flow_run(flow_run_id)).state
    return state is None or state.is_final()
