"""`ocs queue`: what waits to become a run, and what waits to be told or could not be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from ocs.cli.arguments import SomeJob
from ocs.cli.commands.deliveries import by_prefix, delivery_view, show_deliveries
from ocs.cli.person import person
from ocs.cli.render.output import answer, say, table
from ocs.rules.wording import SHORT, local, utc
from ocs.service import session

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables import DispatchRow
    from ocs.store.tables_delivery import Delivery

app = typer.Typer()


@app.command("list", epilog="Example:  ocs queue list --job nightly-report")
def list_queue(job: SomeJob = None) -> None:
    """List what waits, and for what. Occurrences to come of schedules do not wait; see ocs jobs list."""

    async def found() -> tuple[list[DispatchRow], list[Delivery]]:
        from ocs.store import deliveries, queries

        async with session.store() as store:
            chosen = await session.pick_ever_run(store, job) if job else None
            return await queries.queue(store, job=chosen), await deliveries.unsent(store, job=chosen)

    dispatches, unsent = session.run(found())
    waiting, messages = [_view(row) for row in dispatches], [delivery_view(row) for row in unsent]

    def people() -> None:
        if not waiting and not messages:
            say("Nothing waits.")
        if waiting:
            show_waiting()
        if messages:
            say("\nMessages not sent; once more: ocs queue retry ID", style="bold")
            show_deliveries(messages)

    def show_waiting() -> None:
        rows = [
            (row["id"][:SHORT], row["job"], row["kind"], local(row["scheduled_for"]), row["waits_for"])
            for row in waiting
        ]
        table(("DISPATCH", "JOB", "KIND", "FOR", "WAITS FOR"), rows, spare=("KIND",))

    answer({"queue": waiting, "deliveries": messages}, people)


@app.command(epilog="Example:  ocs queue cancel 3f2a9c1d")
def cancel(
    dispatch: Annotated[str, typer.Argument(help="The dispatch's or delivery's id, or the beginning of it.")],
) -> None:
    """Withdraw one that waits: it never becomes a run, or is never sent. All runs of a job: ocs jobs cancel."""

    async def cancelled() -> tuple[str, dict[str, Any]]:
        from ocs.store import deliveries, queries, withdraw_one

        async with session.store() as store:
            if await _is_delivery(store, dispatch):
                message = await by_prefix(store, dispatch)
                row = await deliveries.withdraw_delivery(store, message.id, by=person())
                return "delivery", delivery_view(row)
            chosen = await queries.dispatch_by_prefix(store, dispatch)
            flow_run = await withdraw_one(store, chosen.id, by=person())
            if flow_run is not None:
                await _end_flow_run(flow_run)
            return "dispatch", _view(chosen)

    kind, gone = session.run(cancelled())
    never = "run" if kind == "dispatch" else "be sent"
    answer({kind: gone}, lambda: say(f"Withdrew {gone['id'][:SHORT]} of {gone['job']}; it will not {never}."))


async def _is_delivery(store: Store, prefix: str) -> bool:
    """Whether an id begins so of a delivery, and of no dispatch."""
    from ocs.store import deliveries, queries
    from ocs.store.shortened import that_begin

    dispatches = that_begin(await queries.queue(store), prefix, by=lambda row: row.id)
    return not dispatches and bool(that_begin(await deliveries.unsent(store), prefix, by=lambda row: row.id))


async def _end_flow_run(flow_run_id: UUID) -> None:
    """Tidy it away in Prefect too; the withdrawal alone already keeps it from running."""
    from ocs.errors import ServerUnreachable
    from ocs.service.stopping import tell_to_end

    try:
        async with session.server() as client:
            await tell_to_end(client, flow_run_id, person())
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
