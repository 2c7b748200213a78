"""`ocs messages ack, read, readall, unread`: saying that messages were seen by somebody else than a turn."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ocs.cli.commands.messages import MessageId, Reader
from ocs.cli.render.output import answer, say
from ocs.rules.wording import SHORT, count_of
from ocs.service import messages, session

By = Annotated[
    str | None, typer.Option("--by", help="Who says so, by default who is logged in; of a broadcast, its reader.")
]


app = typer.Typer()


@app.command(epilog="Example:  ocs messages ack 3f2a9c1d --detail 'ordered a new disk'")
def ack(
    message: MessageId,
    by: By = None,
    detail: Annotated[str | None, typer.Option(help="What was done about it.")] = None,
) -> None:
    """Acknowledge a message: it waits no more. Each acknowledgement is kept."""

    async def acknowledged() -> dict[str, Any]:
        async with session.store() as store:
            return await messages.acknowledge(store, message, by=by, detail=detail)

    view = session.run(acknowledged())
    answer({"message": view}, lambda: say(f"Acknowledged {view['id'][:SHORT]} from {view['from']}."))


@app.command(epilog="Example:  ocs messages read 3f2a9c1d")
def read(message: MessageId, by: By = None) -> None:
    """Mark a message as read: it waits no more."""

    async def marked() -> dict[str, Any]:
        async with session.store() as store:
            return await messages.read(store, message, by=by)

    view = session.run(marked())
    answer({"message": view}, lambda: say(f"Read {view['id'][:SHORT]} from {view['from']}."))


@app.command(epilog="Example:  ocs messages readall main")
def readall(reader: Reader) -> None:
    """Mark as read all that waits for a reader, and what its turns were shown."""

    async def marked() -> int:
        async with session.store() as store:
            return await messages.read_all(store, reader)

    changes = session.run(marked())
    answer(
        {"agent": reader, "changes": changes},
        lambda: say(f"Marked {count_of(changes, 'message')} to {reader} as read."),
    )


@app.command(epilog="Example:  ocs messages unread main")
def unread(reader: Reader) -> None:
    """Count what a reader has not read: what waits, and what its turns were shown."""

    async def counted() -> int:
        async with session.store() as store:
            return await messages.unread(store, reader)

    count = session.run(counted())
    answer({"agent": reader, "unread": count}, lambda: say(f"{reader} has {count_of(count, 'unread message')}."))
