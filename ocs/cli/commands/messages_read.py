"""`ocs messages ack, read, readall, unread`: saying that messages were seen by somebody else than a turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.commands.messages import MessageId, Reader
from ocs.cli.render.output import answer, say
from ocs.rules.wording import SHORT, count_of
from ocs.service import session
from ocs.service.message_views import message_views

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables_messages import Message

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

    async def acknowledged(store: Store, chosen: Message) -> str:
        from ocs.store import messages

        return await messages.acknowledge(store, chosen, by=by, login=session.user(), detail=detail, now=session.now())

    view = session.run(_noted(message, acknowledged))
    answer({"message": view}, lambda: say(f"Acknowledged {view['id'][:SHORT]} from {view['from']}."))


@app.command(epilog="Example:  ocs messages read 3f2a9c1d")
def read(message: MessageId, by: By = None) -> None:
    """Mark a message as read: it waits no more."""

    async def marked(store: Store, chosen: Message) -> str:
        from ocs.store import messages

        return await messages.read(store, chosen, by=by, login=session.user(), now=session.now())

    view = session.run(_noted(message, marked))
    answer({"message": view}, lambda: say(f"Read {view['id'][:SHORT]} from {view['from']}."))


@app.command(epilog="Example:  ocs messages readall main")
def readall(reader: Reader) -> None:
    """Mark as read all that waits for a reader, and what its turns were shown."""

    async def marked() -> int:
        from ocs.store import inbox

        async with session.store() as store:
            return await inbox.read_all(store, reader, login=session.user(), now=session.now())

    changes = session.run(marked())
    answer(
        {"agent": reader, "changes": changes},
        lambda: say(f"Marked {count_of(changes, 'message')} to {reader} as read."),
    )


@app.command(epilog="Example:  ocs messages unread main")
def unread(reader: Reader) -> None:
    """Count what a reader has not read: what waits, and what its turns were shown."""

    async def counted() -> int:
        from ocs.store import inbox

        async with session.store() as store:
            return await inbox.unread(store, reader, now=session.now())

    count = session.run(counted())
    answer({"agent": reader, "unread": count}, lambda: say(f"{reader} has {count_of(count, 'unread message')}."))


async def _noted(given: str, note: Callable[[Store, Message], Awaitable[str]]) -> dict[str, Any]:
    """Note something about the message that is meant, and show how it stands then for whom that was noted."""
    from ocs.store import messages

    async with session.store() as store:
        chosen = await messages.by_prefix(store, given)
        reader = await note(store, chosen)
        return (await message_views(store, [chosen], now=session.now(), reader=reader))[0]
