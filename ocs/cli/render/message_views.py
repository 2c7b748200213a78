"""Messages as other programs see them, and as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ocs.cli.render.output import say, table
from ocs.rules.messages import BROADCAST, READ_EVENTS, Event, Status, status_of
from ocs.rules.wording import SHORT, first_line, local, utc

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables_messages import Message, MessageReceipt


async def message_views(
    store: Store, messages: Sequence[Message], *, now: datetime, reader: str | None = None
) -> list[dict[str, Any]]:
    """Messages and how they stand for `reader`, by default for their recipient."""
    from ocs.store.messages import receipts_of

    receipts = await receipts_of(store, messages)
    return [_message_view(message, receipts[message.id], reader or message.recipient, now) for message in messages]


def _message_view(message: Message, receipts: Sequence[MessageReceipt], reader: str, now: datetime) -> dict[str, Any]:
    own = [receipt for receipt in receipts if receipt.reader == reader]
    aside = max((receipt.not_before for receipt in own if receipt.not_before), default=None)
    return {
        "id": str(message.id),
        "from": message.sender,
        "to": message.recipient,
        "kind": str(message.kind),
        "priority": str(message.priority),
        "subject": message.subject,
        "body": message.body,
        "owner": message.owner,
        "metadata": message.about,
        "reply_to": str(message.reply_to) if message.reply_to else None,
        "created_at": utc(message.created_at),
        "expires_at": utc(message.expires_at),
        "status": str(status_of([receipt.event for receipt in own], message.expires_at, now)),
        "delivered_at": utc(_last(own, Event.DELIVERED)),
        "read_at": utc(min((receipt.at for receipt in own if receipt.event in READ_EVENTS), default=None)),
        "ack_at": utc(_last(own, Event.ACK)),
        "failed_turns": sum(receipt.event is Event.ERROR for receipt in own),
        "not_before": utc(aside) if aside and aside > now else None,
        "seen_by": sorted(
            {receipt.reader for receipt in receipts if receipt.event not in (Event.ATTEMPT, Event.ERROR)}
        ),
    }


def receipt_view(receipt: MessageReceipt) -> dict[str, Any]:
    """What became of a message once."""
    return {
        "event": str(receipt.event),
        "reader": receipt.reader,
        "at": utc(receipt.at),
        "run": str(receipt.run_id) if receipt.run_id else None,
        "actor": receipt.actor,
        "detail": receipt.detail,
    }


def show_messages(views: Sequence[dict[str, Any]]) -> None:
    """A table for people."""
    rows = [
        (
            view["id"][:SHORT],
            view["from"],
            view["to"],
            view["kind"],
            view["priority"],
            local(view["created_at"]),
            view["status"],
            _gist(view),
        )
        for view in views
    ]
    headings = ("MESSAGE", "FROM", "TO", "KIND", "PRIORITY", "SENT", "STATUS", "")
    table(headings, rows, spare=("PRIORITY", "SENT", "KIND"))


def show_message(view: dict[str, Any]) -> None:
    """One message for people."""
    failed = f"{view['failed_turns']} turns that were shown it" if view["failed_turns"] else ""
    rows = [
        ("message", view["id"]),
        ("from", view["from"]),
        ("to", view["to"]),
        ("kind", view["kind"]),
        ("priority", view["priority"]),
        ("subject", view["subject"]),
        ("owner", view["owner"]),
        ("answers", view["reply_to"]),
        ("sent", local(view["created_at"])),
        ("expires", local(view["expires_at"])),
        ("status", "" if view["to"] == BROADCAST and view["status"] == Status.PENDING else view["status"]),
        ("seen by", ", ".join(view["seen_by"]) if view["to"] == BROADCAST else ""),
        ("failed", failed),
        ("waits until", local(view["not_before"])),
        ("metadata", view["metadata"] or ""),
    ]
    table(("", ""), [row for row in rows if row[1]])
    say(f"\n{view['body']}")


def show_receipts(views: Sequence[dict[str, Any]]) -> None:
    """What became of a message, for people."""
    rows = [
        (local(view["at"]), view["event"], view["reader"], (view["run"] or "")[:SHORT] or view["actor"], view["detail"])
        for view in views
    ]
    table(("AT", "EVENT", "READER", "RUN / BY", ""), rows)


def _last(receipts: Sequence[MessageReceipt], event: Event) -> datetime | None:
    return max((receipt.at for receipt in receipts if receipt.event is event), default=None)


def _gist(view: dict[str, Any]) -> str:
    said = first_line(view["subject"] or view["body"], 60)
    if view["not_before"]:
        return f"{said} (turns failed; again at {local(view['not_before'])})"
    return said
