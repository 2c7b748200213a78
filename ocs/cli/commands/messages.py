"""`ocs messages`: what agents, jobs and people tell each other. An agent's turns are shown what waits for it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from ocs.cli.arguments import ack_of, end_of, target_names
from ocs.cli.render.message_views import show_message, show_messages, show_receipts
from ocs.cli.render.output import answer, say
from ocs.errors import Refused, UsageError
from ocs.rules.messages import BROADCAST, Draft, Kind, Priority, checked_name, metadata_of
from ocs.rules.wording import SHORT, local
from ocs.service import messages, session
from ocs.service.trackers import checked_targets


def _name(given: str) -> str:
    return checked_name("name", given)


app = typer.Typer()
FROM_INPUT = "-"
ACK = "Each of its readers has to acknowledge it within this time (2h); who has not is told of once."
MOST_INPUT = 2**24
"""No message is so long; what never ends is not read for ever."""
MessageId = Annotated[str, typer.Argument(help="The message's id, or the beginning of it.")]
Reader = Annotated[
    str, typer.Argument(help="Whose: an agent's id, or another name that messages are sent to.", callback=_name)
]
Sender = Annotated[str, typer.Argument(help="Whose: a name given with --from, or a login.", callback=_name)]
Count = Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")]


@app.command(epilog="Example:  ocs messages send 'The disk of db2 is full.' --kind fact --subject db2")
def send(
    text: Annotated[str | None, typer.Argument(help="The message; - reads it from standard input.")] = None,
    *,
    body: Annotated[str | None, typer.Option(help="The same, as an option.")] = None,
    to: Annotated[
        str, typer.Option("--to", help="An agent's id or another name; team:docs, or broadcast for all.")
    ] = "main",
    sender: Annotated[str | None, typer.Option("--from", help="Who sends; by default who is logged in.")] = None,
    kind: Annotated[Kind, typer.Option(help="What it is.")] = Kind.TEXT,
    subject: Annotated[str, typer.Option(help="A line that says what it is about.")] = "",
    priority: Annotated[Priority, typer.Option(help="How much it presses.")] = Priority.NORMAL,
    expires: Annotated[
        str | None, typer.Option(help="After which time (2h, 7d) or when it is over; broadcasts: 30d unless given.")
    ] = None,
    reply_to: Annotated[str | None, typer.Option(help="The id of the message that it answers.")] = None,
    owner: Annotated[str | None, typer.Option(help="Whose matter it is.")] = None,
    metadata: Annotated[str | None, typer.Option(help="A JSON object, for programs.")] = None,
    ack_within: Annotated[str | None, typer.Option(help=ACK)] = None,
    overdue_to: Annotated[
        list[str] | None,
        typer.Option(help="Who is told then, instead of the sender. Repeatable.", autocompletion=target_names),
    ] = None,
) -> None:
    """Send a message. It waits until a turn of that agent that was shown it has ended well, or until it expires."""
    if (text is None) == (body is None):
        raise UsageError("Give the message, once.", hint="Such as: ocs messages send 'The disk is full.'")
    said = _read(text if body is None else body)
    ends = end_of(expires)
    about = metadata_of(metadata) if metadata is not None else {}
    if overdue_to and ack_within is None:
        raise UsageError("--overdue-to is told of a missing acknowledgement; say by when: --ack-within 2h")
    told = checked_targets(overdue_to) if overdue_to else []

    draft = Draft(
        sender=session.user() if sender is None else sender,
        recipient=to,
        body=said,
        kind=kind,
        priority=priority,
        subject=subject,
        owner=owner,
        metadata=about,
        expires_at=ends,
        ack_by=ack_of(ack_within),
        overdue_to=tuple(told),
    )

    async def sent() -> dict[str, Any]:
        async with session.store() as store:
            return await messages.send(store, draft, reply_to=reply_to)

    view = session.run(sent())
    whom = "everyone" if view["to"] == BROADCAST else view["to"]
    until = f", until {local(view['expires_at'])}" if view["expires_at"] else ""
    answer({"message": view}, lambda: say(f"Sent {view['id'][:SHORT]} to {whom}{until}."))


@app.command(epilog="Example:  ocs messages inbox main --delivered")
def inbox(
    reader: Reader,
    delivered: Annotated[bool, typer.Option("--delivered", help="What a turn was shown, too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="What was read or has expired, too.")] = False,
    count: Count = 50,
) -> None:
    """List what waits for a reader, broadcasts included, in the order in which turns are shown it."""

    async def found() -> list[dict[str, Any]]:
        async with session.store() as store:
            return await messages.inbox(store, reader, delivered=delivered, everything=everything, limit=count)

    views = session.run(found())
    answer({"messages": views}, lambda: show_messages(views) if views else say(f"Nothing waits for {reader}."))


@app.command(epilog="Example:  ocs messages outbox ann -n 10")
def outbox(sender: Sender, count: Count = 50) -> None:
    """List what somebody has sent, newest first, and how it stands."""

    async def found() -> list[dict[str, Any]]:
        async with session.store() as store:
            return await messages.outbox(store, sender, limit=count)

    views = session.run(found())
    answer({"messages": views}, lambda: show_messages(views) if views else say(f"{sender} has sent nothing."))


@app.command(epilog="Example:  ocs messages show 3f2a9c1d")
def show(message: MessageId) -> None:
    """Show a message whole, what became of it, and its answers."""

    async def found() -> dict[str, Any]:
        async with session.store() as store:
            return await messages.whole(store, message)

    view = session.run(found())

    def people() -> None:
        show_message(view)
        if view["receipts"]:
            say("\nWhat became of it", style="bold")
            show_receipts(view["receipts"])
        if view["replies"]:
            say("\nAnswers", style="bold")
            show_messages(view["replies"])

    answer({"message": view}, people)


@app.command(epilog="Example:  ocs messages thread 3f2a9c1d")
def thread(message: MessageId) -> None:
    """List a message and its direct answers, oldest first."""

    async def found() -> list[dict[str, Any]]:
        async with session.store() as store:
            return await messages.thread(store, message)

    views = session.run(found())
    answer({"messages": views}, lambda: show_messages(views))


@app.command(epilog="Example:  ocs messages receipts 3f2a9c1d")
def receipts(message: MessageId) -> None:
    """List what became of a message, oldest first: turns that were shown it, how they ended, who read it."""

    async def found() -> list[dict[str, Any]]:
        async with session.store() as store:
            return await messages.receipts(store, message)

    views = session.run(found())
    answer({"receipts": views}, lambda: show_receipts(views) if views else say("Nobody has seen it yet."))


def _read(given: str | None) -> str:
    """The text that was given, or for `-` what stands on standard input.

    Raises:
        Refused: that is not UTF-8 text.
    """
    if given != FROM_INPUT:
        return given or ""
    try:
        return sys.stdin.buffer.read(MOST_INPUT).decode()
    except UnicodeDecodeError:
        hint = "Put it into a file, and send its name."
        raise Refused("What stands on standard input is not UTF-8 text.", hint=hint) from None
