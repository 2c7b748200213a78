"""`ocs queue`: what waits to become a run, and what waits to be told or could not be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ocs.cli.arguments import SomeJob
from ocs.cli.person import person
from ocs.cli.render.deliveries import show_deliveries
from ocs.cli.render.output import answer, say, table
from ocs.rules.wording import SHORT, count_of, local
from ocs.service import queue, session
from ocs.service.queue import WaitingDispatch
from ocs.service.records import Delivery, as_json

app = typer.Typer()


@app.command("list", epilog="Example:  ocs queue list --job nightly-report")
def list_queue(job: SomeJob = None) -> None:
    """List what waits, and for what. Occurrences to come of schedules do not wait; see ocs jobs list."""

    async def found() -> tuple[list[WaitingDispatch], list[Delivery]]:
        async with session.store() as store:
            return await queue.waiting(store, job)

    dispatches, messages = session.run(found())
    unsent = [as_json(message) for message in messages]

    def people() -> None:
        if not dispatches and not messages:
            say("Nothing waits.")
        if dispatches:
            _show_waiting(dispatches)
        if messages:
            say("\nMessages not sent; once more: ocs queue retry ID", style="bold")
            show_deliveries(unsent)

    answer({"queue": [as_json(dispatch) for dispatch in dispatches], "deliveries": unsent}, people)


@app.command(epilog="Example:  ocs queue cancel 3f2a9c1d")
def cancel(
    dispatch: Annotated[str, typer.Argument(help="The dispatch's or delivery's id, or the beginning of it.")],
) -> None:
    """Withdraw one that waits: it never becomes a run, or is never sent. All runs of a job: ocs jobs cancel."""

    async def cancelled() -> WaitingDispatch | Delivery:
        async with session.store() as store:
            return await queue.withdraw(store, dispatch, by=person())

    gone = session.run(cancelled())
    kind, never = ("dispatch", "run") if isinstance(gone, WaitingDispatch) else ("delivery", "be sent")
    said = f"Withdrew {str(gone.id)[:SHORT]} of {gone.job}; it will not {never}."
    answer({kind: as_json(gone)}, lambda: say(said))


@app.command(epilog="Example:  ocs queue retry 3f2a9c1d")
def retry(
    delivery: Annotated[list[str], typer.Argument(help="The deliveries' ids, or the beginnings of them.")],
) -> None:
    """Send a delivery that was given up once more, or a waiting one at once. Parts that arrived are not repeated."""

    async def retried() -> list[dict[str, Any]]:
        async with session.store() as store:
            return [as_json(each) for each in await queue.send_again(store, delivery, by=person())]

    views = session.run(retried())

    def people() -> None:
        targets = ", ".join(sorted({view["target"] for view in views}))
        say(f"{count_of(len(views), 'message')} to {targets}: sent by the worker within half a minute.")

    answer({"deliveries": views}, people)


def _show_waiting(dispatches: Sequence[WaitingDispatch]) -> None:
    rows = [
        (str(each.id)[:SHORT], each.job, each.kind, local(each.scheduled_for), each.waits_for) for each in dispatches
    ]
    table(("DISPATCH", "JOB", "KIND", "FOR", "WAITS FOR"), rows, spare=("KIND",))
