"""`ocs queue`: what waits to become a run, and for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from ocs.cli import session
from ocs.cli.arguments import SomeJob
from ocs.cli.group import group
from ocs.cli.output import answer, local, say, table, utc

if TYPE_CHECKING:
    from ocs.store.tables import DispatchRow

SHORT = 8
app = group("What waits to become a run: manual runs, children, retries, and whoever waits for a turn.")


@app.command("list", epilog="Example:  ocs queue list --job nightly-report")
def list_queue(job: SomeJob = None) -> None:
    """List what waits, and for what. Occurrences to come of schedules do not wait; see ocs jobs list."""

    async def found() -> list[DispatchRow]:
        from ocs.store import queries

        async with session.store() as store:
            chosen = await session.pick_ever_run(store, job) if job else None
            return await queries.queue(store, job=chosen)

    waiting = [_view(row) for row in session.run(found())]

    def people() -> None:
        if not waiting:
            say("Nothing waits.")
            return
        rows = [
            (row["id"][:SHORT], row["job"], row["kind"], local(row["scheduled_for"]), row["waits_for"])
            for row in waiting
        ]
        table(("DISPATCH", "JOB", "KIND", "FOR", "WAITS FOR"), rows, spare=("KIND",))

    answer({"queue": waiting}, people)


@app.command(epilog="Example:  ocs queue cancel 3f2a9c1d")
def cancel(dispatch: Annotated[str, typer.Argument(help="The dispatch's id, or the beginning of it.")]) -> None:
    """Withdraw one waiting dispatch: it never becomes a run. All of a job: ocs jobs cancel."""

    async def cancelled() -> dict[str, Any]:
        from ocs.store import queries, withdraw_one

        async with session.store() as store:
            chosen = await queries.dispatch_by_prefix(store, dispatch)
            who = {"actor": session.user(), "source": session.SOURCE}
            flow_run = await withdraw_one(store, chosen.id, now=session.now(), **who)
            if flow_run is not None:
                await _end_flow_run(flow_run)
            return _view(chosen)

    gone = session.run(cancelled())
    answer({"dispatch": gone}, lambda: say(f"Withdrew {gone['id'][:SHORT]} of {gone['job']}; it will not run."))


async def _end_flow_run(flow_run_id: UUID) -> None:
    """Tidy it away in Prefect too; the withdrawal alone already keeps it from running."""
    from ocs.cli.stopping import tell_to_end
    from ocs.errors import ServerUnreachable

    try:
        async with session.server() as client:
            await tell_to_end(client, flow_run_id)
    except ServerUnreachable:
        return


def _view(row: DispatchRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "job": row.job_id,
        "kind": str(row.kind),
        "attempt": row.attempt,
        "scheduled_for": utc(row.scheduled_for),
        "waits_for": _waits_for(row),
        "pool": row.pool,
        "waiting_since": utc(row.waiting_since),
        "source_run": str(row.source_run) if row.source_run else None,
        "retry_of": str(row.retry_of) if row.retry_of else None,
        "flow_run_id": str(row.flow_run_id) if row.flow_run_id else None,
    }


def _waits_for(row: DispatchRow) -> str:
    if row.status == "waiting":
        return f"a slot of the pool {row.pool}" if row.waits_for == "pool" else "an earlier run of the job"
    if row.scheduled_for > session.now():
        return "its time"
    return "a worker" if row.status == "published" else "the server"
