"""Deliveries as people and programs see them: what was told to whom, and what could not be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.person import person
from ocs.cli.render.output import answer, say, table
from ocs.rules.wording import SHORT, count_of, first_line, local
from ocs.service import session
from ocs.service.records import as_json, delivery_record

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables_delivery import Delivery

DeliveryIds = Annotated[list[str], typer.Argument(help="The deliveries' ids, or the beginnings of them.")]


app = typer.Typer()


@app.command(epilog="Example:  ocs queue retry 3f2a9c1d")
def retry(delivery: DeliveryIds) -> None:
    """Send a delivery that was given up once more, or a waiting one at once. Parts that arrived are not repeated."""

    async def retried() -> list[dict[str, Any]]:
        from ocs.store import deliveries

        async with session.store() as store:
            chosen = [await by_prefix(store, prefix) for prefix in delivery]
            return [delivery_view(await deliveries.try_again(store, each.id, by=person())) for each in chosen]

    views = session.run(retried())

    def people() -> None:
        targets = ", ".join(sorted({view["target"] for view in views}))
        say(f"{count_of(len(views), 'message')} to {targets}: sent by the worker within half a minute.")

    answer({"deliveries": views}, people)


async def by_prefix(store: Store, prefix: str) -> Delivery:
    """The waiting or dead delivery whose id begins so.

    Raises:
        NotFound: none does, or several do.
    """
    from ocs.store import deliveries
    from ocs.store.shortened import that_begin, the_one

    found = that_begin(await deliveries.unsent(store), prefix, by=lambda row: row.id)
    hint = "See what waits or was given up: ocs queue list"
    return the_one(found, prefix, "delivery", by=lambda row: row.id, hint=hint)


def delivery_view(row: Delivery) -> dict[str, Any]:
    """A delivery with its fixed keys."""
    return as_json(delivery_record(row))


def show_deliveries(views: Sequence[dict[str, Any]]) -> None:
    """A table for people."""
    rows = [(view["id"][:SHORT], view["job"], view["target"], view["status"], _remark(view)) for view in views]
    table(("DELIVERY", "JOB", "TO", "STATUS", ""), rows)


def _remark(view: dict[str, Any]) -> str:
    if view["status"] == "sent":
        return local(view["ended_at"])
    error = first_line(view["error"], 200)
    if view["status"] == "failed":
        return f"given up after {count_of(view['attempts'], 'attempt')}. {error}"
    if view["status"] == "pending" and error:
        return f"again at {local(view['next_attempt_at'])}. {error}"
    return "being sent" if view["status"] == "pending" else error
