"""Messages to agents: send one, see what waits for whom and what became of it, say that it was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ocs.rules.messages import Draft
from ocs.service import session
from ocs.service.message_views import message_views, receipt_view

if TYPE_CHECKING:
    from ocs.store import Store


async def send(store: Store, draft: Draft, *, reply_to: str | None = None) -> dict[str, Any]:
    """Send a message, as an answer to the one whose id begins so.

    Raises:
        NotFound: there is no message to answer, or there are several.
        Refused: a part of it cannot be kept.
    """
    from ocs.store import messages

    answered = (await messages.by_prefix(store, reply_to)).id if reply_to is not None else None
    message = await messages.send(store, replace(draft, reply_to=answered), now=session.now())
    return (await message_views(store, [message], now=session.now()))[0]


async def inbox(store: Store, reader: str, *, delivered: bool, everything: bool, limit: int) -> list[dict[str, Any]]:
    """What waits for a reader, in the order in which turns are shown it.

    With `delivered` what a turn was shown too, with `everything` what was read or has expired.
    """
    from ocs.store import inbox

    now = session.now()
    rows = await inbox.inbox(store, reader, now=now, delivered=delivered, everything=everything, limit=limit)
    return await message_views(store, rows, now=now, reader=reader)


async def outbox(store: Store, sender: str, *, limit: int) -> list[dict[str, Any]]:
    """What somebody has sent, newest first."""
    from ocs.store import messages

    rows = await messages.outbox(store, sender, limit=limit)
    return await message_views(store, rows, now=session.now())


async def whole(store: Store, given: str) -> dict[str, Any]:
    """The message whose id begins so, its receipts and its answers.

    Raises:
        NotFound: there is none, or there are several.
    """
    message, *replies = await thread(store, given)
    return {**message, "receipts": await receipts(store, message["id"]), "replies": replies}


async def thread(store: Store, given: str) -> list[dict[str, Any]]:
    """The message whose id begins so and its direct answers, oldest first.

    Raises:
        NotFound: there is none, or there are several.
    """
    from ocs.store import messages

    chosen = await messages.by_prefix(store, given)
    line = [chosen, *await messages.replies_to(store, chosen.id)]
    return await message_views(store, line, now=session.now())


async def receipts(store: Store, given: str) -> list[dict[str, Any]]:
    """What became of the message whose id begins so, oldest first.

    Raises:
        NotFound: there is none, or there are several.
    """
    from ocs.store import messages

    chosen = await messages.by_prefix(store, given)
    return [receipt_view(receipt) for receipt in (await messages.receipts_of(store, [chosen]))[chosen.id]]


async def acknowledge(store: Store, given: str, *, by: str | None, detail: str | None) -> dict[str, Any]:
    """Acknowledge a message for `by`, by default for who is logged in; returns how it stands for them.

    Raises:
        NotFound: there is none, or there are several.
        Refused: it is not theirs, or the detail cannot be kept.
    """
    from ocs.store import messages

    chosen = await messages.by_prefix(store, given)
    reader = await messages.acknowledge(store, chosen, by=by, login=session.user(), detail=detail, now=session.now())
    return (await message_views(store, [chosen], now=session.now(), reader=reader))[0]


async def read(store: Store, given: str, *, by: str | None) -> dict[str, Any]:
    """Mark a message as read by `by`, by default by who is logged in; returns how it stands for them.

    Raises:
        NotFound: there is none, or there are several.
        Refused: it is not theirs.
    """
    from ocs.store import messages

    chosen = await messages.by_prefix(store, given)
    reader = await messages.read(store, chosen, by=by, login=session.user(), now=session.now())
    return (await message_views(store, [chosen], now=session.now(), reader=reader))[0]


async def read_all(store: Store, reader: str) -> int:
    """Mark as read all that waits for a reader and what its turns were shown; returns how many."""
    from ocs.store import inbox

    return await inbox.read_all(store, reader, login=session.user(), now=session.now())


async def unread(store: Store, reader: str) -> int:
    """How many messages a reader has not read: those that wait, and those its turns were shown."""
    from ocs.store import inbox

    return await inbox.unread(store, reader, now=session.now())
