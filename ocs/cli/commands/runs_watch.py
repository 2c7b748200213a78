"""`ocs runs watch`: what runs and ends, as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.arguments import SomeJob
from ocs.cli.render.output import Mode, drawn_table, out, say
from ocs.cli.render.views import run_views, said
from ocs.errors import UsageError
from ocs.rules.wording import SHORT, first_line, local, took
from ocs.service import session

if TYPE_CHECKING:
    from rich.table import Table

    from ocs.store import Store

LOOK_AGAIN = 0.5


app = typer.Typer()


@app.command(epilog="Example:  ocs runs watch --job nightly-report")
def watch(
    job: SomeJob = None,
    count: Annotated[int, typer.Option("-n", min=1, max=200, help="How many of the newest.")] = 15,
) -> None:
    """Watch runs begin and end until Ctrl-C: a live table, or one line for each change where there is no terminal."""
    if Mode.json:
        raise UsageError("ocs runs watch has no end, so it cannot be one JSON document.", hint="Use: ocs runs list")
    session.run(_watch(job, count))


async def _watch(job: str | None, count: int) -> None:
    async with session.store() as store:
        chosen = await session.pick_ever_run(store, job) if job else None
        await (_live_table(store, chosen, count) if out.is_terminal else _lines(store, chosen, count))


async def _live_table(store: Store, job: str | None, count: int) -> None:
    import asyncio

    from rich.live import Live

    with Live(console=out, auto_refresh=False) as live:
        while True:
            live.update(_table(await _newest(store, job, count), await _waiting(store)), refresh=True)
            await asyncio.sleep(LOOK_AGAIN)


async def _lines(store: Store, job: str | None, count: int) -> None:
    import asyncio

    seen: dict[str, str] = {}
    while True:
        for run in reversed(await _newest(store, job, count)):
            if seen.get(run["id"]) != run["status"]:
                seen[run["id"]] = run["status"]
                at = local(run["finished_at"] or run["started_at"])
                say(f"{at}  {run['id'][:SHORT]}  {run['job']}  {run['status']}  {first_line(said(run))}".rstrip())
        out.file.flush()
        await asyncio.sleep(LOOK_AGAIN)


async def _newest(store: Store, job: str | None, count: int) -> list[dict[str, Any]]:
    from ocs.store import queries

    return await run_views(store, await queries.runs(store, job=job, limit=count))


async def _waiting(store: Store) -> int:
    from ocs.store import queries

    return len(await queries.queue(store))


def _table(runs: list[dict[str, Any]], waiting: int) -> Table:
    rows = [
        (run["id"][:SHORT], run["job"], run["status"], local(run["started_at"]), took(run["duration_s"]), _words(run))
        for run in runs
    ]
    drawn = drawn_table(("RUN", "JOB", "STATUS", "STARTED", "TOOK", ""), rows, spare=("", "TOOK"))
    drawn.caption = f"{waiting} waiting.  Ctrl-C ends the watch, not the runs."
    return drawn


def _words(run: dict[str, Any]) -> str:
    return first_line(said(run), 40) if run["status"] != "running" else ""
