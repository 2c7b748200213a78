"""Messages as whoever asks sees them: the fixed keys of a message and of a receipt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ocs.rules.messages import READ_EVENTS, Event, status_of
from ocs.rules.wording import utc

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
        "ack_by": utc(message.ack_by),
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


def _last(receipts: Sequence[MessageReceipt], event: Event) -> datetime | None:
    return max((receipt.at for receipt in receipts if receipt.event is event), default=None)
